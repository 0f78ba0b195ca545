//go:build cuda

package lane

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"weft/gpu/train"
	"weft/gpu/train/traintest"
)

// agreement that is asked of a GPU after 20 steps, with PyTorch and with the
// host device; [traintest.Compare] has its meaning.
const agreement = 1e-4

// TestReference follows PyTorch's own runs: every layer, loss, optimizer and
// schedule that it has, by both kernels, which must agree bit by bit.
func TestReference(t *testing.T) {
	d := open(t, Options{Quantum: 2 * time.Millisecond})
	for _, ref := range traintest.References(t, "../train/testdata/reference") {
		t.Run(ref.Name, func(t *testing.T) {
			block := alone(t, d, Block, ref.Job)
			ref.CompareFinal(t, block.state.Params, block.state.Buffers, agreement)
			grid := alone(t, d, Grid, ref.Job)
			sameBits(t, "grid against block", grid.state, block.state)
		})
	}
}

// A task is a loss and data for it.
type task struct {
	loss  train.Loss
	width int
}

// spec writes a specification; more are further keys.
func spec(seed int, loss train.Loss, model string, more ...string) string {
	keys := append([]string{
		fmt.Sprintf(`"seed":%d`, seed), fmt.Sprintf(`"loss":%q`, loss), `"model":` + model,
		`"data":{"source":"moons"}`,
	}, more...)
	return "{" + strings.Join(keys, ",") + "}"
}

// TestAgreesWithHost runs what PyTorch's runs do not have, shuffling, dropout,
// validation, early stopping, a test part, beside the host device.
func TestAgreesWithHost(t *testing.T) {
	d := open(t, Options{Quantum: 2 * time.Millisecond})
	mlp := `[{"linear":33},"relu",{"linear":"auto"}]`
	cases := map[string]struct {
		task  task
		shape []int
		rows  [3]int
		model string
		more  []string
	}{
		"shuffled, adam, cosine": {task{train.CrossEntropy, 7}, []int{19}, [3]int{150, 40, 30}, mlp,
			[]string{`"epochs":4`, `"batch_size":32`, `"optimizer":{"name":"adam","lr":0.01}`, `"schedule":{"name":"cosine","warmup_steps":3}`}},
		"dropout, adamw, one cycle": {task{train.CrossEntropy, 5}, []int{23}, [3]int{100, 20, 0},
			`[{"linear":40},"gelu",{"dropout":0.3},{"linear":17},"tanh",{"dropout":0.5},{"linear":"auto"}]`,
			[]string{`"epochs":6`, `"batch_size":33`, `"optimizer":{"name":"adamw","lr":0.01,"weight_decay":0.1}`, `"schedule":{"name":"one_cycle"}`}},
		"early stopping by loss": {task{train.MSE, 3}, []int{11}, [3]int{90, 50, 25}, mlp,
			[]string{`"epochs":40`, `"batch_size":16`, `"optimizer":{"name":"sgd","lr":0.1,"momentum":0.9,"nesterov":true}`,
				`"early_stopping":{"metric":"val_loss","patience":3}`}},
		"early stopping by accuracy": {task{train.BCEWithLogits, 2}, []int{6}, [3]int{64, 32, 16}, mlp,
			[]string{`"epochs":12`, `"batch_size":64`, `"optimizer":{"name":"rmsprop","lr":0.01,"momentum":0.5,"centered":true}`,
				`"early_stopping":{"metric":"val_accuracy","patience":2}`}},
		"huber, clipped, linear schedule": {task{train.Huber, 1}, []int{8}, [3]int{70, 30, 10},
			`[{"linear":16},{"leaky_relu":0.2},"layernorm",{"linear":"auto"}]`,
			[]string{`"epochs":5`, `"batch_size":10`, `"clip_grad_norm":0.1`, `"optimizer":{"name":"sgd","lr":0.1}`, `"schedule":{"name":"linear","min_lr":0.01}`}},
		"no part but training": {task{train.CrossEntropy, 3}, []int{4}, [3]int{31, 0, 0}, mlp,
			[]string{`"steps":17`, `"batch_size":8`, `"drop_last":true`}},
		"in order": {task{train.CrossEntropy, 3}, []int{4}, [3]int{31, 9, 9}, mlp,
			[]string{`"epochs":3`, `"batch_size":8`, `"shuffle":false`}},
		"one row a batch": {task{train.MSE, 1}, []int{3}, [3]int{5, 3, 0}, mlp, []string{`"epochs":3`, `"batch_size":1`}},
		"a batch larger than the data": {task{train.CrossEntropy, 3}, []int{4}, [3]int{20, 300, 0}, mlp,
			[]string{`"epochs":3`, `"batch_size":1000`}},
		// A bias before a batch norm has no gradient but rounding, which Adam
		// would blow up to whole steps: so plain descent here.
		"convolutions": {task{train.CrossEntropy, 4}, []int{2, 12, 12}, [3]int{50, 20, 0},
			`[{"conv2d":{"channels":5,"kernel":3,"padding":1}},"batchnorm2d","relu",{"maxpool2d":{"kernel":2}},` +
				`{"conv2d":{"channels":7,"kernel":3,"stride":2}},"gelu",{"avgpool2d":{"kernel":2}},"flatten",{"linear":"auto"}]`,
			[]string{`"epochs":3`, `"batch_size":16`, `"optimizer":{"name":"sgd","lr":0.1,"momentum":0.9}`}},
		"dropout first": {task{train.CrossEntropy, 3}, []int{10}, [3]int{40, 10, 0},
			`[{"dropout":0.2},"batchnorm1d",{"linear":"auto"}]`, []string{`"epochs":3`, `"batch_size":16`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			set := traintest.Set(c.task.loss, c.shape, c.rows[0], c.rows[1], c.rows[2], c.task.width)
			tj := traintest.Compose(t, spec(3, c.task.loss, c.model, c.more...), set)
			want, epochs := onHost(t, tj)
			got := alone(t, d, Block, tj)
			if got.state.Step != want.Step || got.state.Epoch != want.Epoch || got.state.BestEpoch != want.BestEpoch {
				t.Fatalf("ended at step %d, epoch %d, best %d; the host at %d, %d, %d",
					got.state.Step, got.state.Epoch, got.state.BestEpoch, want.Step, want.Epoch, want.BestEpoch)
			}
			traintest.Compare(t, "parameters", got.state.Params, want.Params, agreement)
			if len(want.Buffers) > 0 {
				traintest.Compare(t, "buffers", got.state.Buffers, want.Buffers, agreement)
			}
			compareMetrics(t, "final", got.state.Metrics, want.Metrics)
			if len(got.epochs) != len(epochs) {
				t.Fatalf("%d epochs reported, the host has %d", len(got.epochs), len(epochs))
			}
			for i := range epochs {
				compareMetrics(t, fmt.Sprint("epoch ", i+1), metricsOf(&got.epochs[i]), epochs[i].Metrics)
			}
			sameBits(t, "grid against block", alone(t, d, Grid, tj).state, got.state)
		})
	}
}

func compareMetrics(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, the host has %v", what, got, want)
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok || !(math.Abs(g-w) <= agreement*max(1, math.Abs(w))) {
			t.Errorf("%s: %s is %v, the host's %v", what, name, g, w)
		}
	}
}

// A loss that is no number ends the job with the host's words.
func TestFault(t *testing.T) {
	d := open(t, Options{Quantum: 2 * time.Millisecond})
	for _, k := range []Kernel{Block, Grid} {
		set := traintest.Set(train.MSE, []int{5}, 40, 10, 0, 2)
		tj := traintest.Compose(t, spec(1, train.MSE, `[{"linear":"auto"}]`, `"epochs":50`, `"batch_size":8`,
			`"optimizer":{"name":"sgd","lr":1e12}`), set)
		l := newLane(t, d)
		d.kernel = k
		j := lay(t, d, tj)
		r := finish(t, l, []*Job{j}, nil)[0]
		got := j.Program().Fault(&r.status)
		want := hostFault(t, tj)
		if got == nil || *got != *want {
			t.Errorf("%v: %+v, the host says %+v", k, got, want)
		}
	}
}
