//go:build !cuda

package gpu

import (
	"context"

	"weft/cpuwork/proc"
)

const builtWithCUDA = false

// gpuWorker is what a build without CUDA has for `weft worker gpu`: the reason
// why it has none.
func gpuWorker(context.Context, *proc.Conn, []string) error {
	return ask().Fault
}
