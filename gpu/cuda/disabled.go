//go:build !cuda

package cuda

// Probe reports that this weft has no code for CUDA.
func Probe() (Driver, error) {
	return Driver{}, &ProbeError{
		Code:    NotBuilt,
		Message: "this weft was built without CUDA",
		Hint:    "build it with make",
	}
}
