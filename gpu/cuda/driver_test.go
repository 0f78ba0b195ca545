//go:build cuda

package cuda

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const named = "set WEFT_CUDA_DRIVER to the path of libcuda.so.1 or of a library like it, or unset it to use the system's"

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProbeWithoutDriver(t *testing.T) {
	t.Parallel()
	empty := write(t, "plain.c", "int nothing;\n")
	folder := t.TempDir()
	for name, c := range map[string]struct {
		driver        string
		code, message string // in message PATH stands for the driver
	}{
		"missing":       {filepath.Join(folder, "no.so"), NoDriver, "no CUDA driver at PATH (from WEFT_CUDA_DRIVER): no such file or directory"},
		"folder":        {folder, NotADriver, "PATH (from WEFT_CUDA_DRIVER) is not a CUDA driver: it is a folder, not a shared library"},
		"text":          {write(t, "text.so", "hello\n"), NotADriver, "PATH (from WEFT_CUDA_DRIVER) is not a CUDA driver: it is no ELF file, not a shared library"},
		"empty":         {write(t, "empty.so", ""), NotADriver, "PATH (from WEFT_CUDA_DRIVER) is not a CUDA driver: it is an empty file, not a shared library"},
		"cut short":     {write(t, "short.so", "\x7fELF"), NotADriver, "PATH (from WEFT_CUDA_DRIVER) cannot be loaded: PATH: file too short"},
		"other library": {compile(t, empty), NotADriver, "PATH (from WEFT_CUDA_DRIVER) is not a CUDA driver: it has no function cuInit"},
		"unknown name": {"libweft-none.so.1", NoDriver, "no CUDA driver found under the name PATH (from WEFT_CUDA_DRIVER): " +
			"PATH: cannot open shared object file: No such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message := strings.ReplaceAll(c.message, "PATH", c.driver)
			want := answer{Code: c.code, Message: message, Hint: named, Second: message}
			if diff := cmp.Diff(want, ask(t, "probe", c.driver)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProbeSystemDriver(t *testing.T) {
	t.Parallel()
	a := ask(t, "probe", "")
	if a.Code != NoDriver {
		t.Skipf("this machine has a driver: %+v", a)
	}
	message := "no NVIDIA driver found: looked for libcuda.so.1 where the system's loader looks " +
		"(libcuda.so.1: cannot open shared object file: No such file or directory) and in " +
		"/usr/local/nvidia/lib64, /usr/lib/wsl/lib, /run/opengl-driver/lib, " + folders[3] + ", /usr/lib64"
	want := answer{Code: NoDriver, Message: message, Second: message,
		Hint: "install the NVIDIA driver, so that nvidia-smi lists the GPU; in a container, start it with its GPUs " +
			"(docker run --gpus all); or set WEFT_CUDA_DRIVER to the path of libcuda.so.1"}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
}

func TestProbeRefusals(t *testing.T) {
	t.Parallel()
	fake := compile(t, "testdata/fake.c")
	start := "the NVIDIA driver at " + fake + " (CUDA 12.8) does not start: cuInit: "
	see := "see whether nvidia-smi works and /dev/nvidia-uvm exists (nvidia-modprobe -u makes it); after a suspend or an update, reboot"
	for name, c := range map[string]struct {
		environment   []string
		code, message string
		hint, wrapped string
	}{
		"old": {
			[]string{"FAKE_VERSION=10020"}, DriverTooOld,
			"the NVIDIA driver at " + fake + " is too old: it supports CUDA 10.2, weft needs 11.4 or newer",
			"update the NVIDIA driver to version 470 or newer", "",
		},
		"unknown error": {
			[]string{"FAKE_INIT=999"}, InitFailed, start + "unknown error (CUDA error 999, CUDA_ERROR_UNKNOWN)", see,
			"cuInit: unknown error (CUDA error 999, CUDA_ERROR_UNKNOWN)",
		},
		"stub": {
			[]string{"FAKE_VERSION=-34"}, InitFailed,
			"the NVIDIA driver at " + fake + " does not start: cuDriverGetVersion: the library is the toolkit's stub (CUDA error 34, CUDA_ERROR_STUB_LIBRARY)",
			"this library is the CUDA toolkit's stub, made for linking only; take its folder out of LD_LIBRARY_PATH, " +
				"or set WEFT_CUDA_DRIVER to the driver's own libcuda.so.1",
			"cuDriverGetVersion: the library is the toolkit's stub (CUDA error 34, CUDA_ERROR_STUB_LIBRARY)",
		},
		"mismatch": {
			[]string{"FAKE_INIT=803"}, InitFailed,
			start + "driver library and kernel module differ in version (CUDA error 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)",
			"the driver was updated under a running kernel module: reboot, or unload and load the nvidia modules",
			"cuInit: driver library and kernel module differ in version (CUDA error 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)",
		},
		"number without a name": {
			[]string{"FAKE_INIT=4711"}, InitFailed, start + "an error that weft does not know (CUDA error 4711, CUDA_ERROR_4711)",
			"see whether nvidia-smi works, and what dmesg says of NVRM",
			"cuInit: an error that weft does not know (CUDA error 4711, CUDA_ERROR_4711)",
		},
		"no device": {
			[]string{"FAKE_INIT=100"}, NoDevice, "the NVIDIA driver at " + fake + " (CUDA 12.8) finds no GPU",
			"see whether lspci and nvidia-smi list the GPU; in a container, start it with its GPUs (docker run --gpus all)",
			"cuInit: no device (CUDA error 100, CUDA_ERROR_NO_DEVICE)",
		},
		"hidden from cuInit": {
			[]string{"FAKE_INIT=100", "CUDA_VISIBLE_DEVICES="}, Hidden, `CUDA_VISIBLE_DEVICES="" leaves no GPU to use`,
			"unset CUDA_VISIBLE_DEVICES, or give numbers or UUIDs that nvidia-smi -L lists",
			"cuInit: no device (CUDA error 100, CUDA_ERROR_NO_DEVICE)",
		},
		"hidden from the count": {
			[]string{"FAKE_COUNT=0", "CUDA_VISIBLE_DEVICES=9"}, Hidden, `CUDA_VISIBLE_DEVICES="9" leaves no GPU to use`,
			"unset CUDA_VISIBLE_DEVICES, or give numbers or UUIDs that nvidia-smi -L lists", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := answer{Code: c.code, Message: c.message, Hint: c.hint, Wrapped: c.wrapped, Second: c.message}
			if diff := cmp.Diff(want, ask(t, "probe", fake, c.environment...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProbeDevices(t *testing.T) {
	t.Parallel()
	fake := compile(t, "testdata/fake.c")
	device := Info{
		UUID: "GPU-11111111-1111-1111-1111-111111111111", Name: "Fake 0", PCI: "00000000:DB:00.0",
		Major: 9, SMs: 132, MemoryBytes: 1 << 30, SharedBytes: 227 << 10, ComputeMode: ModeDefault,
	}
	second := device
	second.Index, second.UUID, second.Name, second.MemoryBytes = 1, "GPU-22222222-2222-2222-2222-222222222222", "Fake 1", 2<<30
	old, prohibited := device, device
	old.Major, old.Unusable = 7, "compute capability 7.0; weft needs 8.0 (Ampere) or newer"
	prohibited.ComputeMode = ModeProhibited
	prohibited.Unusable = "compute mode prohibited; an administrator can allow it with nvidia-smi -c DEFAULT"
	for name, c := range map[string]struct {
		environment []string
		want        []Info
	}{
		"two":        {[]string{"FAKE_COUNT=2"}, []Info{device, second}},
		"old":        {[]string{"FAKE_MAJOR=7"}, []Info{old}},
		"prohibited": {[]string{"FAKE_MODE=2"}, []Info{prohibited}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := answer{Driver: Driver{Path: fake, Version: 12080, Devices: c.want}}
			if diff := cmp.Diff(want, ask(t, "probe", fake, c.environment...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	fake := compile(t, "testdata/fake.c")
	for name, c := range map[string]struct {
		task          string
		environment   []string
		code, message string
		hint, wrapped string
	}{
		"no such device": {
			"open 7", nil, NoSuchDevice, "no GPU 7: there is GPU 0 alone", "nvidia-smi -L lists them", "",
		},
		"hidden device": {
			"open 7", []string{"FAKE_COUNT=2", "CUDA_VISIBLE_DEVICES=0,3"}, NoSuchDevice,
			`no GPU 7: there are 2, from 0 (CUDA_VISIBLE_DEVICES="0,3")`, "nvidia-smi -L lists them", "",
		},
		"old": {
			"open", []string{"FAKE_MAJOR=6"}, Unusable,
			"GPU 0 (Fake 0) cannot be used: compute capability 6.0; weft needs 8.0 (Ampere) or newer", "use another GPU", "",
		},
		"taken": {
			"open", []string{"FAKE_MODE=3", "FAKE_CONTEXT=46"}, Busy,
			"GPU 0 (Fake 0) is in exclusive-process mode and another process has it: " +
				"cuCtxCreate: the device is busy or unavailable (CUDA error 46, CUDA_ERROR_DEVICE_UNAVAILABLE)",
			"end that process (nvidia-smi lists it), or let several share the GPU with nvidia-smi -c DEFAULT",
			"cuCtxCreate: the device is busy or unavailable (CUDA error 46, CUDA_ERROR_DEVICE_UNAVAILABLE)",
		},
		"unavailable": {
			"open", []string{"FAKE_CONTEXT=46"}, Busy,
			"GPU 0 (Fake 0) is busy or unavailable: cuCtxCreate: the device is busy or unavailable (CUDA error 46, CUDA_ERROR_DEVICE_UNAVAILABLE)",
			"see nvidia-smi for its compute mode and processes; it may need a reset",
			"cuCtxCreate: the device is busy or unavailable (CUDA error 46, CUDA_ERROR_DEVICE_UNAVAILABLE)",
		},
		"full": {
			"open", []string{"FAKE_CONTEXT=2"}, NoMemory,
			"GPU 0 (Fake 0) has too little free memory for a context: cuCtxCreate: out of memory (CUDA error 2, CUDA_ERROR_OUT_OF_MEMORY)",
			"see nvidia-smi for the processes that hold its memory",
			"cuCtxCreate: out of memory (CUDA error 2, CUDA_ERROR_OUT_OF_MEMORY)",
		},
		"broken": {
			"open", []string{"FAKE_CONTEXT=304"}, OpenFailed,
			"GPU 0 (Fake 0) cannot be opened: cuCtxCreate: a call to the operating system failed (CUDA error 304, CUDA_ERROR_OPERATING_SYSTEM)",
			"see whether nvidia-smi works, and what dmesg says of NVRM",
			"cuCtxCreate: a call to the operating system failed (CUDA error 304, CUDA_ERROR_OPERATING_SYSTEM)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := answer{Code: c.code, Message: c.message, Hint: c.hint, Wrapped: c.wrapped}
			if diff := cmp.Diff(want, ask(t, c.task, fake, c.environment...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The driver is not touched before Probe, though cu's init() calls it, and then
// once and with enough hardware queues.
func TestIdleUntilProbe(t *testing.T) {
	t.Parallel()
	fake := compile(t, "testdata/fake.c")
	log := filepath.Join(t.TempDir(), "log")
	ask(t, "idle", fake, "FAKE_LOG="+log)
	if text, err := os.ReadFile(log); err == nil {
		t.Fatalf("starting the program reached the driver: %s", text)
	}
	ask(t, "open", fake, "FAKE_LOG="+log)
	ask(t, "probe", fake, "FAKE_LOG="+log, "CUDA_DEVICE_MAX_CONNECTIONS=5")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := "opened connections=32\ninitialised connections=32\ncontext, blocking connections=32\n" +
		"opened connections=5\ninitialised connections=5\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestLoadTellsCompilersLog(t *testing.T) {
	t.Parallel()
	want := answer{Message: "cuModuleLoadDataEx: the PTX does not compile (CUDA error 218, CUDA_ERROR_INVALID_PTX):\n" +
		"ptxas application ptx input, line 1; error: wrong"}
	if diff := cmp.Diff(want, ask(t, "load wrong", compile(t, "testdata/fake.c"))); diff != "" {
		t.Error(diff)
	}
}

// This program must start on a machine without a driver, and offer the driver
// none of its own symbols.
func TestNotLinkedWithDriver(t *testing.T) {
	t.Parallel()
	self, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = self.Close() }() // read only
	libraries, err := self.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if strings.Contains(l, "cuda") {
			t.Errorf("linked with %s", l)
		}
	}
	symbols, err := self.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "cu") || strings.HasPrefix(s.Name, "weft_cuda") {
			t.Errorf("the dynamic symbol %s", s.Name)
		}
	}
}
