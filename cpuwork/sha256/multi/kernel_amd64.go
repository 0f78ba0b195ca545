package multi

import "golang.org/x/sys/cpu"

// machine is set once: instruction sets do not change while a process runs.
var machine = detect()

func detect() level {
	x := &cpu.X86
	switch {
	// AVX is for the moves between the SHA instructions; x/sys/cpu knows whether
	// the system saves its registers.
	case !x.HasAVX || !x.HasSSE41 || !x.HasSSSE3 || !hasSHA():
		return standard
	case x.HasAVX512F && x.HasAVX512BW:
		return wide
	}
	return narrow
}

// blocks hashes n blocks from each of the first lanes places of data.
func blocks(lanes int, states *[group][8]uint32, data *[group]*byte, n int) {
	switch lanes {
	case 1:
		blocks1(states, data, n)
	case 2:
		blocks2(states, data, n)
	case 3:
		blocks3(states, data, n)
	default:
		blocks4(states, data, n)
	}
}
