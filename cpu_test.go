package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weft/daemon/api"
)

// cpuJob makes a submission of a CPU job.
func cpuJob(kind api.Kind, pool string, workers int, task any) api.Submission {
	spec, err := json.Marshal(map[string]any{"pool": pool, "workers": workers, "task": task})
	if err != nil {
		panic(err)
	}
	return api.Submission{Kind: kind, Spec: spec}
}

// hashFiles is the task of hashing a directory's files into a list.
func hashFiles(dir, out string) map[string]any {
	return map[string]any{"files": map[string]any{"dir": dir, "paths": []string{"."}, "recursive": true}, "output": out}
}

// someFiles writes files of random bytes and returns what sha256sum would say.
func someFiles(t *testing.T, dir string, count, size int) string {
	t.Helper()
	var sums []string
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{7})
	for i := range count {
		_, _ = source.Read(data) // never fails
		name := fmt.Sprintf("f%05d", i)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		sums = append(sums, hex.EncodeToString(sum[:])+"  ./"+name+"\n")
	}
	return strings.Join(sums, "")
}

// resultLine is a line of a CPU job's results.
type resultLine struct {
	Index  int64          `json:"index"`
	Item   string         `json:"item"`
	OK     bool           `json:"ok"`
	Output map[string]any `json:"output"`
}

func (s *served) results(id int64) []resultLine {
	s.t.Helper()
	body, err := s.client.Results(s.t.Context(), id, false)
	if err != nil {
		s.t.Fatalf("get results of job %d: %v", id, err)
	}
	defer body.Close()
	var all []resultLine
	for lines := bufio.NewScanner(body); lines.Scan(); {
		var one resultLine
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			s.t.Fatalf("result %q: %v", lines.Text(), err)
		}
		all = append(all, one)
	}
	return all
}

// each checks that every item of a job has exactly one result, and is done.
func (s *served) each(id int64, count int) {
	s.t.Helper()
	seen := map[int64]bool{}
	for _, r := range s.results(id) {
		if seen[r.Index] || !r.OK {
			s.t.Errorf("item %d (%s): ok %t, seen before %t", r.Index, r.Item, r.OK, seen[r.Index])
		}
		seen[r.Index] = true
	}
	if len(seen) != count {
		s.t.Errorf("%d of %d items have a result", len(seen), count)
	}
}

// children are the processes that a process has started, and theirs.
func children(pid int) []int {
	var all []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // no error: the pattern is one
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(append(all, child), children(child)...)
			}
		}
	}
	return all
}

// gone waits until none of the processes is there any more.
func gone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil {
			state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if _, rest, found := strings.Cut(string(state), ") "); found && strings.HasPrefix(rest, "Z") {
				break // ended, and its parent has not looked yet
			}
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there: %s", pid, state)
			}
		}
	}
}

// Kills of the daemon, of the process that runs CPU jobs and of its workers, at
// random moments, lose no item and double none.
func TestCPUJobsSurviveKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	in, out := t.TempDir(), t.TempDir()
	const count = 3000
	want := someFiles(t, in, count, 30_000)
	s := serve(t, t.TempDir())
	var ids []int64
	for _, pool := range []string{"goroutine", "process", "event", "sequential"} {
		ids = append(ids, s.submit(cpuJob(api.KindSHA256, pool, 2, hashFiles(in, filepath.Join(out, pool))))...)
	}
	running := func() bool {
		jobs, err := s.client.Jobs(t.Context(), api.Filter{IDs: ids})
		return err != nil || slices.ContainsFunc(jobs, func(j api.Job) bool { return !j.State.Final() })
	}
	kills := 0
	for range 12 {
		if !running() {
			break
		}
		pause(t, time.Duration(rng.IntN(100))*time.Millisecond)
		switch runner := s.workerOf(t.Context(), "pools"); rng.IntN(3) {
		case 0:
			left := children(s.cmd.Process.Pid)
			s.kill()
			gone(t, left)
			s.start()
		case 1:
			if runner != 0 {
				_ = syscall.Kill(runner, syscall.SIGKILL) // it may have ended already
			}
		default:
			if workers := children(runner); runner != 0 && len(workers) > 0 {
				_ = syscall.Kill(workers[rng.IntN(len(workers))], syscall.SIGKILL)
			}
		}
		kills++
	}
	t.Logf("%d kills", kills)
	for i, id := range ids {
		if j := s.ended(id); j.State != api.Succeeded {
			t.Fatalf("job %d %s: %+v\n%s", id, j.State, j.Error, s.stderr)
		}
		s.each(id, count)
		pool := []string{"goroutine", "process", "event", "sequential"}[i]
		if got, err := os.ReadFile(filepath.Join(out, pool)); err != nil || string(got) != want {
			t.Errorf("%s: its list differs from sha256sum's (%v)", pool, err)
		}
	}
	left := children(s.cmd.Process.Pid)
	s.stop()
	gone(t, left)
	if names, err := os.ReadDir(out); err != nil || len(names) != len(ids) {
		t.Errorf("files left beside the lists: %v (%v)", names, err)
	}
}

// pause waits for a random moment to strike: there is nothing to wait for.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// A gate is a server whose answers, ten bytes each, wait to be let through: so a
// job is in its midst for as long as a test looks at it, on a machine of any speed.
type gate struct {
	*httptest.Server
	turns chan struct{}
	asked atomic.Int64 // requests
}

// newGate starts a gate, which ends after all daemons that are served later.
func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{turns: make(chan struct{}, 1<<12)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		select {
		case <-g.turns:
			_, _ = io.WriteString(w, "0123456789") // a client that went away is its own affair
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// let lets so many answers through.
func (g *gate) let(count int) {
	for range count {
		g.turns <- struct{}{}
	}
}

// urls are so many of the gate's.
func (g *gate) urls(count int) []string {
	urls := make([]string, count)
	for i := range urls {
		urls[i] = fmt.Sprintf("%s/?%d\t%d", g.URL, i, i)
	}
	return urls
}

// A daemon that is killed with 200 requests in flight goes on where it was: each
// URL has one result, and what was answered is not asked for again.
func TestDaemonKilledWithRequestsInFlight(t *testing.T) {
	const count, flying, answered = 2000, 200, 300
	g := newGate(t)
	s := serve(t, t.TempDir())
	id := s.submit(cpuJob(api.KindFetch, "event", flying, map[string]any{"urls": g.urls(count), "discard": true, "concurrency": flying,
		"host_concurrency": flying, "allow_private": true}))[0]
	g.let(answered)
	s.until(id, "300 answers", func(j api.JobDetail) bool { return j.Progress.Step >= answered })
	left := children(s.cmd.Process.Pid)
	s.kill()
	before := len(journalOf(t, s.dir, id))
	s.start()
	gone(t, left) // who is left of the first daemon is to get none of the answers
	g.let(count)
	if j := s.ended(id); j.State != api.Succeeded {
		t.Fatalf("job %s: %+v", j.State, j.Error)
	}
	s.each(id, count)
	asked := int(g.asked.Load())
	if before != answered || asked < count || asked > count+flying {
		t.Errorf("%d answers at the kill, %d requests for %d URLs", before, asked, count)
	}
	s.stop()
}

// journalOf are the whole lines of a job's results in the state directory.
func journalOf(t *testing.T, state string, id int64) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(state, "jobs", fmt.Sprint(id), "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	return lines[:len(lines)-1]
}

// A CPU job can be paused, goes on with the items that were left, and when it is
// cancelled leaves no process and no half-written file.
func TestCPUJobPausesAndCancels(t *testing.T) {
	const count, answered = 40, 4
	out := t.TempDir()
	a, b := newGate(t), newGate(t)
	through := func(g *gate, dir string) api.Submission { // two at a time
		return cpuJob(api.KindFetch, "process", 2, map[string]any{"urls": g.urls(count), "to": filepath.Join(out, dir), "allow_private": true})
	}
	s := serve(t, t.TempDir())
	begun := func(j api.JobDetail) bool { return j.Progress.Step >= answered }
	id := s.submit(through(a, "a"))[0]
	a.let(answered)
	s.until(id, "some items", begun)
	if _, err := s.client.Do(t.Context(), id, api.ActionPause); err != nil {
		t.Fatal(err)
	}
	paused := s.until(id, "a pause", func(j api.JobDetail) bool { return j.State == api.Paused })
	if paused.Progress.Step != answered {
		t.Errorf("it was paused after %d items", paused.Progress.Step)
	}
	if _, err := s.client.Do(t.Context(), id, api.ActionResume); err != nil {
		t.Fatal(err)
	}
	a.let(count)
	if j := s.ended(id); j.State != api.Succeeded || j.Attempt != 1 {
		t.Fatalf("job %s in attempt %d: %+v", j.State, j.Attempt, j.Error)
	}
	s.each(id, count)
	if names, err := os.ReadDir(filepath.Join(out, "a")); err != nil || len(names) != count {
		t.Errorf("%d files (%v), not %d", len(names), err, count)
	}
	id = s.submit(through(b, "b"))[0]
	b.let(answered)
	s.until(id, "some items", begun)
	slots := children(s.workerOf(t.Context(), "pools"))
	if _, err := s.client.Do(t.Context(), id, api.ActionCancel); err != nil {
		t.Fatal(err)
	}
	if j := s.ended(id); j.State != api.Cancelled {
		t.Errorf("job %s", j.State)
	}
	if len(slots) != 2 {
		t.Errorf("%d worker processes, not 2", len(slots))
	}
	gone(t, slots)
	names, err := os.ReadDir(filepath.Join(out, "b"))
	for _, n := range names {
		if info, e := n.Info(); e != nil || strings.HasPrefix(n.Name(), ".") || info.Size() != 10 {
			t.Errorf("left behind: %s (%v)", n.Name(), e)
		}
	}
	if err != nil {
		t.Error(err)
	}
	s.stop()
}

// A job that hashes beside one that trains harms neither: the model has the bits
// that it has alone.
func TestCPUJobsBesideTraining(t *testing.T) {
	const spec = `{"data": {"source": "digits"}, "model": [{"linear": 32}, "relu", {"linear": 10}], "epochs": 60, "seed": 5}`
	in, out := t.TempDir(), t.TempDir()
	someFiles(t, in, 500, 200_000)
	s := serve(t, t.TempDir())
	alone := s.succeeded(s.submit(train(spec))[0])
	ids := s.submit(cpuJob(api.KindSHA256, "goroutine", 0, hashFiles(in, filepath.Join(out, "a"))), train(spec))
	if string(s.succeeded(ids[1])) != string(alone) {
		t.Error("the model has other bits beside a CPU job")
	}
	if j := s.ended(ids[0]); j.State != api.Succeeded {
		t.Errorf("CPU job %s: %+v", j.State, j.Error)
	}
	usage := s.ended(ids[0]).Usage
	if usage.CPUSeconds <= 0 || usage.DeviceSeconds <= 0 {
		t.Errorf("usage not measured: %+v", usage)
	}
	s.stop()
}
