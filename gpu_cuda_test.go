//go:build cuda

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/daemon/api"
	"weft/kernels/simtest"
)

func init() { buildArgs = []string{"-tags", "cuda"} }

// simulator returns the variables that give weft a simulated GPU.
func simulator(t *testing.T, more ...string) []string {
	t.Helper()
	env, err := simtest.Env()
	if err != nil {
		t.Fatal(err)
	}
	if env == nil {
		t.Skip("no g++ here to compile the driver simulator with")
	}
	for name, value := range env {
		more = append(more, name+"="+value)
	}
	return more
}

const onGPU = `{"name": "gpu", "data": {"source": "iris"}, "model": [{"linear": 16}, "relu", {"linear": 3}],
	"epochs": %d, "seed": %d, "device": "gpu:0", "checkpoint": {"every": "20ms"}}`

// A job keeps its bits on the GPU whatever happens to it and to its worker.
func TestGPUJobSurvives(t *testing.T) {
	s := serveOn(t, t.TempDir(), "auto", simulator(t))
	defer s.stop()
	spec := fmt.Sprintf(onGPU, 600, 1)
	whole := s.succeeded(s.submit(train(spec))[0])
	training := func(j api.JobDetail) bool { return j.State == api.Running && j.Progress.Step > 0 || j.State.Final() }

	for name, disturb := range map[string]func(id int64){
		"pause": func(id int64) {
			if s.act(id, api.ActionPause) {
				s.act(id, api.ActionResume)
			}
		},
		"kill -9 of the worker": func(int64) {
			if pid := s.workerOf(t.Context(), "gpu0"); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have gone in between
			}
		},
		"kill -9 of the daemon": func(int64) { s.kill(); s.start() },
		"a drain":               func(int64) { s.stop(); s.start() },
	} {
		id := s.submit(train(spec))[0]
		s.until(id, "steps", training)
		disturb(id)
		if !bytes.Equal(s.succeeded(id), whole) {
			t.Errorf("%s: another model", name)
		}
		requireOneEnd(t, s, id)
	}

	id := s.submit(train(fmt.Sprintf(onGPU, 1000000, 1)))[0]
	s.until(id, "steps", training)
	began := time.Now()
	if _, err := s.client.Do(t.Context(), id, "cancel"); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	if job := s.ended(id); job.State != api.Cancelled || job.Device != "gpu0" {
		t.Errorf("%s on %s", job.State, job.Device)
	}
	t.Logf("cancelled in %v", time.Since(began))
}

// A kernel that takes the context down costs nobody anything but time.
func TestGPUFaultLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes under the race detector")
	}
	for name, fault := range map[string]string{"sticky": "sticky@30", "refused": "launch@30:719", "oom": "oom@6", "slow": "slow@30:1"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := serveOn(t, dir, "auto", simulator(t, "CUDASIM_FAULT="+fault, "CUDASIM_FAULT_ONCE="+filepath.Join(dir, "once")))
			defer s.stop()
			epochs := 200
			if name == "slow" {
				epochs = 30 // every launch is
			}
			var jobs []api.Submission
			for seed := range 6 {
				jobs = append(jobs, train(fmt.Sprintf(onGPU, epochs, seed)))
			}
			ids := s.submit(jobs...)
			models := map[int64][]byte{}
			for _, id := range ids {
				models[id] = s.succeeded(id)
				requireOneEnd(t, s, id)
			}
			if _, err := os.Stat(filepath.Join(dir, "once")); err != nil {
				t.Errorf("the fault did not happen: %v", err)
			}
			for i, id := range ids {
				if again := s.succeeded(s.submit(jobs[i])[0]); !bytes.Equal(again, models[id]) {
					t.Errorf("job %d has another model than its twin in peace", id)
				}
			}
		})
	}
}

// Nobody but a GPU's worker and the probe opens the driver: not the client, and
// not the daemon.
func TestDriverIsLeftAlone(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	env := simulator(t, "CUDASIM_TRACE="+trace)
	s := serveOn(t, t.TempDir(), "auto", env)
	defer s.stop()
	s.succeeded(s.submit(train(fmt.Sprintf(onGPU, 5, 1)))[0])
	callers := map[int]bool{}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 {
			if pid, err := strconv.Atoi(fields[1]); err == nil {
				callers[pid] = true
			}
		}
	}
	if callers[s.cmd.Process.Pid] || !callers[s.workerOf(t.Context(), "gpu0")] || len(callers) != 2 {
		t.Errorf("the driver was called by %v; daemon %d, worker %d", callers, s.cmd.Process.Pid,
			s.workerOf(t.Context(), "gpu0"))
	}

	own := filepath.Join(t.TempDir(), "own")
	for _, args := range [][]string{{"ls", "-a"}, {"version"}, {"doctor"}, {"--help"}, {"show", "1"}} {
		cmd := exec.CommandContext(t.Context(), weft, args...)
		cmd.Env = append(append(os.Environ(), slices.DeleteFunc(slices.Clone(env), func(a string) bool {
			return strings.HasPrefix(a, "CUDASIM_TRACE=")
		})...), "CUDASIM_TRACE="+own, "WEFT_HOST=unix://"+filepath.Join(s.dir, "weft.sock"), "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("weft %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		if args[0] == "doctor" && (!strings.Contains(string(out), "CUDA 12.8") || !strings.Contains(string(out), "device gpu0")) {
			t.Errorf("doctor does not tell of the GPU:\n%s", out)
		}
	}
	if text, err := os.ReadFile(own); err == nil {
		t.Errorf("a client called the driver:\n%s", text)
	}
}

// What hinders a GPU is said where it is asked for.
func TestGPUThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"too old a driver": {[]string{"CUDASIM_VERSION=10010"}, "10.1"},
		"too old a GPU":    {[]string{"CUDASIM_CAPABILITY=7.5"}, "compute capability 7.5"},
		"hidden":           {[]string{"CUDA_VISIBLE_DEVICES="}, "CUDA_VISIBLE_DEVICES"},
		"no driver":        {[]string{"WEFT_CUDA_DRIVER=/no/such.so"}, "/no/such.so"},
		"not a driver":     {[]string{"WEFT_CUDA_DRIVER=/etc/passwd"}, "/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveOn(t, t.TempDir(), "auto", append(simulator(t), c.env...))
			defer s.stop()
			_, err := s.client.Submit(t.Context(), []api.Submission{train(fmt.Sprintf(onGPU, 5, 1))}, "")
			e := api.AsError(err)
			if e == nil || e.Code != api.CodeNotFound || !strings.Contains(e.Message, c.want) || e.Hint == "" {
				t.Errorf("submit: %+v", e)
			}
			d, err := s.client.Doctor(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(d.Checks, func(c api.DoctorCheck) bool { return c.Name == "NVIDIA driver" })
			if i < 0 || !strings.Contains(d.Checks[i].Found, c.want) {
				t.Errorf("doctor: %+v", d.Checks)
			}
			s.stderr.await(t, c.want)
			auto := strings.Replace(fmt.Sprintf(onGPU, 5, 1), `"gpu:0"`, `"auto"`, 1)
			if job := s.ended(s.submit(train(auto))[0]); job.State != api.Succeeded || job.Device != "cpu" {
				t.Errorf("what takes any device %s on %s", job.State, job.Device)
			}
		})
	}
}

// stateOf is the state of a device, "" where there is none of that name.
func (s *served) stateOf(device string) string {
	s.t.Helper()
	devices, err := s.client.Devices(s.t.Context())
	if err != nil {
		s.t.Fatalf("list devices: %v", err)
	}
	for _, d := range devices {
		if d.ID == device {
			return d.State
		}
	}
	return ""
}

// A GPU in exclusive mode that another process has is refused in its words.
func TestGPUThatAnotherHas(t *testing.T) {
	env := simulator(t, "CUDASIM_EXCLUSIVE=1", "CUDASIM_LOCK="+t.TempDir())
	first := serveOn(t, t.TempDir(), "auto", env)
	defer first.stop()
	first.succeeded(first.submit(train(fmt.Sprintf(onGPU, 5, 1)))[0])
	second := serveOn(t, t.TempDir(), "auto", env)
	defer second.stop()
	for began := time.Now(); second.stateOf("gpu0") != api.DeviceFailing; pause(t, 10*time.Millisecond) {
		if time.Since(began) > patience { // until then it may come up, and takes jobs
			t.Fatalf("gpu0 is %q", second.stateOf("gpu0"))
		}
	}
	_, err := second.client.Submit(t.Context(), []api.Submission{train(fmt.Sprintf(onGPU, 5, 1))}, "")
	if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable ||
		!strings.Contains(e.Message, "gpu0 does not start") || !strings.Contains(e.Message, "exclusive-process mode") {
		t.Errorf("%v", err)
	}
	second.stderr.await(t, "exclusive-process mode")
}

// A job for which another process has the memory waits, says so, and starts
// when it is free; smaller ones go on meanwhile.
func TestGPUMemoryThatAnotherHas(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	hold := func(bytes string) {
		if err := os.WriteFile(held+".new", []byte(bytes), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(held+".new", held); err != nil {
			t.Fatal(err)
		}
	}
	hold("0")
	s := serveOn(t, t.TempDir(), "auto", simulator(t, "CUDASIM_MEMORY=268435456", "CUDASIM_HELD="+held))
	defer s.stop()
	hold("226492416") // 216 MiB of 256
	id := s.submit(train(`{"data": {"source": "iris"}, "model": [{"linear": 1024}, {"linear": 1024}, {"linear": 1024},
		{"linear": 1024}, {"linear": 3}], "epochs": 1000, "batch_size": 4, "device": "gpu"}`))[0]
	back := s.until(id, "its return", func(j api.JobDetail) bool {
		return slices.ContainsFunc(j.Events, func(e api.Event) bool { return e.Type == "requeued" })
	})
	if last := back.Events[len(back.Events)-1]; !strings.HasPrefix(last.Message, "waits for memory on gpu0: another process holds ") {
		t.Errorf("it came back because %q", last.Message)
	}
	if job := s.ended(s.submit(train(fmt.Sprintf(onGPU, 5, 1)))[0]); job.State != api.Succeeded {
		t.Errorf("a small job %s: %+v", job.State, job.Error)
	}
	if job, err := s.client.Job(t.Context(), id); err != nil || job.Attempt > 2 ||
		!strings.HasPrefix(job.Reason, "waits for memory on gpu0: another process holds ") {
		t.Errorf("%+v, %v", job, err)
	}
	hold("0")
	s.until(id, "its start", func(j api.JobDetail) bool { return j.State == api.Running && j.Progress.Step > 0 })
	if _, err := s.client.Do(t.Context(), id, "cancel"); err != nil {
		t.Fatal(err)
	}
}
