//go:build cuda

package lane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"weft/gpu/cuda"
	"weft/gpu/host"
	"weft/gpu/program"
	"weft/gpu/train"
	"weft/gpu/train/traintest"
	"weft/kernels"
)

func metricsOf(r *kernels.Report) map[string]float64 { return program.Metrics(r) }

// hostFault is what the host device says of a job that fails.
func hostFault(t *testing.T, tj traintest.Job) *train.Fault {
	t.Helper()
	tr, err := host.New(host.Config{Spec: tj.Spec, Model: tj.Model, Data: tj.Set})
	if err != nil {
		t.Fatal(err)
	}
	for {
		report, err := tr.Run(time.Hour)
		var fault *train.Fault
		if errors.As(err, &fault) {
			return fault
		}
		if err != nil || report.Done {
			t.Fatalf("the host ends without a fault: %v", err)
		}
	}
}

// shapes makes jobs of different depth, width, activation, batch, optimizer
// and rate, each trained for some epochs.
func shapes(t testing.TB, n, epochs int) []traintest.Job {
	t.Helper()
	acts := []string{"relu", "tanh", "gelu", "sigmoid"}
	optimizers := []string{`{"name":"adam","lr":%g}`, `{"name":"sgd","lr":%g,"momentum":0.9}`, `{"name":"adamw","lr":%g}`, `{"name":"rmsprop","lr":%g}`}
	set := traintest.Set(train.CrossEntropy, []int{20}, 90, 30, 10, 4)
	jobs := make([]traintest.Job, n)
	for i := range jobs {
		model := ""
		for depth := range 1 + i%3 {
			model += fmt.Sprintf(`{"linear":%d},%q,`, 5+i+3*depth, acts[(i+depth)%len(acts)])
		}
		if i%5 == 0 {
			model += `{"dropout":0.2},`
		}
		jobs[i] = traintest.Compose(t, spec(i, train.CrossEntropy, "["+model+`{"linear":"auto"}]`,
			fmt.Sprintf(`"epochs":%d`, epochs), fmt.Sprintf(`"batch_size":%d`, 7+i),
			`"optimizer":`+fmt.Sprintf(optimizers[i%len(optimizers)], 0.001*float64(1+i%7))), set)
	}
	return jobs
}

// TestSameBits: 64 jobs of 64 shapes, each alone, then all in one gang, by
// either kernel and by whichever the lane takes; then in gangs that change
// after every quantum, with jobs that leave and come back on another lane.
func TestSameBits(t *testing.T) {
	d := open(t, Options{Quantum: time.Millisecond})
	jobs := shapes(t, 64, 3)
	want := make([]*train.State, len(jobs))
	for i, tj := range jobs {
		want[i] = alone(t, d, Block, tj).state
	}
	for _, k := range []Kernel{Block, Grid, Auto} {
		d.kernel = k
		l := newLane(t, d)
		laid := make([]*Job, len(jobs))
		for i, tj := range jobs {
			laid[i] = lay(t, d, tj)
		}
		for i, r := range finish(t, l, laid, nil) {
			sameBits(t, fmt.Sprintf("job %d of a gang of 64, %v", i, k), r.state, want[i])
		}
	}
	t.Run("changing gangs", func(t *testing.T) { changingGangs(t, d, jobs, want) })
}

// changingGangs runs jobs on two lanes. After each quantum some leave with a
// snapshot, and others come back from theirs, perhaps on the other lane. Quanta
// are so short that by one block a job does one section in each.
func changingGangs(t *testing.T, d *Device, jobs []traintest.Job, want []*train.State) {
	defer func(was time.Duration) { d.quantum = was }(d.quantum)
	d.quantum = time.Nanosecond
	rng := rand.New(rand.NewPCG(1, 2))
	lanes := []*Lane{newLane(t, d), newLane(t, d)}
	states := make([]*train.State, len(jobs))
	on := map[*Job]int{}
	waiting := rng.Perm(len(jobs))
	moves := 0
	for len(waiting)+len(on) > 0 {
		for len(waiting) > 0 && (len(on) == 0 || rng.IntN(3) > 0) {
			i := waiting[0]
			waiting = waiting[1:]
			tj := jobs[i]
			tj.State = states[i]
			j := lay(t, d, tj)
			on[j] = i
			lanes[rng.IntN(2)].Join(j)
		}
		for _, l := range lanes {
			d.kernel = Block
			if rng.IntN(20) == 0 {
				d.kernel = Grid
			}
			quantum, err := l.Run()
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range quantum.Outcomes {
				i, done := on[o.Job], o.Job.Status().Doing == kernels.DoingDone
				if !done && rng.IntN(4) > 0 {
					continue
				}
				states[i] = leave(t, l, o.Job)
				delete(on, o.Job)
				if done {
					sameBits(t, fmt.Sprintf("job %d after moves", i), states[i], want[i])
				} else {
					moves++
					waiting = append(waiting, i)
				}
			}
		}
	}
	if moves < len(jobs) {
		t.Errorf("only %d moves; the test should make more", moves)
	}
}

// A snapshot that is taken while the job goes on is of the moment it was taken.
func TestSnapshotIsOfItsMoment(t *testing.T) {
	d := open(t, Options{Quantum: time.Millisecond, Kernel: Block})
	tj := shapes(t, 4, 200)[3]
	l := newLane(t, d)
	j := lay(t, d, tj)
	l.Join(j)
	var snapshots []*Snapshot
	var steps []int64
	for j.Status().Doing != kernels.DoingDone {
		if _, err := l.Run(); err != nil {
			t.Fatal(err)
		}
		s, err := l.Snapshot(j)
		if err != nil {
			t.Fatal(err)
		}
		snapshots, steps = append(snapshots, s), append(steps, j.Status().Step)
	}
	var last *train.State
	for i, s := range snapshots {
		state, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		if state.Step != steps[i] {
			t.Errorf("snapshot %d is of step %d, taken at %d", i, state.Step, steps[i])
		}
		last = state
	}
	l.Leave(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "from the beginning", alone(t, d, Block, tj).state, last)
}

// 2,000 jobs come and go and leave no byte behind.
func TestNothingLeaks(t *testing.T) {
	d := open(t, Options{Quantum: time.Millisecond})
	tj := traintest.Compose(t, spec(1, train.CrossEntropy, `[{"linear":8},"relu",{"linear":"auto"}]`, `"epochs":2`, `"batch_size":16`),
		traintest.Set(train.CrossEntropy, []int{6}, 40, 8, 0, 3))
	l := newLane(t, d)
	round := func(n int) {
		jobs := make([]*Job, n)
		for i := range jobs {
			jobs[i] = lay(t, d, tj)
		}
		finish(t, l, jobs, nil)
	}
	round(100) // data set, table and pinned memory are there now
	used := func() int64 {
		if err := d.copies.Synchronize(); err != nil {
			t.Fatal(err)
		}
		n, _, err := d.ctx.PoolUse()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, pinned := used(), len(d.free)
	for range 19 {
		round(100)
	}
	if after := used(); after != before {
		t.Errorf("%d bytes of device memory in use after 2,000 jobs, %d after the first 100", after, before)
	}
	if len(d.free) != pinned {
		t.Errorf("%d pinned blocks after 2,000 jobs, %d after the first 100", len(d.free), pinned)
	}
}

// Data sets nobody uses make room for jobs; those in use never do.
func TestDataIsSharedAndEvicted(t *testing.T) {
	d := open(t, Options{})
	set := traintest.Set(train.CrossEntropy, []int{6}, 40, 8, 0, 3)
	first, err := d.Data(set)
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.Data(set)
	if err != nil {
		t.Fatal(err)
	}
	if first != again || len(d.sets) != 1 {
		t.Errorf("equal content is on the device twice")
	}
	first.Release()
	evict := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		ok, err := d.evictLocked()
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if evict() {
		t.Error("a data set in use was given up")
	}
	again.Release()
	if !evict() || len(d.sets) != 0 {
		t.Error("a data set that nobody uses was kept")
	}
}

// BenchmarkQuantum is what a quantum costs the host beyond its kernels: the
// gang's one job is done, so that they do nothing. host-ns/op leaves out the
// wait for the device, which by launches of a phase each has hundreds of
// kernels to start all the same.
func BenchmarkQuantum(b *testing.B) {
	for _, k := range []Kernel{Block, Grid} {
		b.Run(k.String(), func(b *testing.B) { benchmarkQuantum(b, k) })
	}
}

func benchmarkQuantum(b *testing.B, k Kernel) {
	d := open(b, Options{Kernel: k})
	l := newLane(b, d)
	j := lay(b, d, shapes(b, 1, 1)[0])
	l.Join(j)
	for j.Status().Doing != kernels.DoingDone {
		if _, err := l.Run(); err != nil {
			b.Fatal(err)
		}
	}
	var host time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if err := l.launch(k); err != nil {
			b.Fatal(err)
		}
		launched := time.Now()
		if err := l.end.Synchronize(); err != nil {
			b.Fatal(err)
		}
		done := time.Now()
		took, err := cuda.Elapsed(l.began, l.end)
		if err != nil {
			b.Fatal(err)
		}
		l.work()
		l.charge(took)
		host += launched.Sub(began) + time.Since(done)
	}
	b.StopTimer()
	b.ReportMetric(float64(host.Nanoseconds())/float64(b.N), "host-ns/op")
	if k == Grid {
		b.ReportMetric(float64(l.graph.times), "graphs/op")
	}
	l.Leave(j)
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}
