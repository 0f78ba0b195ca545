package baseline

import "golang.org/x/sys/cpu"

// supported is set once: instruction sets do not change while a process runs.
var supported = detect(&cpu.X86.HasAVX512F, &cpu.X86.HasAVX512BW, &cpu.X86.HasAVX512DQ, &cpu.X86.HasAVX512VL,
	&cpu.X86.HasAVX512CD, &cpu.X86.HasAVX512VBMI, &cpu.X86.HasAVX512VBMI2, &cpu.X86.HasAVX512VNNI,
	&cpu.X86.HasBMI1, &cpu.X86.HasBMI2, &cpu.X86.HasPOPCNT)

func detect(features ...*bool) bool {
	for _, has := range features {
		if !*has {
			return false
		}
	}
	return true
}
