package gpu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// work is a worker's life as package client runs it.
func work(args []string) int {
	err := WorkerMain(context.Background(), args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "weft:", err)
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		fmt.Fprintln(os.Stderr, "try:", h.Hint())
	}
	if e, ok := errors.AsType[interface {
		error
		ExitStatus() int
	}](err); ok {
		return e.ExitStatus()
	}
	return 1
}

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "worker" {
		os.Exit(work(os.Args[2:]))
	}
	if err := giveDriver(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// giveDriver gives tests of GPUs a driver, where they are built.
var giveDriver = func() error { return nil }

const patience = time.Minute

func openHost(t *testing.T, cfg HostConfig) *Device {
	t.Helper()
	cfg.Program = os.Args[0]
	if cfg.Threads == 0 {
		cfg.Threads = 2
	}
	d, err := OpenHost(t.Context(), cfg)
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

func openLoader(t *testing.T) *Loader {
	t.Helper()
	l, err := OpenLoader(t.Context(), LoaderConfig{Program: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func parse(t *testing.T, js string) *train.Spec {
	t.Helper()
	spec, err := train.Parse([]byte(js))
	if err != nil {
		t.Fatalf("parse specification: %v", err)
	}
	return spec
}

func load(t *testing.T, l *Loader, spec *train.Spec) *Data {
	t.Helper()
	data, err := l.Load(t.Context(), spec.Data, spec.Loss.Task())
	if err != nil {
		t.Fatalf("load data: %v", err)
	}
	return data
}

// await reads events until one satisfies ok.
func await(t *testing.T, d *Device, what string, ok func(Event) bool) Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, open := <-d.Events():
			if !open {
				t.Fatalf("events ended before %s", what)
			}
			if ok(e) {
				return e
			}
			if f, is := e.(Failed); is {
				t.Fatalf("waiting for %s: job %d failed: %+v", what, f.Job, f.Fault)
			}
		case <-timeout:
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

func is[T Event](e Event) bool { _, ok := e.(T); return ok }

func progressed(e Event) bool {
	p, ok := e.(Progressed)
	return ok && slices.ContainsFunc(p.Jobs, func(j Progress) bool { return j.Step > 0 })
}

func start(t *testing.T, d *Device, l *Loader, id int64, spec *train.Spec, dir string) {
	t.Helper()
	data := load(t, l, spec)
	defer data.Release()
	if err := d.Start(Job{ID: id, Spec: spec, Dir: dir}, data); err != nil {
		t.Fatalf("start job: %v", err)
	}
}

func modelOf(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const digitsSpec = `{"data": {"source": "digits"}, "model": [{"linear": 48}, "relu", {"dropout": 0.1}, {"linear": 10}],
	"epochs": %d, "seed": 3, "checkpoint": {"every": %q}}`

func TestDeviceTrains(t *testing.T) {
	d, l := openHost(t, HostConfig{}), openLoader(t)
	dir := t.TempDir()
	start(t, d, l, 1, parse(t, fmt.Sprintf(digitsSpec, 20, "30s")), dir)
	if s := await(t, d, "start", is[Started]).(Started); s.Job != 1 || s.Step != 0 {
		t.Errorf("started %+v", s)
	}
	epochs := 0
	end := await(t, d, "end", func(e Event) bool {
		if e, ok := e.(EpochEnded); ok {
			if epochs++; e.Epoch != epochs || e.Job != 1 {
				t.Errorf("epoch %d of job %d came as number %d", e.Epoch, e.Job, epochs)
			}
		}
		return is[Finished](e)
	}).(Finished)
	if epochs != 20 {
		t.Errorf("%d epochs, not 20", epochs)
	}
	if acc := end.Metrics["val_accuracy"]; acc < 0.9 {
		t.Errorf("validation accuracy %v", acc)
	}
	if end.DeviceSeconds <= 0 || end.PeakBytes <= 0 {
		t.Errorf("usage not measured: %+v", end)
	}
	saved, err := train.ReadModel(filepath.Join(dir, ModelFile))
	if err != nil || len(saved.Info.Classes) != 10 {
		t.Errorf("read model: %+v, %v", saved, err)
	}
}

// A job that is paused again and again ends with the same bytes.
func TestPauseAndResumeKeepTheBits(t *testing.T) {
	d, l := openHost(t, HostConfig{}), openLoader(t)
	spec := parse(t, fmt.Sprintf(digitsSpec, 30, "30s"))
	whole, broken := t.TempDir(), t.TempDir()
	start(t, d, l, 1, spec, whole)
	await(t, d, "end", is[Finished])

	pauses := 0
	for done := false; !done; {
		start(t, d, l, 2, spec, broken)
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
	if !bytes.Equal(modelOf(t, whole), modelOf(t, broken)) {
		t.Errorf("models differ after %d pauses", pauses)
	}
}

func TestDrainCheckpointsEveryJob(t *testing.T) {
	d, l := openHost(t, HostConfig{}), openLoader(t)
	spec := parse(t, fmt.Sprintf(digitsSpec, 100000, "1h"))
	dirs := map[int64]string{}
	for id := int64(1); id <= 5; id++ {
		dirs[id] = t.TempDir()
		start(t, d, l, id, spec, dirs[id])
	}
	seen := map[int64]bool{}
	await(t, d, "progress of all", func(e Event) bool {
		if p, ok := e.(Progressed); ok {
			for _, j := range p.Jobs {
				seen[j.Job] = seen[j.Job] || j.Step > 0
			}
		}
		return len(seen) == len(dirs) && seen[1] && seen[2] && seen[3] && seen[4] && seen[5]
	})
	closed := make(chan error, 1)
	go func() { closed <- d.Close(context.Background()) }()
	stopped := map[int64]bool{}
	for e := range d.Events() {
		if s, ok := e.(Stopped); ok && s.Mode == StopPreempt {
			stopped[s.Job] = true
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
}

func TestKilledWorkerAccusesNobody(t *testing.T) {
	d, l := openHost(t, HostConfig{}), openLoader(t)
	start(t, d, l, 7, parse(t, fmt.Sprintf(digitsSpec, 100000, "1h")), t.TempDir())
	await(t, d, "progress", progressed)
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
}

func TestCrashAccusesTheJobOnTheLane(t *testing.T) {
	d, l := openHost(t, HostConfig{}), openLoader(t)
	start(t, d, l, 7, parse(t, fmt.Sprintf(digitsSpec, 100000, "1h")), t.TempDir())
	await(t, d, "progress", progressed)
	if err := syscall.Kill(d.Info().PID, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	down := await(t, d, "down", is[Down]).(Down)
	if !slices.Equal(down.Lost, []int64{7}) || !slices.Equal(down.Suspects, []int64{7}) {
		t.Errorf("down: lost %v, suspects %v", down.Lost, down.Suspects)
	}
	if !bytes.Contains([]byte(down.Evidence), []byte("SIGABRT")) {
		t.Errorf("evidence names no signal: %s", down.Evidence)
	}
}

func TestOverlongQuantumRestartsTheWorker(t *testing.T) {
	d, l := openHost(t, HostConfig{QuantumLimit: 50 * time.Millisecond, Quantum: time.Hour}), openLoader(t)
	start(t, d, l, 9, parse(t, fmt.Sprintf(digitsSpec, 1000000, "1h")), t.TempDir())
	down := await(t, d, "down", is[Down]).(Down)
	if !slices.Equal(down.Suspects, []int64{9}) {
		t.Errorf("suspects: %v", down.Suspects)
	}
}

func TestCancelIsQuick(t *testing.T) {
	d, l := openHost(t, HostConfig{Threads: 1}), openLoader(t)
	spec := parse(t, fmt.Sprintf(digitsSpec, 1000000, "1h"))
	for id := int64(1); id <= 8; id++ {
		start(t, d, l, id, spec, t.TempDir())
	}
	await(t, d, "progress", progressed)
	for id := int64(1); id <= 8; id++ {
		if err := d.Stop(id, StopCancel); err != nil {
			t.Fatal(err)
		}
		await(t, d, "stop", func(e Event) bool { s, ok := e.(Stopped); return ok && s.Job == id && s.Mode == StopCancel })
	}
}

func TestLoaderFaultsAndCache(t *testing.T) {
	l := openLoader(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(path, []byte("a,b,y\n1,2,no\n2,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := dataset.Spec{Source: dataset.SourceCSV, File: path}
	_, err := l.Load(t.Context(), spec, dataset.Classification)
	fault, ok := err.(*train.Fault)
	if !ok || fault.Code != dataset.CodeBadData {
		t.Fatalf("ragged file: %#v", err)
	}
	if err := os.WriteFile(path, []byte("a,b,y\n1,2,no\n2,1,yes\n3,1,no\n5,2,yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := l.Load(t.Context(), spec, dataset.Classification)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Load(t.Context(), spec, dataset.Classification)
	if err != nil {
		t.Fatal(err)
	}
	if first != again {
		t.Error("an unchanged file was loaded twice")
	}
	first.Release()
	again.Release()
}

// A model is read back by the loader, which predicts with it.
func TestPredict(t *testing.T) {
	d, l := openHost(t, HostConfig{}), openLoader(t)
	dir := t.TempDir()
	start(t, d, l, 1, parse(t, `{"data": {"source": "iris"}, "model": [{"linear": 16}, "tanh", {"linear": "auto"}],
		"optimizer": {"name": "adam", "lr": 0.02}, "epochs": 100}`), dir)
	await(t, d, "end", is[Finished])
	rows := filepath.Join(dir, "rows.csv")
	text := "petal width (cm),sepal length (cm),sepal width (cm),petal length (cm)\n0.2,5.1,3.5,1.4\n2.2,6.7,3.3,5.7\n"
	if err := os.WriteFile(rows, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := l.Predict(t.Context(), filepath.Join(dir, ModelFile), rows, &out); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if len(lines) != 3 || string(lines[0]) != "prediction,p(setosa),p(versicolor),p(virginica)" ||
		!bytes.HasPrefix(lines[1], []byte("setosa,0.9")) || !bytes.HasPrefix(lines[2], []byte("virginica,")) {
		t.Errorf("predictions:\n%s", out.String())
	}
	err := l.Predict(t.Context(), filepath.Join(dir, ModelFile), filepath.Join(dir, "none.csv"), &out)
	if fault, ok := err.(*train.Fault); !ok || fault.Code != dataset.CodeNotFound {
		t.Errorf("a missing file: %#v", err)
	}
}

// One lane gives a job of large steps and one of small steps the same time.
func TestOneLaneIsSharedEvenly(t *testing.T) {
	d, l := openHost(t, HostConfig{Threads: 1}), openLoader(t)
	start(t, d, l, 1, parse(t, `{"data": {"source": "digits"}, "model": [{"linear": 512}, "relu", {"linear": 10}],
		"batch_size": 256, "epochs": 1000000, "checkpoint": {"every": "1h"}}`), t.TempDir())
	start(t, d, l, 2, parse(t, `{"data": {"source": "iris"}, "model": [{"linear": 3}],
		"batch_size": 1, "epochs": 1000000, "checkpoint": {"every": "1h"}}`), t.TempDir())
	// The lane's clock decides, not the wall's. A worker that is kept from running in
	// the middle of a quantum has that job pay for it, and the other be served until
	// they are even: so the lane has a minute to get there, from a second on.
	var first map[int64]float64
	await(t, d, "even shares of a second of lane time or more", func(e Event) bool {
		p, ok := e.(Progressed)
		if !ok || len(p.Jobs) < 2 {
			return false
		}
		now := map[int64]float64{}
		for _, j := range p.Jobs {
			now[j.Job] = j.DeviceSeconds
		}
		if first == nil {
			first = now
		}
		one, two := now[1]-first[1], now[2]-first[2]
		share := one / (one + two)
		t.Logf("job 1 has had %.0f %% of the lane: %.3f s against %.3f s", 100*share, one, two)
		return one+two > 1 && share > 0.4 && share < 0.6
	})
}
