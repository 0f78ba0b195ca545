package gpu

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
)

// DefaultMemory is what jobs on the host may take together unless told
// otherwise: three quarters of the machine's memory, or of the control group's
// limit where that is less, so that weft does not push others into swap.
func DefaultMemory() int64 {
	const fallback = 1 << 30
	total := int64(fallback)
	if vm, err := mem.VirtualMemory(); err == nil {
		total = int64(min(vm.Total, 1<<62))
	}
	if limit, ok := cgroupLimit("/sys/fs/cgroup/memory.max"); ok {
		total = min(total, limit)
	}
	return total / 4 * 3
}

// processorName is the model's name, or the architecture where there is none.
func processorName() string {
	if info, err := cpu.Info(); err == nil && len(info) > 0 && info[0].ModelName != "" {
		return info[0].ModelName
	}
	return runtime.GOARCH
}

// cgroupLimit reads a version 2 control group's memory limit in bytes.
func cgroupLimit(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false // no control group, or version 1
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return limit, err == nil && limit > 0 // "max" is no limit
}
