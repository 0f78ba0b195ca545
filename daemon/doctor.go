package daemon

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"weft/daemon/api"
	"weft/gpu"
)

type doctorInput struct {
	Probe bool `query:"probe" doc:"ask the NVIDIA driver anew, which may take seconds"`
}

type doctorOutput struct{ Body api.Doctor }

func (s *server) doctor(ctx context.Context, in *doctorInput) (*doctorOutput, error) {
	gpus := s.gpus.found()
	if in.Probe {
		gpus = s.gpus.probe(ctx)
	}
	checks := []api.DoctorCheck{
		doctorStore(s.checkStore(ctx)), doctorDisk(s.cfg.StateDir),
		doctorFiles(), doctorVector(), doctorDriver(&gpus),
	}
	for _, g := range gpus.Devices {
		checks = append(checks, doctorGPU(&g))
	}
	views, err := s.owner.views(ctx)
	if err != nil {
		return nil, s.fault(err)
	}
	for _, v := range views {
		checks = append(checks, doctorDevice(v))
	}
	return &doctorOutput{api.Doctor{Checks: checks}}, nil
}

func doctorStore(err error) api.DoctorCheck {
	if err != nil {
		return api.DoctorCheck{Name: "store", Status: api.CheckFail, Found: err.Error(),
			Hint: "look at the disk and the permissions of the state directory"}
	}
	return api.DoctorCheck{Name: "store", Status: api.CheckOK, Found: "reads and takes changes"}
}

// lowDisk is where checkpoints begin to be in danger.
const lowDisk = 1 << 30

func doctorDisk(dir string) api.DoctorCheck {
	c := api.DoctorCheck{Name: "state directory", Status: api.CheckOK}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		c.Status, c.Found = api.CheckFail, fmt.Sprintf("%s: %v", dir, err)
		c.Hint = "give another: weft serve --state-dir DIR"
		return c
	}
	free := fs.Bavail * uint64(fs.Bsize)
	c.Found = fmt.Sprintf("%s, %s free", dir, humanize.IBytes(free))
	if free < lowDisk {
		c.Status, c.Hint = api.CheckWarn, "free some space; weft rm removes ended jobs and their models"
	}
	return c
}

// fewFiles is what a thousand event streams and some workers need.
const fewFiles = 4096

func doctorFiles() api.DoctorCheck {
	c := api.DoctorCheck{Name: "open files", Status: api.CheckOK}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		c.Status, c.Found = api.CheckWarn, err.Error()
		return c
	}
	c.Found = fmt.Sprintf("%d at most", lim.Cur)
	if lim.Cur < fewFiles {
		c.Status, c.Hint = api.CheckWarn, fmt.Sprintf("ulimit -n %d before weft serve; each follower holds one", fewFiles)
	}
	return c
}

func doctorVector() api.DoctorCheck {
	c := api.DoctorCheck{Name: "vector instructions", Status: api.CheckOK}
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL:
		c.Found = "AVX-512"
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		c.Found = "AVX2 with FMA"
	default:
		c.Status, c.Found = api.CheckWarn, "none that weft has kernels for on "+runtime.GOARCH
		c.Hint = "jobs run on portable code, many times slower; use a machine with AVX2"
	}
	return c
}

// doctorDriver tells which driver the last probe found, or why it found none.
// That is a warning only where the kernel has the driver's module: on a machine
// without a GPU nothing is wrong.
func doctorDriver(d *gpu.Discovery) api.DoctorCheck {
	c := api.DoctorCheck{Name: "NVIDIA driver", Status: api.CheckOK}
	if d.Version > 0 {
		c.Found = fmt.Sprintf("CUDA %d.%d, %s", d.Version/1000, d.Version%1000/10, d.Path)
	}
	kernel := kernelModule()
	if kernel != "" {
		c.Found = joined(c.Found, kernel)
	}
	if d.Fault == nil {
		return c
	}
	c.Found = joined(c.Found, d.Fault.Message+"; jobs run on the CPU")
	c.Hint = d.Fault.Hint
	if kernel != "" || d.Fault.Code != cudaNoDriver && d.Fault.Code != cudaNotBuilt {
		c.Status = api.CheckWarn
	}
	return c
}

// Codes of package gpu/cuda that say that there is nothing to look at.
const (
	cudaNoDriver = "no_driver"
	cudaNotBuilt = "not_built"
)

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + ": " + b
}

// kernelModule is what the kernel's part of the driver calls itself; "" when it
// is not loaded.
func kernelModule() string {
	b, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(strings.TrimPrefix(firstLine(string(b)), "NVRM version: ")), " ")
}

// doctorGPU tells what the driver says of a GPU.
func doctorGPU(g *gpu.Found) api.DoctorCheck {
	c := api.DoctorCheck{Name: "GPU " + strconv.Itoa(g.Index), Status: api.CheckOK,
		Found: fmt.Sprintf("%s, compute capability %d.%d, %d multiprocessors, %s, %s", g.Name, g.Major, g.Minor, g.SMs,
			humanize.IBytes(uint64(max(0, g.MemoryBytes))), g.UUID)}
	if g.Unusable != "" {
		c.Status = api.CheckWarn
		c.Found += ": " + g.Unusable
		c.Hint = "weft leaves it alone; see docs/operations.md"
	}
	return c
}

func doctorDevice(v api.Device) api.DoctorCheck {
	c := api.DoctorCheck{Name: "device " + v.ID, Status: api.CheckOK,
		Found: fmt.Sprintf("%s, %d lanes, %d slots, %s for jobs, worker %d",
			v.Name, v.Lanes, v.Slots, humanize.IBytes(uint64(max(0, v.MemoryBytes))), v.PID)}
	if v.State != api.DeviceReady {
		c.Status, c.Found = api.CheckFail, fmt.Sprintf("worker is %s: %s", v.State, v.Message)
		c.Hint = v.Hint
		if c.Hint == "" {
			c.Hint = "look at the daemon's log; it starts the worker again by itself"
		}
	}
	return c
}
