package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/daemon/api"
)

// patience bounds every wait for something that must come.
const patience = 2 * time.Minute

// A served daemon is `weft serve` on a state directory of its own.
type served struct {
	t      testing.TB
	dir    string
	device string // what to serve
	env    []string
	client *api.Client
	cmd    *exec.Cmd
	stderr *transcript
}

// transcript collects a process's output and can wait for words in it.
type transcript struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	changed chan struct{} // closed and replaced whenever text grows
	ended   bool          // no more output comes
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

// follow reads r to its end.
func (tr *transcript) follow(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		tr.mu.Lock()
		tr.text.Write(buf[:n])
		tr.ended = err != nil
		close(tr.changed)
		tr.changed = make(chan struct{})
		tr.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// contains waits until the words are there; false: they will not come.
func (tr *transcript) contains(words string) bool {
	timeout := time.After(patience)
	for {
		tr.mu.Lock()
		there, ended, changed := strings.Contains(tr.text.String(), words), tr.ended, tr.changed
		tr.mu.Unlock()
		if there || ended {
			return there
		}
		select {
		case <-changed:
		case <-timeout:
			return false
		}
	}
}

func (tr *transcript) await(t testing.TB, words string) {
	t.Helper()
	if !tr.contains(words) {
		t.Fatalf("weft serve does not say %q:\n%s", words, tr)
	}
}

// serve starts a daemon on dir, with the CPU alone, and returns when it accepts
// requests.
func serve(t testing.TB, dir string, args ...string) *served {
	t.Helper()
	return serveOn(t, dir, "cpu", nil, args...)
}

// serveOn is serve with other devices, and more in the environment.
func serveOn(t testing.TB, dir, device string, env []string, args ...string) *served {
	t.Helper()
	s := &served{t: t, dir: dir, device: device, env: env}
	s.start(args...)
	client, err := api.New("unix://"+filepath.Join(dir, "weft.sock"), api.Options{})
	if err != nil {
		t.Fatalf("make client: %v", err)
	}
	s.client = client
	t.Cleanup(func() {
		client.Close()
		s.kill()
	})
	return s
}

func (s *served) start(args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(weft, append([]string{"serve", "--state-dir", s.dir,
		"--socket", filepath.Join(s.dir, "weft.sock"), "--device", s.device}, args...)...)
	s.cmd.Env = append(os.Environ(), s.env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatalf("pipe stderr: %v", err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start weft serve: %v", err)
	}
	s.stderr = newTranscript()
	go s.stderr.follow(stderr)
	s.stderr.await(s.t, "weft: ready on ")
}

// kill ends the daemon at once, as SIGKILL does, and reaps it.
func (s *served) kill() {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended already
	_ = s.cmd.Wait()
}

// stop ends the daemon as SIGTERM does.
func (s *served) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatalf("send SIGTERM: %v", err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("weft serve ended with %v:\n%s", err, s.stderr)
	}
}

// submit posts training jobs and returns their ids.
func (s *served) submit(subs ...api.Submission) []int64 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	jobs, err := s.client.Submit(ctx, subs, "")
	if err != nil {
		s.t.Fatalf("submit: %v", err)
	}
	ids := make([]int64, len(jobs))
	for i := range jobs {
		ids[i] = jobs[i].ID
	}
	return ids
}

// until follows a job's events until it is as asked.
func (s *served) until(id int64, what string, ok func(api.JobDetail) bool) api.JobDetail {
	s.t.Helper()
	return s.await(id, what, func(api.Message) bool { return true }, ok)
}

// ended follows a job's events until it has ended, and looks at nothing else,
// so that the machine is left to the job.
func (s *served) ended(id int64) api.JobDetail {
	s.t.Helper()
	final := func(m api.Message) bool { return m.Reconnected || m.Event != nil && m.Event.State.Final() }
	return s.await(id, "its end", final, func(j api.JobDetail) bool { return j.State.Final() })
}

// await looks at a job now and after every message that tells of a change.
func (s *served) await(id int64, what string, tells func(api.Message) bool, ok func(api.JobDetail) bool) api.JobDetail {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var detail *api.JobDetail
	look := func() (bool, int64) {
		j, err := s.client.Job(ctx, id)
		if err != nil {
			return false, 0
		}
		detail = j
		last := int64(0)
		for _, e := range j.Events {
			last = max(last, e.ID)
		}
		return ok(*j), last
	}
	there, last := look()
	if there {
		return *detail
	}
	for m, err := range s.client.Events(ctx, api.EventFilter{Jobs: []int64{id}}, last) {
		if err != nil {
			break
		}
		if !tells(m) {
			continue
		}
		if there, _ := look(); there {
			return *detail
		}
	}
	s.t.Fatalf("job %d: waited %v for %s; now: %+v\n%s", id, patience, what, detail, s.stderr)
	return api.JobDetail{}
}

// inTime submits a job, waits until it is as asked, and disturbs it. A job that
// ended before, because this process had to wait for its turn, tests nothing, and
// the next is tried. disturb tells whether it came in time.
func (s *served) inTime(job api.Submission, as func(api.JobDetail) bool, disturb func(id int64) bool) int64 {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		id := s.submit(job)[0]
		now := s.until(id, "its moment or its end", func(j api.JobDetail) bool { return as(j) || j.State.Final() })
		if !now.State.Final() && disturb(id) {
			return id
		}
	}
	s.t.Fatalf("for %v, every job ended before it could be disturbed", patience)
	return 0
}

// act has the daemon do something to a job; false: the job has ended.
func (s *served) act(id int64, do api.Action) bool {
	s.t.Helper()
	_, err := s.client.Do(s.t.Context(), id, do)
	if e := api.AsError(err); e != nil && e.Code == api.CodeWrongState {
		if j, lost := s.client.Job(s.t.Context(), id); lost == nil && j.State.Final() {
			return false
		}
	}
	if err != nil {
		s.t.Fatalf("%s job %d: %v", do, id, err)
	}
	return true
}

// succeeded waits for the job's success and returns its model's bytes.
func (s *served) succeeded(id int64) []byte {
	s.t.Helper()
	if job := s.ended(id); job.State != api.Succeeded {
		s.t.Fatalf("job %d %s: %+v", id, job.State, job.Error)
	}
	body, _, err := s.client.Model(s.t.Context(), id)
	if err != nil {
		s.t.Fatalf("get model of job %d: %v", id, err)
	}
	defer body.Close()
	model, err := io.ReadAll(body)
	if err != nil {
		s.t.Fatalf("read model of job %d: %v", id, err)
	}
	return model
}

// worker returns the process id of the CPU device's worker, 0 while it is down.
func (s *served) worker(ctx context.Context) int { return s.workerOf(ctx, "cpu") }

// workerOf is worker of any device.
func (s *served) workerOf(ctx context.Context, device string) int {
	devices, err := s.client.Devices(ctx)
	if err != nil {
		return 0
	}
	for _, d := range devices {
		if d.ID == device {
			return d.PID
		}
	}
	return 0
}

// train makes a submission out of a specification in JSON.
func train(spec string) api.Submission {
	return api.Submission{Kind: api.KindTrain, Spec: json.RawMessage(spec)}
}
