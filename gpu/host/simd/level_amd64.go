package simd

import "golang.org/x/sys/cpu"

// best is set once: instruction sets do not change while a process runs.
var best = detect()

func detect() Level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return Portable
	case x.HasAVX512F && x.HasAVX512VL && x.HasAVX512BW && x.HasAVX512DQ && x.HasBMI2:
		return AVX512
	default:
		return AVX2
	}
}
