//go:build cuda

package gpu

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/gpu/cuda"
	"weft/kernels/simtest"
)

func init() {
	giveDriver = func() error {
		if simtest.RealGPU() {
			return nil
		}
		env, err := simtest.Env()
		for name, value := range env {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
		return err
	}
}

// simulated skips a test that orders things of the simulator, and orders them.
func simulated(t *testing.T, env ...string) {
	t.Helper()
	if simtest.RealGPU() {
		t.Skip("needs the driver simulator")
	}
	needsDriver(t)
	for _, assignment := range env {
		name, value, _ := strings.Cut(assignment, "=")
		t.Setenv(name, value)
	}
}

func needsDriver(t *testing.T) {
	t.Helper()
	if os.Getenv(cuda.DriverVariable) == "" && !simtest.RealGPU() {
		t.Skip("no g++ here to compile the driver simulator with")
	}
}

func openGPU(t *testing.T, cfg GPUConfig) *Device {
	t.Helper()
	needsDriver(t)
	cfg.Program = os.Args[0]
	cfg.ID = IDOf(cfg.Index)
	d, err := OpenGPU(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		go func() {
			for range d.Events() { // Kill waits for its events to be read
			}
		}()
		d.Kill()
	})
	return d
}

// ready is openGPU that wants the worker to be up.
func ready(t *testing.T, cfg GPUConfig) *Device {
	t.Helper()
	d := openGPU(t, cfg)
	switch e := await(t, d, "the first word", func(e Event) bool { return is[Up](e) || is[Down](e) }).(type) {
	case Down:
		t.Fatalf("the worker does not start: %s", e.Evidence)
	case Up:
		if e.Info.MemoryBytes <= 0 || e.Info.Name == "" || e.Info.PID == 0 {
			t.Errorf("up: %+v", e.Info)
		}
	}
	return d
}

const gpuSpec = `{"data": {"source": "iris"}, "model": [{"linear": 16}, "relu", {"dropout": 0.1}, {"linear": 3}],
	"epochs": %d, "seed": %d, "checkpoint": {"every": %q}}`

func TestGPUTrains(t *testing.T) {
	d, l := ready(t, GPUConfig{}), openLoader(t)
	dir := t.TempDir()
	start(t, d, l, 1, parse(t, fmt.Sprintf(gpuSpec, 30, 3, "30s")), dir)
	if s := await(t, d, "start", is[Started]).(Started); s.Job != 1 || s.Step != 0 {
		t.Errorf("started %+v", s)
	}
	epochs := 0
	end := await(t, d, "end", func(e Event) bool {
		if e, ok := e.(EpochEnded); ok {
			if epochs++; e.Epoch != epochs || e.Job != 1 || e.Metrics["train_loss"] <= 0 {
				t.Errorf("epoch %+v came as number %d", e, epochs)
			}
		}
		return is[Finished](e)
	}).(Finished)
	if epochs != 30 {
		t.Errorf("%d epochs, not 30", epochs)
	}
	if acc := end.Metrics["val_accuracy"]; acc < 0.8 {
		t.Errorf("validation accuracy %v", acc)
	}
	if end.DeviceSeconds <= 0 || end.PeakBytes <= 0 {
		t.Errorf("usage not measured: %+v", end)
	}
	modelOf(t, dir)
}

// undisturbed is the model of a job that trains in peace.
func undisturbed(t *testing.T, d *Device, l *Loader, spec string) []byte {
	t.Helper()
	dir := t.TempDir()
	start(t, d, l, 1_000_000, parse(t, spec), dir)
	await(t, d, "end", is[Finished])
	return modelOf(t, dir)
}

func TestGPUPauseAndResumeKeepTheBits(t *testing.T) {
	d, l := ready(t, GPUConfig{}), openLoader(t)
	spec := fmt.Sprintf(gpuSpec, 400, 3, "30s")
	whole := undisturbed(t, d, l, spec)
	broken := t.TempDir()
	pauses := 0
	for done := false; !done; {
		start(t, d, l, 2, parse(t, spec), broken)
		await(t, d, "progress", func(e Event) bool { done = is[Finished](e); return done || progressed(e) })
		if done {
			break
		}
		if err := d.Stop(2, StopPause); err != nil {
			t.Fatal(err)
		}
		await(t, d, "pause or end", func(e Event) bool {
			done = is[Finished](e)
			return done || is[Stopped](e)
		})
		pauses++
	}
	if pauses == 0 {
		t.Error("the job was never paused")
	}
	if !bytes.Equal(whole, modelOf(t, broken)) {
		t.Errorf("models differ after %d pauses", pauses)
	}
}

// Every mode of sharing gives the same models.
func TestGPUSharingKeepsTheBits(t *testing.T) {
	l := openLoader(t)
	var want [][]byte
	for _, sharing := range Sharings {
		d := ready(t, GPUConfig{Sharing: sharing})
		var dirs []string
		const jobs = 6
		waiting, resident, ended := 0, 0, 0
		next := func() {
			for waiting < jobs && resident < d.Info().Slots {
				dir := t.TempDir()
				dirs = append(dirs, dir)
				start(t, d, l, int64(waiting+1), parse(t, fmt.Sprintf(gpuSpec, 20, waiting, "30s")), dir)
				waiting++
				resident++
			}
		}
		charged := 0.0
		for next(); ended < jobs; next() {
			charged += await(t, d, "end", is[Finished]).(Finished).DeviceSeconds
			resident--
			ended++
		}
		if busy := d.Activity().BusySeconds; busy <= 0 || math.Abs(charged/busy-1) > 0.001 {
			t.Errorf("%s: jobs were charged %.5f s of %.5f s", sharing, charged, busy)
		}
		for i, dir := range dirs {
			model := modelOf(t, dir)
			if sharing == SharingAuto {
				want = append(want, model)
			} else if !bytes.Equal(model, want[i]) {
				t.Errorf("%s: job %d has another model", sharing, i)
			}
		}
	}
}

func TestGPUCancelIsQuick(t *testing.T) {
	d, l := ready(t, GPUConfig{}), openLoader(t)
	spec := parse(t, fmt.Sprintf(gpuSpec, 1000000, 3, "1h"))
	for id := int64(1); id <= 8; id++ {
		start(t, d, l, id, spec, t.TempDir())
	}
	await(t, d, "progress", progressed)
	for id := int64(1); id <= 8; id++ {
		if err := d.Stop(id, StopCancel); err != nil {
			t.Fatal(err)
		}
	}
	left := map[int64]bool{}
	await(t, d, "stops", func(e Event) bool {
		if s, ok := e.(Stopped); ok {
			left[s.Job] = s.Mode == StopCancel
		}
		return len(left) == 8
	})
	start(t, d, l, 1, spec, t.TempDir()) // and there is room again
	await(t, d, "start", is[Started])
}

// A drained worker has checkpointed every job and given all memory back.
func TestGPUDrainLeavesNothing(t *testing.T) {
	leaks := filepath.Join(t.TempDir(), "leaks")
	simulated(t, "CUDASIM_LEAKS="+leaks)
	d, l := ready(t, GPUConfig{}), openLoader(t)
	dirs := map[int64]string{}
	for id := int64(1); id <= 5; id++ {
		dirs[id] = t.TempDir()
		start(t, d, l, id, parse(t, fmt.Sprintf(gpuSpec, 1000000, id, "1h")), dirs[id])
	}
	seen := map[int64]bool{}
	await(t, d, "progress of all", func(e Event) bool {
		if p, ok := e.(Progressed); ok {
			for _, j := range p.Jobs {
				if j.Step > 0 {
					seen[j.Job] = true
				}
			}
		}
		return len(seen) == len(dirs)
	})
	closed := make(chan error, 1)
	go func() { closed <- d.Close(context.Background()) }()
	stopped := map[int64]bool{}
	for e := range d.Events() {
		switch e := e.(type) {
		case Stopped:
			stopped[e.Job] = e.Mode == StopPreempt
		case Down:
			if len(e.Lost) > 0 || strings.Contains(e.Evidence, "exit status") && !strings.Contains(e.Evidence, "exit status 0") {
				t.Errorf("it ended with %+v", e)
			}
		}
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for id, dir := range dirs {
		if !stopped[id] {
			t.Errorf("job %d was not reported stopped", id)
		}
		if _, err := os.Stat(filepath.Join(dir, CheckpointFile)); err != nil {
			t.Errorf("job %d: %v", id, err)
		}
	}
	if text, err := os.ReadFile(leaks); err == nil && len(text) > 0 {
		t.Errorf("leaked:\n%s", text)
	}
}

func TestGPUWorkerKilledAccusesNobody(t *testing.T) {
	d, l := ready(t, GPUConfig{}), openLoader(t)
	spec := fmt.Sprintf(gpuSpec, 500, 7, "20ms")
	whole := undisturbed(t, d, l, spec)
	dir := t.TempDir()
	start(t, d, l, 7, parse(t, spec), dir)
	await(t, d, "checkpoint", func(e Event) bool { c, ok := e.(Checkpointed); return ok && c.Err == "" && c.Step > 0 })
	if err := syscall.Kill(d.Info().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	down := await(t, d, "down", is[Down]).(Down)
	if !slices.Equal(down.Lost, []int64{7}) || len(down.Suspects) != 0 {
		t.Errorf("down: %+v", down)
	}
	up := await(t, d, "up", is[Up]).(Up)
	if up.Info.Restarts != 1 || up.Info.PID == 0 {
		t.Errorf("up: %+v", up)
	}
	start(t, d, l, 7, parse(t, spec), dir)
	if s := await(t, d, "start", is[Started]).(Started); s.Step == 0 {
		t.Error("it starts from the beginning")
	}
	await(t, d, "end", is[Finished])
	if !bytes.Equal(whole, modelOf(t, dir)) {
		t.Error("the model is another after a kill")
	}
}

// A kernel that goes astray takes the context down: the gang is suspected, the
// worker says what it was and is started again.
func TestGPUStickyErrorIsSurvived(t *testing.T) {
	simulated(t, "CUDASIM_FAULT=sticky@20", "CUDASIM_FAULT_ONCE="+filepath.Join(t.TempDir(), "once"))
	d, l := ready(t, GPUConfig{}), openLoader(t)
	dirs := map[int64]string{}
	spec := func(id int64) string { return fmt.Sprintf(gpuSpec, 300, id, "10ms") }
	for id := int64(1); id <= 4; id++ {
		dirs[id] = t.TempDir()
		start(t, d, l, id, parse(t, spec(id)), dirs[id])
	}
	down := await(t, d, "down", is[Down]).(Down)
	slices.Sort(down.Suspects)
	if len(down.Suspects) == 0 || len(down.Lost) != 4 {
		t.Errorf("lost %v, suspects %v", down.Lost, down.Suspects)
	}
	if !strings.Contains(down.Reason, "CUDA_ERROR_ILLEGAL_ADDRESS") ||
		!strings.Contains(down.Evidence, "exit status "+strconv.Itoa(exitFault)) {
		t.Errorf("reason %q, evidence %s", down.Reason, down.Evidence)
	}
	await(t, d, "up", is[Up])
	for id := int64(1); id <= 4; id++ {
		start(t, d, l, id, parse(t, spec(id)), dirs[id])
	}
	for range 4 {
		await(t, d, "end", is[Finished])
	}
	for id, dir := range dirs {
		if !bytes.Equal(modelOf(t, dir), undisturbed(t, d, l, spec(id))) {
			t.Errorf("job %d has another model after the fault", id)
		}
	}
}

func TestGPUHangIsNoticed(t *testing.T) {
	simulated(t, "CUDASIM_FAULT=hang@10", "CUDASIM_FAULT_ONCE="+filepath.Join(t.TempDir(), "once"))
	d, l := ready(t, GPUConfig{QuantumLimit: time.Second}), openLoader(t)
	dir := t.TempDir()
	spec := parse(t, fmt.Sprintf(gpuSpec, 300, 9, "10ms"))
	start(t, d, l, 9, spec, dir)
	down := await(t, d, "down", is[Down]).(Down)
	if !slices.Equal(down.Suspects, []int64{9}) || !strings.Contains(down.Evidence, "a quantum lasts") {
		t.Errorf("%+v", down)
	}
	await(t, d, "up", is[Up])
	start(t, d, l, 9, spec, dir)
	await(t, d, "end", is[Finished])
}

// An error of the hardware is nobody's fault.
func TestGPUHardwareErrorAccusesNobody(t *testing.T) {
	simulated(t, "CUDASIM_FAULT=launch@10:214", "CUDASIM_FAULT_ONCE="+filepath.Join(t.TempDir(), "once"))
	d, l := ready(t, GPUConfig{}), openLoader(t)
	start(t, d, l, 9, parse(t, fmt.Sprintf(gpuSpec, 300, 9, "10ms")), t.TempDir())
	down := await(t, d, "down", is[Down]).(Down)
	if len(down.Suspects) != 0 || !slices.Equal(down.Lost, []int64{9}) || down.Hint == "" ||
		!strings.Contains(down.Reason, "CUDA_ERROR_ECC_UNCORRECTABLE") {
		t.Errorf("%+v", down)
	}
	await(t, d, "up", is[Up])
}

// Another process takes the memory first: the job comes back with how much that
// is, and the device tells when it is free.
func TestGPUMemoryTakenByAnother(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	hold := func(bytes string) {
		t.Helper()
		if err := os.WriteFile(held+".new", []byte(bytes), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(held+".new", held); err != nil {
			t.Fatal(err)
		}
	}
	hold("0")
	simulated(t, "CUDASIM_MEMORY=268435456", "CUDASIM_HELD="+held)
	d, l := ready(t, GPUConfig{}), openLoader(t)
	hold("251658240") // 240 MiB of 256
	// 3 matrices of 4 MiB, four times: parameters, two moments, gradients.
	large := parse(t, `{"data": {"source": "iris"}, "model": [{"linear": 1024}, {"linear": 1024}, {"linear": 1024},
		{"linear": 1024}, {"linear": 3}], "epochs": 1000, "batch_size": 4}`)
	start(t, d, l, 1, large, t.TempDir())
	back := await(t, d, "return", is[Returned]).(Returned)
	if back.Job != 1 || back.TakenBytes < 150<<20 || back.TakenBytes > 256<<20 {
		t.Errorf("%+v", back)
	}
	start(t, d, l, 2, parse(t, fmt.Sprintf(gpuSpec, 5, 1, "1h")), t.TempDir())
	await(t, d, "a small one's end", is[Finished])
	hold("0")
	await(t, d, "memory", func(e Event) bool { m, ok := e.(Memory); return ok && m.TakenBytes == 0 })
	start(t, d, l, 1, large, t.TempDir())
	await(t, d, "start", is[Started])
}

// What others hold when the worker starts is the device's all the same, and
// taken.
func TestGPUMemoryTakenAtStart(t *testing.T) {
	simulated(t, "CUDASIM_MEMORY=1073741824", "CUDASIM_HELD=536870912")
	d := openGPU(t, GPUConfig{})
	up := await(t, d, "up", is[Up]).(Up)
	if up.Info.MemoryBytes < 700<<20 || up.Info.TakenBytes < 300<<20 || up.Info.TakenBytes > 512<<20 {
		t.Errorf("%+v", up.Info)
	}
}

func TestGPUOutOfMemoryIsReturned(t *testing.T) {
	simulated(t, "CUDASIM_FAULT=oom@4", "CUDASIM_FAULT_ONCE="+filepath.Join(t.TempDir(), "once"))
	d, l := ready(t, GPUConfig{}), openLoader(t)
	ended := 0
	for id := int64(1); id <= 3; id++ {
		start(t, d, l, id, parse(t, fmt.Sprintf(gpuSpec, 10, 1, "1h")), t.TempDir())
	}
	await(t, d, "ends", func(e Event) bool {
		if is[Finished](e) || is[Returned](e) || is[Stopped](e) {
			ended++
		}
		return ended == 3
	})
}

func TestGPUBadJobFailsAlone(t *testing.T) {
	d, l := ready(t, GPUConfig{}), openLoader(t)
	good := fmt.Sprintf(gpuSpec, 200, 5, "1h")
	whole := undisturbed(t, d, l, good)
	dir := t.TempDir()
	start(t, d, l, 1, parse(t, good), dir)
	start(t, d, l, 2, parse(t, `{"data": {"source": "iris"}, "model": [{"linear": 16}, "relu", {"linear": 3}],
		"optimizer": {"name": "sgd", "lr": 1e30}, "epochs": 40}`), t.TempDir())
	ends := map[int64]Event{}
	timeout := time.After(patience)
	for len(ends) < 2 {
		select {
		case e := <-d.Events():
			switch e := e.(type) {
			case Failed:
				ends[e.Job] = e
			case Finished:
				ends[e.Job] = e
			case Down:
				t.Fatalf("%+v", e)
			}
		case <-timeout:
			t.Fatalf("ends after %v: %v", patience, ends)
		}
	}
	if f, ok := ends[2].(Failed); !ok || f.Fault.Code != "nan_loss" || f.Fault.Hint == "" {
		t.Errorf("the bad job: %+v", ends[2])
	}
	if !bytes.Equal(whole, modelOf(t, dir)) {
		t.Error("the good job has another model than alone")
	}
}

// Jobs move to the lane of their priority while they train.
func TestGPUPriorityMovesJobs(t *testing.T) {
	d, l := ready(t, GPUConfig{}), openLoader(t)
	spec := fmt.Sprintf(gpuSpec, 600, 5, "10ms")
	whole := undisturbed(t, d, l, spec)
	dir := t.TempDir()
	start(t, d, l, 1, parse(t, spec), dir)
	var moves sync.WaitGroup
	stop := make(chan struct{})
	moves.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if err := d.Prioritize(1, i%3-1); err != nil {
				t.Error(err)
			}
		}
	})
	last := 0
	await(t, d, "end", func(e Event) bool {
		if e, ok := e.(EpochEnded); ok {
			if e.Epoch != last+1 {
				t.Errorf("epoch %d after %d", e.Epoch, last)
			}
			last = e.Epoch
		}
		return is[Finished](e)
	})
	close(stop)
	moves.Wait()
	if !bytes.Equal(whole, modelOf(t, dir)) {
		t.Error("the model is another after moves")
	}
}

func TestGPUTakenExclusively(t *testing.T) {
	simulated(t, "CUDASIM_EXCLUSIVE=1", "CUDASIM_LOCK="+t.TempDir())
	ready(t, GPUConfig{})
	second := openGPU(t, GPUConfig{})
	down := await(t, second, "down", is[Down]).(Down)
	if !strings.Contains(down.Reason, "exclusive-process mode and another process has it") || down.Hint == "" {
		t.Errorf("%+v", down)
	}
}

func TestGPUThatIsAnotherNow(t *testing.T) {
	simulated(t)
	d := openGPU(t, GPUConfig{UUID: "GPU-00000000-0000-0000-0000-000000000000"})
	down := await(t, d, "down", is[Down]).(Down)
	if !strings.Contains(down.Reason, "the GPU with number 0 is GPU-") {
		t.Errorf("%+v", down)
	}
}

func TestSecondGPUTrains(t *testing.T) {
	simulated(t, "CUDASIM_DEVICES=2")
	d, l := ready(t, GPUConfig{Index: 1}), openLoader(t)
	start(t, d, l, 1, parse(t, fmt.Sprintf(gpuSpec, 5, 3, "30s")), t.TempDir())
	await(t, d, "end", is[Finished])
}

// What the probe says of machines on which weft finds no GPU.
func TestProbeOfOddMachines(t *testing.T) {
	for name, c := range map[string]struct {
		env        []string
		code, want string
	}{
		"none":        {[]string{"CUDASIM_DEVICES=0"}, cuda.NoDevice, ""},
		"hidden":      {[]string{"CUDA_VISIBLE_DEVICES="}, cuda.Hidden, "CUDA_VISIBLE_DEVICES"},
		"old driver":  {[]string{"CUDASIM_VERSION=10010"}, cuda.DriverTooOld, "10.1"},
		"old GPU":     {[]string{"CUDASIM_CAPABILITY=7.5"}, cuda.Unusable, "weft needs 8.0"},
		"no library":  {[]string{"WEFT_CUDA_DRIVER=/no/such/libcuda.so"}, cuda.NoDriver, "/no/such/libcuda.so"},
		"not library": {[]string{"WEFT_CUDA_DRIVER=/etc/passwd"}, cuda.NotADriver, "/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			simulated(t, c.env...)
			d := Discover(t.Context(), os.Args[0])
			if d.Fault == nil || d.Fault.Code != c.code || !strings.Contains(d.Fault.Message, c.want) {
				t.Errorf("%+v", d.Fault)
			}
		})
	}
	simulated(t, "CUDASIM_DEVICES=2")
	d := Discover(t.Context(), os.Args[0])
	if d.Fault != nil || len(d.Usable()) != 2 || d.Version != 12080 {
		t.Errorf("%+v", d)
	}
}

// Two thousand jobs of all shapes pass through one worker, and no byte stays.
func TestGPUManyJobsLeakNothing(t *testing.T) {
	leaks := filepath.Join(t.TempDir(), "leaks")
	jobs := 2000
	if testing.Short() {
		jobs = 200
	}
	simulated(t, "CUDASIM_LEAKS="+leaks)
	d, l := ready(t, GPUConfig{}), openLoader(t)
	spec := func(i int) string {
		layers := `{"linear": ` + strconv.Itoa(1+i%37) + `}, "relu"`
		if i%3 == 0 {
			layers += `, {"layernorm": {}}, {"linear": ` + strconv.Itoa(1+i%11) + `}, "tanh"`
		}
		return fmt.Sprintf(`{"data": {"source": "iris"}, "model": [%s, {"linear": 3}], "epochs": %d, "seed": %d,
			"batch_size": %d, "checkpoint": {"every": "10ms"}}`, layers, 1+i%3, i, 16+i%17)
	}
	dirs := t.TempDir()
	started, ended := 0, 0
	for ended < jobs {
		for started < jobs && started-ended < 64 {
			started++
			dir := filepath.Join(dirs, strconv.Itoa(started))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			start(t, d, l, int64(started), parse(t, spec(started)), dir)
		}
		await(t, d, "an end", is[Finished])
		ended++
	}
	go func() {
		for range d.Events() { // Close waits for its events to be read
		}
	}()
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(leaks); err == nil && len(text) > 0 {
		t.Errorf("leaked:\n%s", text)
	}
}
