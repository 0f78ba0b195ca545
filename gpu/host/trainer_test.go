package host

import (
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weft/gpu/host/simd"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

const everything = `{
	"name": "everything", "data": {"source": "digits"},
	"model": [
		{"conv2d": {"channels": 4, "kernel": 3, "padding": 1}}, "batchnorm2d", "relu", {"maxpool2d": 2},
		"flatten", {"dropout": 0.3}, {"linear": 12}, "layernorm", "gelu", {"dropout": 0.2}, {"linear": 3}
	],
	"loss": "cross_entropy", "optimizer": {"name": "adamw", "lr": 0.01},
	"schedule": {"name": "cosine", "warmup_steps": 3}, "clip_grad_norm": 1,
	"batch_size": 8, "epochs": 4, "seed": 11,
	"early_stopping": {"metric": "val_loss", "patience": 2}
}`

func everythingJob(t testing.TB) Config {
	return job(t, everything, randomSet(train.CrossEntropy, []int{1, 6, 6}, 41, 19, 10, 3))
}

// finish runs t to its end in one call.
func finish(t testing.TB, tr *Trainer) Report {
	t.Helper()
	r, err := tr.Run(time.Hour)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	if !r.Done {
		t.Fatalf("Run stopped at %+v", r)
	}
	return r
}

type outcome struct {
	Params, Buffers []uint32
	Metrics         map[string]float64
	Epochs          []EpochReport
}

func outcomeOf(tr *Trainer, epochs []EpochReport) outcome {
	params, buffers, metrics := tr.Result()
	return outcome{bits(params), bits(buffers), metrics, epochs}
}

func bits(x []float32) []uint32 {
	b := make([]uint32, len(x))
	for i, v := range x {
		b[i] = math.Float32bits(v)
	}
	return b
}

// TestInterruptionsChangeNoBit stops a job at random boundaries, goes on in a
// new trainer from a copy of its state, and expects the very numbers of a run
// without interruption.
func TestInterruptionsChangeNoBit(t *testing.T) {
	whole := newTrainer(t, everythingJob(t))
	want := outcomeOf(whole, finish(t, whole).Epochs)
	if len(want.Epochs) != 4 || want.Metrics["test_loss"] == 0 {
		t.Fatalf("the uninterrupted run is not what this test needs: %+v", want.Metrics)
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := everythingJob(t)
		tr := newTrainer(t, c)
		var epochs []EpochReport
		for !tr.done {
			for range rapid.IntRange(1, 40).Draw(rt, "units") {
				r, err := tr.Run(0)
				if err != nil {
					rt.Fatal(err)
				}
				epochs = append(epochs, r.Epochs...)
			}
			if rapid.Bool().Draw(rt, "restart") {
				c.State = tr.State()
				tr = newTrainer(t, c)
			}
			if rapid.Bool().Draw(rt, "copy") {
				tr.State()
			}
		}
		if d := cmp.Diff(want, outcomeOf(tr, epochs)); d != "" {
			rt.Fatalf("interrupted run differs (-whole +interrupted):\n%s", d)
		}
	})
}

// TestLevelsGiveTheSameBits: a job may go on on a machine with other vectors.
func TestLevelsGiveTheSameBits(t *testing.T) {
	for name, c := range map[string]Config{
		"everything":  everythingJob(t),
		"regularized": benchmarkJobs(t)["regularized/64"],
	} {
		if c.Spec.Steps > 0 {
			c.Spec.Steps = 20
		}
		var want outcome
		for i, level := range simd.Levels() {
			tr := newTrainer(t, c)
			tr.vector.Kernels = simd.For(level)
			tr.optimizer.k = simd.For(level)
			got := outcomeOf(tr, finish(t, tr).Epochs)
			if i == 0 {
				want = got
			} else if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: %v and %v differ (-%[2]v +%[3]v):\n%[4]s", name, simd.Levels()[0], level, d)
			}
		}
	}
}

func TestStateIsACopy(t *testing.T) {
	c := everythingJob(t)
	tr := newTrainer(t, c)
	for range 15 { // into the second epoch, so that there is a best one
		if _, err := tr.Run(0); err != nil {
			t.Fatal(err)
		}
	}
	c.State = tr.State()
	if c.State.Best == nil || c.State.Step == 0 {
		t.Fatalf("state after 15 units has no best epoch: step %d", c.State.Step)
	}
	before := *c.State
	before.Params = slices.Clone(before.Params)
	before.Best = slices.Clone(before.Best)
	before.Metrics = maps.Clone(before.Metrics)
	resumed := newTrainer(t, c)
	finish(t, tr)
	finish(t, resumed)
	if !slices.Equal(before.Params, c.State.Params) || !slices.Equal(before.Best, c.State.Best) ||
		!maps.Equal(before.Metrics, c.State.Metrics) {
		t.Error("training on changed a state that was handed out")
	}
}

func TestSeedsMatter(t *testing.T) {
	a := newTrainer(t, everythingJob(t))
	c := everythingJob(t)
	c.Spec.Seed = 12
	b := newTrainer(t, c)
	if slices.Equal(a.net.params, b.net.params) {
		t.Error("two seeds gave the same initial parameters")
	}
	finish(t, a)
	finish(t, b)
	if slices.Equal(a.net.params, b.net.params) {
		t.Error("two seeds gave the same trained parameters")
	}
}

func TestMemoryIsExact(t *testing.T) {
	for name, c := range benchmarkJobs(t) {
		want := Memory(c.Spec, c.Model, &c.Data.Info)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tr := newTrainer(t, c)
		runtime.ReadMemStats(&after)
		if got := tr.bytes; got != want {
			t.Errorf("%s: New laid out %d bytes, Memory says %d", name, got, want)
		}
		// The allocator rounds up to its pages; names, layers and closures are small.
		if extra := int64(after.TotalAlloc-before.TotalAlloc) - want; extra < 0 || extra > 32<<10 {
			t.Errorf("%s: New allocated %d bytes beyond the %d that Memory says", name, extra, want)
		}
		runtime.KeepAlive(tr)
	}
}

func TestStepsAllocateNothing(t *testing.T) {
	jobs := benchmarkJobs(t)
	jobs["everything"] = everythingJob(t)
	for name, c := range jobs {
		c.Spec.Epochs, c.Spec.Steps = 0, 1<<40
		tr := newTrainer(t, c)
		if err := tr.step(); err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(20, func() {
			tr.state.EpochStep = 0 // stay in the epoch
			if err := tr.step(); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: a step allocates %v times", name, allocs)
		}
	}
}

func TestLearns(t *testing.T) {
	for _, c := range []struct {
		loss   train.Loss
		metric string
		above  float64
	}{
		{train.CrossEntropy, "test_accuracy", 0.85},
		{train.BCEWithLogits, "test_accuracy", 0.9},
		{train.MSE, "test_r2", 0.8},
		{train.Huber, "test_r2", 0.8},
	} {
		t.Run(string(c.loss), func(t *testing.T) {
			spec := `{"data": {"source": "teacher"}, "model": [{"linear": 32}, "tanh", {"linear": 3}],
				"loss": "` + string(c.loss) + `", "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 30}`
			tr := newTrainer(t, job(t, spec, randomSet(c.loss, []int{6}, 600, 100, 200, 3)))
			first := tr.State()
			last := finish(t, tr).Epochs
			if got := last[len(last)-1].Metrics["train_loss"]; got >= last[0].Metrics["train_loss"]/2 {
				t.Errorf("train_loss went from %g to %g only", last[0].Metrics["train_loss"], got)
			}
			if _, _, m := tr.Result(); !(m[c.metric] > c.above) {
				t.Errorf("%s is %g, want more than %g (%v)", c.metric, m[c.metric], c.above, m)
			}
			if first.Step != 0 || tr.State().Epoch != 30 {
				t.Errorf("states say step %d and epoch %d", first.Step, tr.State().Epoch)
			}
		})
	}
}

// TestDropoutStatistics: kept elements are scaled so that the mean stays, and
// the share that is dropped is p's.
func TestDropoutStatistics(t *testing.T) {
	const n = 1 << 16
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	for _, p := range []float64{0.1, 0.5, 0.9} {
		l := &dropout[float32]{k: &vectorKernels{}, seed: 1, stage: 2, p: p, mask: make([]float32, n)}
		y := make([]float32, n)
		l.forward(&pass{rows: 1, train: true, step: 9}, x, y)
		var sum, zero float64
		for _, v := range y {
			sum += float64(v)
			if v == 0 {
				zero++
			}
		}
		deviation := 5 * math.Sqrt(p*(1-p)/n)
		if got := zero / n; math.Abs(got-p) > deviation {
			t.Errorf("p=%g drops %g", p, got)
		}
		if got := sum / n; math.Abs(got-1) > deviation/(1-p) {
			t.Errorf("p=%g: mean of ones is %g", p, got)
		}
		first := slices.Clone(y)
		l.forward(&pass{rows: 1, train: true, step: 10}, x, y)
		if slices.Equal(first, y) {
			t.Errorf("p=%g: two steps drop the same elements", p)
		}
		l.forward(&pass{rows: 1}, x, y)
		if !slices.Equal(x, y) {
			t.Errorf("p=%g: evaluation changes the input", p)
		}
	}
}

func TestDropoutOfAll(t *testing.T) {
	l := &dropout[float32]{k: &vectorKernels{}, p: 1, mask: make([]float32, 8)}
	y := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	l.forward(&pass{rows: 1, train: true}, y, y)
	if !slices.Equal(y, make([]float32, 8)) {
		t.Errorf("p=1 leaves %v", y)
	}
}

func TestMaxPoolTiesAndNaN(t *testing.T) {
	nan := float32(math.NaN())
	l := &maxPool2d[float32]{
		window: window{channels: 1, in: [2]int{2, 4}, out: [2]int{1, 2}, kernel: [2]int{2, 2}, stride: [2]int{2, 2}},
		from:   make([]int32, 2),
	}
	y := make([]float32, 2)
	l.forward(&pass{rows: 1}, []float32{3, 3, 1, nan, 3, 3, 9, 2}, y)
	if y[0] != 3 || l.from[0] != 0 {
		t.Errorf("of equal elements the one at %d won, want the first", l.from[0])
	}
	if y[1] == y[1] {
		t.Errorf("NaN was pooled to %g", y[1])
	}
}

func TestLossFault(t *testing.T) {
	set := randomSet(train.MSE, []int{4}, 64, 0, 0, 1)
	c := job(t, `{"data": {"source": "teacher", "standardize": false}, "model": [{"linear": 8}, "relu", {"linear": 1}],
		"loss": "mse", "optimizer": {"name": "sgd", "lr": 1e6}, "batch_size": 16, "epochs": 50}`, set)
	tr := newTrainer(t, c)
	r, err := tr.Run(time.Hour)
	fault, ok := err.(*train.Fault)
	if !ok || fault.Code != "nan_loss" {
		t.Fatalf("Run with a huge learning rate: %+v, %v", r, err)
	}
	if !strings.HasPrefix(fault.Message, "loss is ") || !strings.Contains(fault.Message, " at step ") {
		t.Errorf("message: %s", fault.Message)
	}
	want := "lower optimizer.lr (1e+06), set clip_grad_norm: 1, set data.standardize: true"
	if fault.Hint != want {
		t.Errorf("hint: %s\nwant: %s", fault.Hint, want)
	}
}

func TestNaNInDataIsAFault(t *testing.T) {
	set := randomSet(train.CrossEntropy, []int{4}, 64, 0, 0, 3)
	set.X[4*20] = float32(math.NaN())
	c := job(t, `{"data": {"source": "digits", "standardize": true}, "model": [{"linear": 8}, "relu", {"linear": 3}],
		"loss": "cross_entropy", "clip_grad_norm": 1, "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 16,
		"epochs": 5, "shuffle": false}`, set)
	_, err := newTrainer(t, c).Run(time.Hour)
	want := &train.Fault{Code: "nan_loss", Message: "loss is NaN at step 2 (epoch 1)", Hint: "lower optimizer.lr (0.1)"}
	if d := cmp.Diff(error(want), err); d != "" {
		t.Errorf("fault (-want +got):\n%s", d)
	}
}

func TestEarlyStoppingKeepsTheBest(t *testing.T) {
	// Targets that are noise: validation gets worse once the model overfits.
	set := randomSet(train.CrossEntropy, []int{8}, 32, 64, 0, 4)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range set.Labels {
		set.Labels[i] = int32(r.IntN(4))
	}
	c := job(t, `{"data": {"source": "digits"}, "model": [{"linear": 32}, "batchnorm1d", "relu", {"linear": 4}],
		"loss": "cross_entropy", "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 500, "batch_size": 8,
		"early_stopping": {"metric": "val_loss", "patience": 4}}`, set)
	tr := newTrainer(t, c)
	epochs := finish(t, tr).Epochs
	best := 0
	for i, e := range epochs {
		if e.Metrics["val_loss"] < epochs[best].Metrics["val_loss"] {
			best = i
		}
	}
	if len(epochs) == 500 || len(epochs) != best+1+4 {
		t.Fatalf("stopped after %d epochs, the best was %d and patience 4", len(epochs), best+1)
	}
	params, buffers, metrics := tr.Result()
	if !maps.Equal(metrics, epochs[best].Metrics) {
		t.Errorf("metrics %v are not the best epoch's %v", metrics, epochs[best].Metrics)
	}
	// The result is the model as it was when that epoch ended.
	again := newTrainer(t, c)
	for again.state.Epoch <= best {
		if _, err := again.Run(0); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(params, again.net.params) || !slices.Equal(buffers, again.net.buffers) {
		t.Error("the result is not the best epoch's model")
	}
}

func TestNewRefuses(t *testing.T) {
	const spec = `{"data": {"source": "digits"}, "model": [{"linear": 8}, "batchnorm1d", {"linear": 3}],
		"loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "epochs": 2}`
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no batch", func(c *Config) { c.Spec.DropLast, c.Spec.BatchSize = true, 64 },
			"check data: 16 training rows make no batch of 64"},
		{"label", func(c *Config) { c.Data.Labels[3] = 3 },
			"check data: label 3 in row 3, the model has 3 outputs"},
		{"negative label", func(c *Config) { c.Data.Labels[0] = -1 },
			"check data: label -1 in row 0, the model has 3 outputs"},
		{"labels", func(c *Config) { c.Data.Labels = c.Data.Labels[1:] },
			"check data: 15 labels for 16 rows"},
		{"no validation", func(c *Config) { c.Spec.EarlyStopping = &train.EarlyStopping{Metric: "val_loss"} },
			"early stopping watches val_loss, which a job with loss cross_entropy does not measure"},
		{"metric", func(c *Config) { c.Spec.EarlyStopping = &train.EarlyStopping{Metric: "val_r2"} },
			"early stopping watches val_r2, which a job with loss cross_entropy does not measure"},
		{"targets", func(c *Config) { c.Spec.Loss = train.MSE },
			"check data: 0 targets are not 16 rows of 3"},
		{"short data", func(c *Config) { c.Data.X = c.Data.X[1:] },
			"check data: 63 numbers are not 16 rows of 4"},
		{"short state", func(c *Config) { c.State = &train.State{} },
			"restore state: it has 0 parameters, the job has 83"},
		{"state beyond the end", func(c *Config) {
			c.State = &train.State{Params: make([]float32, 83), Buffers: make([]float32, 16), Step: 4, EpochStep: 2}
		}, "restore state: step 4, 2 of its epoch, is no place in a job of 4 steps, 2 an epoch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := job(t, spec, randomSet(train.CrossEntropy, []int{4}, 16, 0, 0, 3))
			c.change(&cfg)
			_, err := New(cfg)
			if err == nil || err.Error() != c.want {
				t.Errorf("New: %v\nwant: %s", err, c.want)
			}
		})
	}
}

func TestStepsEndAnEpochEarly(t *testing.T) {
	c := job(t, `{"data": {"source": "digits"}, "model": [{"linear": 3}], "loss": "cross_entropy",
		"optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 8, "steps": 5}`,
		randomSet(train.CrossEntropy, []int{4}, 24, 8, 0, 3))
	r := finish(t, newTrainer(t, c))
	if r.Step != 5 || len(r.Epochs) != 2 || r.Epochs[0].Step != 3 || r.Epochs[1].Step != 5 {
		t.Errorf("5 steps of 3 an epoch: %+v", r)
	}
	if _, ok := r.Epochs[1].Metrics["val_loss"]; !ok {
		t.Error("the part of an epoch was not validated")
	}
}

// TestPredictIsEvaluation: predictions do not depend on how rows are batched.
func TestPredictIsEvaluation(t *testing.T) {
	c := everythingJob(t)
	tr := newTrainer(t, c)
	finish(t, tr)
	params, buffers, _ := tr.Result()
	whole := make([]float32, c.Data.Rows*3)
	if err := Predict(c.Model, params, buffers, c.Data.X, c.Data.Rows, whole); err != nil {
		t.Fatal(err)
	}
	for row := range c.Data.Rows {
		out := make([]float32, 3)
		if err := Predict(c.Model, params, buffers, c.Data.X[row*36:(row+1)*36], 1, out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(bits(out), bits(whole[row*3:row*3+3])) {
			t.Fatalf("row %d alone gives %v, with others %v", row, out, whole[row*3:row*3+3])
		}
	}
	if err := Predict(c.Model, params, buffers, c.Data.X, 1, whole[:3]); err == nil {
		t.Error("Predict took more numbers than one row has")
	}
	if err := Predict(c.Model, params, buffers, nil, 0, nil); err != nil {
		t.Errorf("Predict of no rows: %v", err)
	}
}

func TestMetricsByHand(t *testing.T) {
	if got := r2([]float64{1, 0, 2}, []float64{4, 0, 0}); got != (0.75+1+0)/3 {
		t.Errorf("r2 = %g", got)
	}
	if got := countLabels([]float32{1, 3, 3, 0, -1, -2}, []int32{1, 0}); got != 2 {
		t.Errorf("countLabels = %d", got)
	}
	if got := countSigns([]float32{1, -1, 0, 2}, []float32{1, 0, 1, 0}); got != 2 {
		t.Errorf("countSigns = %d", got)
	}
	p := newPart("val_", &dataset.Set{
		Info: dataset.Info{Task: string(dataset.Regression), TargetWidth: 1}, Targets: []float32{9, 1, 3, 5},
	}, 1, 3)
	if p.spread[0] != 8 {
		t.Errorf("spread of 1, 3, 5 is %g", p.spread[0])
	}
}
