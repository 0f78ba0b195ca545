//go:build cuda

package nvml

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeLibrary compiles the management library of testdata.
func fakeLibrary(t *testing.T) string {
	t.Helper()
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc")
	}
	file := filepath.Join(t.TempDir(), "libfakenvml.so")
	out, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-o", file, "testdata/fakenvml.c").CombinedOutput()
	if err != nil {
		t.Fatalf("compile the library: %v\n%s", err, out)
	}
	return file
}

// A library of an old version: what it has is read, what it has not is nil, and
// no function that it has not is called. The GPU is lost, and comes back.
func TestOldLibrary(t *testing.T) {
	file := fakeLibrary(t)
	lost := filepath.Join(t.TempDir(), "lost")
	t.Setenv("FAKE_NVML_LOST", lost)
	r := NewReader(file)
	defer r.Close()
	device := Device{UUID: firstGPU, Name: "Fake V100"}
	want := Frame{At: start, Driver: "470.99", Samples: []Sample{{Device: device, State: StateOK, Readings: Readings{
		Utilization: ptr(0.93), MemoryUtilization: ptr(0.0), MemoryUsed: ptr(int64(1024)), MemoryTotal: ptr(int64(16384)),
		Power: ptr(123.456), Temperature: ptr(61.0), SMClock: ptr(int64(1_380_000_000)), MemoryClock: ptr(int64(877_000_000)),
		Throttled: []string{"power_cap", "software_thermal"},
	}, Processes: []Process{{PID: 42}}}}}
	if diff := cmp.Diff(want, r.Read(start)); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(lost, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := Frame{At: start, Driver: "470.99", Samples: []Sample{{Device: device, State: StateLost,
		Reason: "the GPU is lost: GPU is lost, after Xid 79", Hint: lostHint}}}
	if diff := cmp.Diff(gone, r.Read(start)); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	want.At = start.Add(reopenEvery) // the library begins anew, which forgets the error
	if diff := cmp.Diff(want, r.Read(want.At)); diff != "" {
		t.Error(diff)
	}
}

func TestLibraryDoesNotStart(t *testing.T) {
	b := Open(filepath.Join(t.TempDir(), "libnone.so"))
	_, err := b.Devices()
	if e := errorOf(err); e.Code != CodeAbsent || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	file := fakeLibrary(t)
	t.Setenv("FAKE_NVML_UNLOADED", "1")
	r := NewReader(file)
	defer r.Close()
	want := &Error{Code: CodeAbsent, Message: "the kernel's part of the NVIDIA driver is not loaded",
		Hint: "modprobe nvidia, and see dmesg for NVRM lines"}
	for range 2 {
		if diff := cmp.Diff(want, r.Read(time.Now()).Fault); diff != "" {
			t.Error(diff)
		}
	}
}
