package kernels

import (
	_ "embed"
	"fmt"
	"os"
)

// The PTX that kernels/generate makes. PTX for a compute capability runs on it
// and all later ones.
var (
	//go:embed ptx/train.sm_80.ptx
	sm80 []byte
	//go:embed ptx/train.sm_90.ptx
	sm90 []byte
)

// ImageVariable names an environment variable: the file that Image returns in
// place of the embedded kernels, for instance the simulator's kernels.so.
const ImageVariable = "WEFT_CUDA_KERNELS"

// Image returns the kernels for a device of that compute capability, as the
// driver's module loader takes them. The caller must not write to it.
func Image(major, minor int) ([]byte, error) {
	if path := os.Getenv(ImageVariable); path != "" {
		image, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read kernels named by %s: %w", ImageVariable, err)
		}
		return image, nil
	}
	switch {
	case major >= 9:
		return sm90, nil
	case major >= 8:
		return sm80, nil
	}
	return nil, fmt.Errorf("no kernels for compute capability %d.%d; the oldest are for 8.0 (Ampere)", major, minor)
}
