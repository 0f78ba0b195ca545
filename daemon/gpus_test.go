package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
	"weft/gpu/train"
)

func withGPU(t *testing.T, slots int, f func(*bubble)) {
	t.Helper()
	bubbled(t, func(t *testing.T) *bubble {
		return &bubble{t: t, dev: newMemDevice("cpu", slots), gpu: newMemDevice("gpu0", slots), loader: newMemLoader()}
	}, f)
}

func onDevice(want string) func(*store.NewJob) { return func(j *store.NewJob) { j.Device = want } }

func noDriver() gpu.Discovery {
	return gpu.Discovery{Fault: &train.Fault{Code: "no_driver", Message: "no NVIDIA driver found: looked for libcuda.so.1",
		Hint: "install the NVIDIA driver"}}
}

func twoGPUs() gpu.Discovery {
	var d gpu.Discovery
	d.Path, d.Version = "/usr/lib/libcuda.so.1", 12080
	d.Devices = []gpu.Found{
		{Index: 0, Name: "H200", Major: 9, SMs: 132, MemoryBytes: 139 << 30, UUID: "GPU-1"},
		{Index: 1, Name: "GTX 1080", Major: 6, Minor: 1, SMs: 20, MemoryBytes: 8 << 30, UUID: "GPU-2",
			Unusable: "compute capability 6.1; weft needs 8.0 (Ampere) or newer"},
	}
	return d
}

func onGPU(want string) string {
	return `{"spec":` + strings.Replace(irisSpec, `"epochs":3`, `"epochs":3,"device":"`+want+`"`, 1) + `}`
}

// A job that asks for a GPU is refused at once where there is none, with what
// was looked for.
func TestGPUThatIsNotThere(t *testing.T) {
	r := newRig(t, 1, func(r *rig) { r.found = noDriver() })
	p := ok[api.Problem](r, 404, "POST", "/v1/jobs", onGPU("gpu"))
	if want := "there is no gpu: no NVIDIA driver found: looked for libcuda.so.1"; p.Detail != want ||
		p.Hint != "install the NVIDIA driver" || p.Code != api.CodeNotFound || p.Errors[0].Location != "/spec" {
		t.Errorf("%+v, want %q", p, want)
	}
	if list := ok[api.JobList](r, 200, "GET", "/v1/jobs", ""); len(list.Jobs) != 0 {
		t.Errorf("%d jobs", len(list.Jobs))
	}
	r.submit("") // auto takes the CPU

	r = newRig(t, 1, func(r *rig) {
		r.found = twoGPUs()
		r.gpus = []*memDevice{newMemDevice("gpu0", 4)}
	})
	p = ok[api.Problem](r, 404, "POST", "/v1/jobs", onGPU("gpu:1"))
	if p.Detail != "there is no gpu1" || p.Hint != "there is gpu0 (memory)" {
		t.Errorf("%+v", p)
	}
	runs := ok[[]api.DryRun](r, 200, "POST", "/v1/jobs?dry_run=true", sub(""))
	if runs[0].Device != "gpu0" || runs[0].MemoryBytes == 0 {
		t.Errorf("dry run %+v", runs)
	}

	r = newRig(t, 1, func(r *rig) { r.found = twoGPUs() }) // found, not served
	p = ok[api.Problem](r, 404, "POST", "/v1/jobs", onGPU("gpu"))
	if p.Detail != "there is no gpu served" || p.Hint != "weft serve --device auto, started again, serves gpu0 (H200)" {
		t.Errorf("%+v", p)
	}
}

// A GPU that has never come up refuses jobs in its worker's words; one that
// dies later keeps them in the queue.
func TestGPUThatFails(t *testing.T) {
	dev := newDownDevice("gpu0", 4)
	r := newRig(t, 1, func(r *rig) {
		r.found = twoGPUs()
		r.gpus = []*memDevice{dev}
	})
	starting := ok[[]api.DryRun](r, 200, "POST", "/v1/jobs?dry_run=true", onGPU("gpu"))
	if starting[0].Device != "gpu0" {
		t.Errorf("while it starts: %+v", starting)
	}
	dev.emit(gpu.Down{Evidence: "worker gpu0 ended after 1s; its last words:\nweft: gpu0: another process has it",
		Reason: "gpu0: another process has it", Hint: "end that process"})
	r.untilDevice("gpu0", api.DeviceFailing)
	p := ok[api.Problem](r, 503, "POST", "/v1/jobs", onGPU("gpu:0"))
	if p.Detail != "gpu0 does not start: gpu0: another process has it" || p.Hint != "end that process" {
		t.Errorf("%+v", p)
	}
	if h := ok[api.Health](r, 200, "GET", "/healthz", ""); h.Status != api.CheckOK {
		t.Errorf("a GPU that never was there makes the daemon sick: %+v", h)
	}
	id := r.submit("")
	if got := r.arrived(); got != id { // on the CPU
		t.Errorf("job %d arrived", got)
	}
	dev.emit(gpu.Up{Info: dev.info})
	r.untilDevice("gpu0", api.DeviceReady)
	dev.crash("signal: segmentation fault")
	ok[api.Submitted](r, 201, "POST", "/v1/jobs", onGPU("gpu"))
}

// untilDevice waits until a device is in that state.
func (r *rig) untilDevice(id, state string) {
	r.t.Helper()
	for began := time.Now(); time.Since(began) < limit; {
		for _, v := range ok[[]api.Device](r, 200, "GET", "/v1/devices", "") {
			if v.ID == id && v.State == state {
				return
			}
		}
	}
	r.t.Fatalf("device %s is not %s", id, state)
}

func TestDoctorKnowsGPUs(t *testing.T) {
	r := newRig(t, 1, func(r *rig) { r.found = noDriver() })
	find := func(d api.Doctor, name string) api.DoctorCheck {
		i := slices.IndexFunc(d.Checks, func(c api.DoctorCheck) bool { return c.Name == name })
		if i < 0 {
			return api.DoctorCheck{}
		}
		return d.Checks[i]
	}
	c := find(ok[api.Doctor](r, 200, "GET", "/v1/doctor", ""), "NVIDIA driver")
	if !strings.HasSuffix(c.Found, "no NVIDIA driver found: looked for libcuda.so.1; jobs run on the CPU") || c.Hint == "" {
		t.Errorf("%+v", c)
	}
	r.found = twoGPUs() // somebody installs one
	if c := find(ok[api.Doctor](r, 200, "GET", "/v1/doctor", ""), "GPU 0"); c.Name != "" {
		t.Errorf("it asked without being told to: %+v", c)
	}
	d := ok[api.Doctor](r, 200, "GET", "/v1/doctor?probe=true", "")
	if c := find(d, "NVIDIA driver"); c.Status != api.CheckOK || !strings.HasPrefix(c.Found, "CUDA 12.8, /usr/lib/libcuda.so.1") {
		t.Errorf("%+v", c)
	}
	want := "H200, compute capability 9.0, 132 multiprocessors, 139 GiB, GPU-1"
	if c := find(d, "GPU 0"); c.Status != api.CheckOK || c.Found != want {
		t.Errorf("%+v, want %s", c, want)
	}
	if c := find(d, "GPU 1"); c.Status != api.CheckWarn || !strings.Contains(c.Found, "compute capability 6.1; weft needs 8.0") {
		t.Errorf("%+v", c)
	}
}

func TestServes(t *testing.T) {
	two := twoGPUs()
	none := noDriver()
	for _, c := range []struct {
		names string
		found *gpu.Discovery
		takes string
		cpu   bool
		want  string
	}{
		{"", &two, "gpu0", true, ""},
		{"auto", &none, "", true, ""},
		{"cpu", &two, "", true, ""},
		{"gpu", &two, "gpu0", false, ""},
		{"gpu", &none, "", false, "cannot serve a GPU: no NVIDIA driver found: looked for libcuda.so.1"},
		{"cpu gpu:0", &two, "gpu0", true, ""},
		{"gpu0", &two, "gpu0", false, ""},
		{"gpu:1", &two, "", false, "cannot serve gpu1: compute capability 6.1; weft needs 8.0 (Ampere) or newer"},
		{"gpu:2", &two, "", false, "cannot serve gpu2"},
		{"tpu", &two, "", false, `unknown device "tpu"`},
		{"gpu:x", &two, "", false, `unknown device "gpu:x"`},
		{"gpu:", &two, "", false, `unknown device "gpu:"`},
	} {
		s, err := parseServes(strings.Fields(c.names))
		if err == nil && s.asks() {
			err = s.check(c.found)
		}
		if c.want != "" {
			if e := api.AsError(err); e == nil || e.Message != c.want || e.Hint == "" {
				t.Errorf("%q: %v, want %s", c.names, err, c.want)
			}
			continue
		}
		var takes []string
		for _, g := range c.found.Usable() {
			if id := gpu.IDOf(g.Index); s.takes(id) {
				takes = append(takes, id)
			}
		}
		if err != nil || s.cpu != c.cpu || strings.Join(takes, " ") != c.takes {
			t.Errorf("%q: %+v takes %v, error %v", c.names, s, takes, err)
		}
	}
}

// A device that has not the memory after all gives the job back; it waits with
// the reason, smaller ones go on, and it starts when there is room.
func TestMemoryThatIsTaken(t *testing.T) {
	const mib = 1 << 20
	sized := func(bytes int64) func(*store.NewJob) {
		return func(j *store.NewJob) { j.Device, j.GPUBytes, j.DataBytes, j.DataHash = "gpu", bytes, 0, "" }
	}
	withGPU(t, 8, func(b *bubble) {
		b.loader.hash = "" // any
		large := b.submit(sized(600 * mib))
		b.state(large, api.Running)
		b.gpu.emit(gpu.Returned{Job: large, NeedBytes: 600 * mib, TakenBytes: 700 * mib})
		b.settle()
		rec := b.state(large, api.Queued)
		if want := "waits for memory on gpu0: another process holds 700 MiB"; rec.Reason != want {
			t.Errorf("it waits because %q, want %q", rec.Reason, want)
		}
		small := b.submit(sized(100 * mib))
		b.gpu.emit(gpu.Started{Job: small})
		b.pass(10 * time.Minute)
		b.state(small, api.Running)
		b.state(large, api.Queued)
		if n := b.gpu.starts(); n != 2 {
			t.Errorf("%d starts while the memory is taken", n)
		}
		b.gpu.emit(gpu.Memory{})
		b.settle()
		b.state(large, api.Running)
	})
}

// A job that is given back without a known cause is tried again, ever more
// rarely.
func TestRefusedMemoryDoesNotSpin(t *testing.T) {
	withGPU(t, 8, func(b *bubble) {
		id := b.submit(onDevice("gpu"))
		starts := 0
		for range 10 * 60 { // ten minutes
			for b.settle(); b.gpu.starts() > starts; b.settle() {
				starts++
				b.gpu.emit(gpu.Returned{Job: id, NeedBytes: 1000})
			}
			b.pass(time.Second)
		}
		if starts < 10 || starts > 30 {
			t.Errorf("%d starts in ten minutes", starts)
		}
		if rec := b.job(id); rec.Faults != 0 || rec.State == api.Failed {
			t.Errorf("%+v", rec)
		}
	})
}

// Of a gang of suspects the culprit is found by halves.
func TestGangOfSuspectsIsDivided(t *testing.T) {
	const n, culprit = 16, 11
	withGPU(t, 64, func(b *bubble) {
		var ids []int64
		for range n {
			ids = append(ids, b.submit(onDevice("gpu")))
		}
		resident := func() []int64 {
			b.gpu.mu.Lock()
			defer b.gpu.mu.Unlock()
			var on []int64
			for id := range b.gpu.resident {
				on = append(on, id)
			}
			slices.Sort(on)
			return on
		}
		bad := ids[culprit]
		sizes := []int{}
		for crashes := 0; b.job(bad).State != api.Failed; {
			on := resident()
			for _, id := range on {
				b.gpu.emit(gpu.Started{Job: id})
			}
			b.settle()
			if slices.Contains(on, bad) {
				sizes = append(sizes, len(on))
				b.gpu.crash("CUDA_ERROR_ILLEGAL_ADDRESS", on...)
				b.settle()
				if crashes++; crashes > 12 {
					t.Fatalf("gangs of %v", sizes)
				}
				continue
			}
			b.pass(probation + time.Second)
		}
		want := []int{16, 8, 4, 2, 1, 1}
		if !slices.Equal(sizes, want) {
			t.Errorf("gangs that crashed had %v jobs, want %v", sizes, want)
		}
		b.failed(bad, api.CodeWorkerLost, "with this job alone on it")
		b.pass(5 * time.Minute)
		if on := resident(); len(on) != n-1 {
			t.Errorf("%d others run, not %d", len(on), n-1)
		}
	})
}

// The daemon is ready while jobs can start somewhere.
func TestReadyWhileNobodyWaitsForADeadWorker(t *testing.T) {
	withGPU(t, 1, func(b *bubble) {
		ready := func() bool {
			b.settle()
			b.o.board.mu.RLock()
			defer b.o.board.mu.RUnlock()
			return len(b.o.board.starved) == 0
		}
		b.gpu.emit(gpu.Down{Evidence: "gone"})
		if !ready() {
			t.Error("red though nobody waits")
		}
		b.submit()
		b.submit() // behind the first on the CPU
		if !ready() {
			t.Error("red though the CPU has a worker")
		}
		id := b.submit(onDevice("gpu"))
		if ready() {
			t.Error("green though a job waits for the GPU's worker")
		}
		if rec := b.job(id); rec.Reason != "no worker for gpu is ready" {
			t.Errorf("it waits because %q", rec.Reason)
		}
		b.gpu.emit(gpu.Up{Info: b.gpu.info})
		if !ready() {
			t.Error("red though the worker is back")
		}
	})
}

// What takes any device goes on where its checkpoint is from, so that its
// numbers are the same bits.
func TestCheckpointStaysWithItsKind(t *testing.T) {
	withGPU(t, 1, func(b *bubble) {
		first := b.submit()
		if rec := b.state(first, api.Running); rec.Device != "gpu0" {
			t.Fatalf("it runs on %s", rec.Device)
		}
		b.gpu.emit(gpu.Checkpointed{Job: first, Step: 9})
		b.settle()
		b.gpu.mu.Lock()
		b.gpu.emitLocked(gpu.Down{Lost: []int64{first}, Evidence: "killed"})
		b.gpu.mu.Unlock()
		b.settle()
		rec := b.state(first, api.Queued)
		if rec.Reason != "no worker for gpu is ready" {
			t.Errorf("it waits because %q", rec.Reason)
		}
		second := b.submit() // it has no checkpoint
		if rec := b.state(second, api.Running); rec.Device != "cpu" {
			t.Errorf("it runs on %s", rec.Device)
		}
		b.gpu.emit(gpu.Up{Info: b.gpu.info})
		b.settle()
		if rec := b.state(first, api.Running); rec.Device != "gpu0" {
			t.Errorf("it goes on on %s", rec.Device)
		}
	})
}

func TestDeviceIsToldOfPriorities(t *testing.T) {
	withGPU(t, 4, func(b *bubble) {
		id := b.submit(onDevice("gpu"), func(j *store.NewJob) { j.Priority = 3 })
		waits := b.submit(func(j *store.NewJob) { j.Hold = true })
		for _, id := range []int64{id, waits} {
			if _, err := b.o.patch(b.t.Context(), id, api.Patch{Priority: new(7)}, anyone); err != nil {
				t.Fatal(err)
			}
		}
		b.gpu.mu.Lock()
		defer b.gpu.mu.Unlock()
		if b.gpu.started[0].Priority != 3 || fmt.Sprint(b.gpu.priorities) != fmt.Sprintf("map[%d:7]", id) {
			t.Errorf("started with %d, told %v", b.gpu.started[0].Priority, b.gpu.priorities)
		}
	})
}
