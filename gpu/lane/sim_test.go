//go:build cuda

package lane

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"weft/gpu/host"
	"weft/gpu/program"
	"weft/gpu/train"
	"weft/gpu/train/traintest"
	"weft/kernels"
	"weft/kernels/simtest"
)

// TestMain gives the tests a device: the simulator, or with WEFT_GPU_CHECK set
// the machine's own.
func TestMain(m *testing.M) { os.Exit(simtest.Main(m)) }

// open makes a device on this test's thread.
func open(t testing.TB, o Options) *Device {
	t.Helper()
	runtime.LockOSThread()
	d, err := Open(0, o)
	if err != nil {
		runtime.UnlockOSThread()
		t.Fatalf("open device: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close device: %v", err)
		}
		runtime.UnlockOSThread()
	})
	return d
}

// newLane makes a lane on this test's thread, which may be a subtest's.
func newLane(t testing.TB, d *Device) *Lane {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if err := d.Bind(); err != nil {
		t.Fatalf("bind device: %v", err)
	}
	l, err := d.NewLane(0)
	if err != nil {
		t.Fatalf("new lane: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close lane: %v", err)
		}
	})
	return l
}

// lay puts a job on the device, from its own state or its beginning.
func lay(t testing.TB, d *Device, tj traintest.Job) *Job {
	t.Helper()
	p, err := program.Compile(tj.Spec, tj.Model, &tj.Set.Info)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	if err := p.Check(tj.Set); err != nil {
		t.Fatal(err)
	}
	state := tj.State
	if state == nil {
		if state, err = p.Initial(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := d.Data(tj.Set)
	if err != nil {
		t.Fatalf("data: %v", err)
	}
	j, err := d.NewJob(p, data, state)
	if err != nil {
		t.Fatalf("new job: %v", err)
	}
	return j
}

// A result is what a finished job leaves.
type result struct {
	state  *train.State
	epochs []kernels.Report
	status kernels.Status
}

// finish runs a lane until all of jobs are done, takes what they leave and
// closes them. between, which may be nil, is called after every quantum.
func finish(t testing.TB, l *Lane, jobs []*Job, between func(quantum int)) []result {
	t.Helper()
	results := make([]result, len(jobs))
	index := map[*Job]int{}
	for i, j := range jobs {
		index[j] = i
		l.Join(j)
	}
	deadline := time.Now().Add(5 * time.Minute)
	for quantum := 0; l.Jobs() > 0; quantum++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs are not done after %d quanta", l.Jobs(), quantum)
		}
		did, err := l.Run()
		if err != nil {
			t.Fatalf("quantum %d: %v", quantum, err)
		}
		for _, o := range did.Outcomes {
			r := &results[index[o.Job]]
			status := o.Job.Status()
			if status.Quantum == l.quantum {
				r.epochs = append(r.epochs, status.Report[:status.Reports]...)
			}
			if status.Doing != kernels.DoingDone && status.Doing != kernels.DoingFault {
				continue
			}
			r.status = *status
			r.state = leave(t, l, o.Job)
		}
		if between != nil {
			between(quantum)
		}
	}
	return results
}

// leave takes a job off its lane and returns its state.
func leave(t testing.TB, l *Lane, j *Job) *train.State {
	t.Helper()
	snapshot, err := l.Snapshot(j)
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	l.Leave(j)
	state, err := snapshot.State()
	if err != nil {
		t.Fatalf("read snapshot: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatalf("close job: %v", err)
	}
	return state
}

// alone runs one job from beginning to end by a kernel.
func alone(t testing.TB, d *Device, k Kernel, tj traintest.Job) result {
	t.Helper()
	d.kernel = k
	l := newLane(t, d)
	return finish(t, l, []*Job{lay(t, d, tj)}, nil)[0]
}

// onHost runs the job on the host device.
func onHost(t testing.TB, tj traintest.Job) (*train.State, []host.EpochReport) {
	t.Helper()
	tr, err := host.New(host.Config{Spec: tj.Spec, Model: tj.Model, Data: tj.Set, State: tj.State})
	if err != nil {
		t.Fatal(err)
	}
	var epochs []host.EpochReport
	for {
		report, err := tr.Run(time.Hour)
		if err != nil {
			t.Fatalf("host: %v", err)
		}
		epochs = append(epochs, report.Epochs...)
		if report.Done {
			return tr.State(), epochs
		}
	}
}

// sameBits fails the test where two states differ in any bit.
func sameBits(t testing.TB, what string, got, want *train.State) {
	t.Helper()
	vectors := func(s *train.State) [][]float32 { return append([][]float32{s.Params, s.Buffers, s.Best}, s.Slots...) }
	g, w := vectors(got), vectors(want)
	for i := range w {
		if !bytes.Equal(bytesOf(g[i]), bytesOf(w[i])) {
			name := "slots"
			if i < 3 {
				name = [...]string{"parameters", "buffers", "best"}[i]
			}
			t.Errorf("%s: %s differ", what, name)
		}
	}
	gm, wm := fmt.Sprint(got.Metrics, got.Step, got.Epoch, got.BestEpoch), fmt.Sprint(want.Metrics, want.Step, want.Epoch, want.BestEpoch)
	if gm != wm {
		t.Errorf("%s: %s, not %s", what, gm, wm)
	}
}
