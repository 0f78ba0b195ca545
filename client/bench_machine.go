package client

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what a benchmark ran on; what is not known is left empty.
type machine struct {
	CPU         string    `json:"cpu"`
	Cores       int       `json:"cores"` // that this process may use
	MemoryBytes int64     `json:"memory_bytes"`
	Kernel      string    `json:"kernel"`
	LoadAverage []float64 `json:"load_average"` // over 1, 5 and 15 minutes, before the run
	GPU         *gpuFound `json:"gpu"`          // null: measured on none
}

type gpuFound struct {
	Name        string `json:"name"`
	MemoryBytes int64  `json:"memory_bytes"`
	Driver      string `json:"driver"`
}

// thisMachine describes the machine; the daemons of a benchmark run on it too.
func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(),
		CPU:         strings.TrimSpace(procField("/proc/cpuinfo", "model name")),
		MemoryBytes: kibibytes(procField("/proc/meminfo", "MemTotal"))}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		for _, f := range strings.Fields(string(b)) {
			if v, err := strconv.ParseFloat(f, 64); err == nil && len(m.LoadAverage) < 3 {
				m.LoadAverage = append(m.LoadAverage, v)
			}
		}
	}
	return m
}

// procField reads one field of a file of "name : value" lines; "" if it is
// not there.
func procField(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	return field(f, name)
}

func field(r io.Reader, name string) string {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kibibytes reads /proc/meminfo's "16384 kB", whose kB is 1,024 bytes.
func kibibytes(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(s, "kB")), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n << 10
}
