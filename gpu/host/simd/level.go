package simd

import "fmt"

// Level names an instruction set that kernels are written in.
type Level int

// The levels, slowest first.
const (
	Portable Level = iota // Go, any architecture
	AVX2                  // 256-bit vectors, with FMA
	AVX512                // 512-bit vectors: AVX-512 F, VL, BW and DQ
)

// String returns the level's name as benchmarks and `weft doctor` print it.
func (l Level) String() string {
	switch l {
	case Portable:
		return "portable"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	default:
		return fmt.Sprintf("level(%d)", int(l))
	}
}

// Best returns the fastest level this machine runs.
func Best() Level { return best }

// Levels returns every level this machine runs, slowest first.
func Levels() []Level {
	levels := make([]Level, 0, int(best)+1)
	for l := Portable; l <= best; l++ {
		levels = append(levels, l)
	}
	return levels
}

// Kernels is the set of kernels of one level. The zero value is the portable
// set. It holds no memory and may be used by any number of goroutines.
type Kernels struct {
	level Level
}

// For returns the kernels of a level, or of the best level this machine runs
// when it does not run that one.
func For(l Level) Kernels {
	return Kernels{level: max(Portable, min(l, best))}
}

// Level returns the level whose instructions k uses.
func (k Kernels) Level() Level { return k.level }
