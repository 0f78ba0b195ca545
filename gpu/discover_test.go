package gpu

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/gpu/cuda"
	"weft/gpu/train"
)

// script writes a shell script that stands for weft.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weft")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProbeIsRead(t *testing.T) {
	want := Discovery{Driver: cuda.Driver{Path: "/lib/libcuda.so.1", Version: 12080, Devices: []Found{
		{Index: 0, Name: "GTX 1080", Major: 6, Minor: 1, Unusable: "compute capability 6.1"},
		{Index: 1, Name: "H200", Major: 9, MemoryBytes: 139 << 30},
	}}}
	js, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := discover(t.Context(), script(t, `[ "$1 $2" = "worker probe" ] || exit 9
		echo 'the driver says something' >&2
		echo '`+string(js)+`'`), time.Minute)
	if got.Fault != nil || len(got.Devices) != 2 || got.Version != 12080 {
		t.Fatalf("%+v", got)
	}
	if usable := got.Usable(); len(usable) != 1 || IDOf(usable[0].Index) != "gpu1" {
		t.Errorf("usable: %+v", usable)
	}
}

func TestNoGPUIsUsable(t *testing.T) {
	for want, d := range map[string]Discovery{
		"the NVIDIA driver knows no GPU": {},
		"weft cannot use gpu0 (old): below 8.0": {Driver: cuda.Driver{Devices: []Found{
			{Name: "old", Unusable: "below 8.0"}}}},
		"weft cannot use gpu0 (old): below 8.0; nor the 1 others": {Driver: cuda.Driver{Devices: []Found{
			{Name: "old", Unusable: "below 8.0"}, {Index: 1, Unusable: "too"}}}},
		"no driver": {Fault: &train.Fault{Message: "no driver"}},
	} {
		if d.judge(); d.Fault == nil || d.Fault.Message != want {
			t.Errorf("%+v, want %s", d.Fault, want)
		}
	}
	fine := Discovery{Driver: cuda.Driver{Devices: []Found{{Unusable: "old"}, {Index: 1}}}}
	if fine.judge(); fine.Fault != nil {
		t.Errorf("one of two is usable: %+v", fine.Fault)
	}
}

// Whatever a driver does to the probe, the daemon gets a reason.
func TestProbeThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		text, code, want string
	}{
		"crash": {`kill -SEGV $$`, faultDied, "crashed the process that asks it: SIGSEGV"},
		"crash in cgo": {`echo 'SIGSEGV: segmentation violation' >&2; exit 2`, faultDied,
			"the NVIDIA driver crashed the process that asks it"},
		"error":    {`echo 'weft: start worker: no kind given' >&2; exit 1`, faultDied, "no kind given"},
		"nonsense": {`echo nonsense`, faultDied, "invalid character"},
		"flood":    {`head -c 3000000 /dev/zero`, faultDied, "invalid character"},
		"hang":     {`sleep 600`, faultHangs, "did not answer within"},
		"orphan":   {`sleep 600 & echo '{}'`, faultDied, "WaitDelay"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			limit := time.Minute
			if c.code == faultHangs {
				limit = 100 * time.Millisecond
			}
			d := discover(t.Context(), script(t, c.text), limit)
			if d.Fault == nil || d.Fault.Code != c.code || !strings.Contains(d.Fault.Message, c.want) || d.Fault.Hint == "" {
				t.Errorf("%+v, want %s: %s", d.Fault, c.code, c.want)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	if d := discover(t.Context(), "/no/such/weft", time.Minute); d.Fault == nil || d.Fault.Code != faultDied {
		t.Errorf("no program: %+v", d.Fault)
	}
}

func TestLastError(t *testing.T) {
	for _, c := range []struct{ words, reason, hint string }{
		{"", "", ""},
		{"panic: x\ngoroutine 1", "", ""},
		{"weft: first\ntry: this\nlog line\nweft: second\n", "second", ""},
		{"weft: gpu0: a kernel failed\ntry: that\n", "gpu0: a kernel failed", "that"},
		{"try: nothing", "", ""},
	} {
		if reason, hint := lastError(c.words); reason != c.reason || hint != c.hint {
			t.Errorf("%q: %q, %q", c.words, reason, hint)
		}
	}
}

func TestSharingOfTheHost(t *testing.T) {
	for _, c := range []struct {
		sharing              Sharing
		threads, slots       int
		wantLanes, wantSlots int
	}{
		{SharingAuto, 4, 0, 4, DefaultSlots},
		{"", 32, 0, 32, 64},
		{SharingAuto, 4, 100000, 4, 100000},
		{SharingSequential, 4, 0, 1, 1},
		{SharingSequential, 4, 8, 1, 1},
		{SharingStreams, 4, 0, 4, 4},
		{SharingStreams, 4, 2, 4, 2},
		{SharingFused, 4, 0, 4, fusedSlots},
		{SharingFused, 4, 32, 4, 32},
	} {
		cfg := HostConfig{Sharing: c.sharing, Threads: c.threads, Slots: c.slots}.withDefaults()
		if cfg.Threads != c.wantLanes || cfg.Slots != c.wantSlots {
			t.Errorf("%+v: %d lanes, %d slots", c, cfg.Threads, cfg.Slots)
		}
	}
}

func TestSharingOfAGPU(t *testing.T) {
	for _, c := range []struct {
		sharing              Sharing
		slots                int
		wantLanes, wantSlots int
	}{
		{"", 0, 3, fusedSlots},
		{SharingAuto, 10, 3, 10},
		{SharingSequential, 0, 1, 1},
		{SharingStreams, 0, mostStreams, mostStreams},
		{SharingStreams, 200, mostStreams, mostStreams},
		{SharingStreams, 8, 8, 8},
		{SharingFused, 0, 1, fusedSlots},
	} {
		cfg := GPUConfig{Sharing: c.sharing, Slots: c.slots}.withDefaults()
		if cfg.lanes() != c.wantLanes || cfg.Slots != c.wantSlots {
			t.Errorf("%+v: %d lanes, %d slots", c, cfg.lanes(), cfg.Slots)
		}
	}
}

// A GPU whose worker cannot start is a device all the same, down and tried
// again, with the worker's own words.
func TestGPUThatDoesNotStart(t *testing.T) {
	d, err := OpenGPU(t.Context(), GPUConfig{ID: "gpu0", Program: script(t,
		`echo "weft: gpu0: it is in exclusive-process mode and another process has it" >&2
		echo "try: end that process" >&2
		exit 71`)})
	if err != nil {
		t.Fatal(err)
	}
	down := await(t, d, "down", is[Down]).(Down)
	if down.Reason != "gpu0: it is in exclusive-process mode and another process has it" ||
		down.Hint != "end that process" || len(down.Suspects) != 0 {
		t.Errorf("%+v", down)
	}
	await(t, d, "another try", is[Down])
	d.Kill()
}
