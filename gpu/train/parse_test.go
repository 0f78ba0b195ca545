package train

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/gpu/train/dataset"
)

// minimal is the shortest document; tests put keys into it.
const minimal = `{"data":{"source":"digits"},"model":[{"linear":10}]}`

// with returns the minimal document with more keys at its end.
func with(keys string) string { return strings.TrimSuffix(minimal, "}") + "," + keys + "}" }

// withData and withModel return the minimal document with other data or model.
func withData(data string) string   { return `{"data":` + data + `,"model":[{"linear":10}]}` }
func withModel(model string) string { return `{"data":{"source":"digits"},"model":` + model + `}` }

func mustParse(t testing.TB, document string) *Spec {
	t.Helper()
	s, err := Parse([]byte(document))
	if err != nil {
		t.Fatalf("%s\n%v", document, err)
	}
	return s
}

func TestDefaults(t *testing.T) {
	want := &Spec{
		Data: dataset.Spec{Source: dataset.SourceDigits, Standardize: true,
			Split: dataset.Split{Validation: 0.2, Stratify: true}},
		Model:     []Layer{{Kind: Linear, Width: 10}},
		Loss:      CrossEntropy,
		Optimizer: Optimizer{Name: AdamW, LR: 1e-3, Betas: [2]float64{0.9, 0.999}, Eps: 1e-8, WeightDecay: 0.01},
		Schedule:  Schedule{Name: Constant},
		BatchSize: 32, Epochs: 20, Shuffle: true,
		Checkpoint: Checkpoint{EverySeconds: 30}, Device: "auto", Precision: "float32",
	}
	if diff := cmp.Diff(want, mustParse(t, minimal)); diff != "" {
		t.Error(diff)
	}
}

func TestLayerForms(t *testing.T) {
	for _, c := range []struct {
		document string
		want     Layer
	}{
		{`{"linear":64}`, Layer{Kind: Linear, Width: 64}},
		{`{"linear":6.4e1}`, Layer{Kind: Linear, Width: 64}},
		{`{"linear":{"out":64,"bias":false}}`, Layer{Kind: Linear, Width: 64, NoBias: true}},
		{`{"conv2d":{"channels":8,"kernel":3}}`,
			Layer{Kind: Conv2D, Width: 8, Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}}},
		{`{"conv2d":{"channels":8,"kernel":[3,5],"stride":2,"padding":[1,2],"bias":false}}`,
			Layer{Kind: Conv2D, Width: 8, NoBias: true, Kernel: [2]int{3, 5}, Stride: [2]int{2, 2}, Padding: [2]int{1, 2}}},
		{`{"maxpool2d":2}`, Layer{Kind: MaxPool2D, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}},
		{`{"avgpool2d":[2,3]}`, Layer{Kind: AvgPool2D, Kernel: [2]int{2, 3}, Stride: [2]int{2, 3}}},
		{`{"maxpool2d":{"kernel":3,"stride":2,"padding":1}}`,
			Layer{Kind: MaxPool2D, Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Padding: [2]int{1, 1}}},
		{`"flatten"`, Layer{Kind: Flatten}},
		{`"relu"`, Layer{Kind: ReLU}},
		{`{"relu":null}`, Layer{Kind: ReLU}},
		{`{"relu":{}}`, Layer{Kind: ReLU}},
		{`"gelu"`, Layer{Kind: GELU}},
		{`"tanh"`, Layer{Kind: Tanh}},
		{`"sigmoid"`, Layer{Kind: Sigmoid}},
		{`"leaky_relu"`, Layer{Kind: LeakyReLU, Slope: 0.01}},
		{`{"leaky_relu":0.2}`, Layer{Kind: LeakyReLU, Slope: 0.2}},
		{`{"leaky_relu":{"slope":0.3}}`, Layer{Kind: LeakyReLU, Slope: 0.3}},
		{`"dropout"`, Layer{Kind: Dropout, P: 0.5}},
		{`{"dropout":0.1}`, Layer{Kind: Dropout, P: 0.1}},
		{`{"dropout":{"p":-0.0}}`, Layer{Kind: Dropout}},
		{`"layernorm"`, Layer{Kind: LayerNorm, Eps: 1e-5}},
		{`{"layernorm":{"eps":1e-6}}`, Layer{Kind: LayerNorm, Eps: 1e-6}},
		{`"batchnorm1d"`, Layer{Kind: BatchNorm1D, Eps: 1e-5, Momentum: 0.1}},
		{`{"batchnorm2d":{"momentum":0.01}}`, Layer{Kind: BatchNorm2D, Eps: 1e-5, Momentum: 0.01}},
	} {
		got := mustParse(t, withModel("["+c.document+"]"))
		if diff := cmp.Diff([]Layer{c.want}, got.Model); diff != "" {
			t.Errorf("%s:\n%s", c.document, diff)
		}
	}
}

func TestDataForms(t *testing.T) {
	split := dataset.Split{Validation: 0.2, Stratify: true}
	for _, c := range []struct {
		document string
		want     dataset.Spec
	}{
		{`{"csv":"/a/../b.csv","target":"price"}`, dataset.Spec{Source: "csv", File: "/b.csv", Target: "price"}},
		{`{"csv":"/a.csv","target":3}`, dataset.Spec{Source: "csv", File: "/a.csv", Target: "3"}},
		{`{"idx":{"images":"/i.gz","labels":"/l.gz"}}`, dataset.Spec{Source: "idx", X: "/i.gz", Y: "/l.gz"}},
		{`{"npy":{"x":"/x.npy","y":"/y.npy"}}`, dataset.Spec{Source: "npy", X: "/x.npy", Y: "/y.npy"}},
		{`{"parquet":"/a.parquet"}`, dataset.Spec{Source: "parquet", File: "/a.parquet"}},
		{`{"safetensors":{"file":"/f","x":"a","y":"b"}}`,
			dataset.Spec{Source: "safetensors", File: "/f", X: "a", Y: "b"}},
		{`{"source":"iris","shape":[1,2,2]}`, dataset.Spec{Source: "iris", Shape: []int{1, 2, 2}}},
		{`{"source":"moons"}`, dataset.Spec{Source: "moons", Make: dataset.Make{Rows: 1000, Noise: 0.1}}},
		{`{"source":"spirals","make":{"classes":2,"noise":0}}`,
			dataset.Spec{Source: "spirals", Make: dataset.Make{Rows: 1000, Classes: 2}}},
		{`{"source":"blobs"}`,
			dataset.Spec{Source: "blobs", Make: dataset.Make{Rows: 1000, Features: 2, Classes: 3, Noise: 1}}},
		{`{"source":"teacher","make":{"rows":50,"features":4,"seed":7}}`,
			dataset.Spec{Source: "teacher", Make: dataset.Make{Rows: 50, Features: 4, Seed: 7}}},
	} {
		c.want.Standardize, c.want.Split = true, split
		if diff := cmp.Diff(c.want, mustParse(t, withData(c.document)).Data); diff != "" {
			t.Errorf("%s:\n%s", c.document, diff)
		}
	}
	s := mustParse(t, `{"data":{"source":"diabetes","standardize":false,"split":{"validation":0,"test":0.5,"seed":3}},
		"model":[{"linear":1}],"loss":"mse"}`)
	if got, want := s.Data.Split, (dataset.Split{Test: 0.5, Seed: 3}); got != want || s.Data.Standardize {
		t.Errorf("split %+v, want %+v; regression is not stratified by itself", got, want)
	}
}

func TestOtherForms(t *testing.T) {
	for _, c := range []struct {
		keys string
		got  func(*Spec) any
		want any
	}{
		{`"optimizer":"sgd"`, func(s *Spec) any { return s.Optimizer }, Optimizer{Name: SGD, LR: 0.01}},
		{`"optimizer":{"name":"sgd","lr":0.1,"momentum":0.9,"nesterov":true,"weight_decay":1e-4}`,
			func(s *Spec) any { return s.Optimizer },
			Optimizer{Name: SGD, LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 1e-4}},
		{`"optimizer":"adam"`, func(s *Spec) any { return s.Optimizer },
			Optimizer{Name: Adam, LR: 1e-3, Betas: [2]float64{0.9, 0.999}, Eps: 1e-8}},
		{`"optimizer":{"lr":0.5}`, func(s *Spec) any { return s.Optimizer },
			Optimizer{Name: AdamW, LR: 0.5, Betas: [2]float64{0.9, 0.999}, Eps: 1e-8, WeightDecay: 0.01}},
		{`"optimizer":{"name":"rmsprop","centered":true}`, func(s *Spec) any { return s.Optimizer },
			Optimizer{Name: RMSprop, LR: 0.01, Alpha: 0.99, Eps: 1e-8, Centered: true}},
		{`"schedule":"one_cycle"`, func(s *Spec) any { return s.Schedule },
			Schedule{Name: OneCycle, PctStart: 0.3, DivFactor: 25, FinalDiv: 1e4}},
		{`"schedule":{"name":"step","step_epochs":5}`, func(s *Spec) any { return s.Schedule },
			Schedule{Name: StepLR, StepEpochs: 5, Gamma: 0.1}},
		{`"schedule":{"warmup_steps":10}`, func(s *Spec) any { return s.Schedule },
			Schedule{Name: Constant, WarmupSteps: 10}},
		{`"steps":1000`, func(s *Spec) any { return []int64{s.Steps, int64(s.Epochs)} }, []int64{1000, 0}},
		{`"seed":18446744073709551615`, func(s *Spec) any { return s.Seed }, uint64(18446744073709551615)},
		{`"init":{"from":"/w.safetensors"}`, func(s *Spec) any { return s.Init.From }, "/w.safetensors"},
		{`"early_stopping":{}`, func(s *Spec) any { return *s.EarlyStopping },
			EarlyStopping{Metric: "val_loss", Patience: 5}},
		{`"early_stopping":{"metric":"val_accuracy","patience":2,"min_delta":0.01}`,
			func(s *Spec) any { return *s.EarlyStopping },
			EarlyStopping{Metric: "val_accuracy", Patience: 2, MinDelta: 0.01}},
		{`"checkpoint":{"every":"1m30s"}`, func(s *Spec) any { return s.Checkpoint.EverySeconds }, 90.0},
		{`"checkpoint":{"every":0.5}`, func(s *Spec) any { return s.Checkpoint.EverySeconds }, 0.5},
		{`"device":"gpu:3","precision":"bf16"`, func(s *Spec) any { return s.Device + s.Precision }, "gpu:3bf16"},
		{`"name":"naïve 模型"`, func(s *Spec) any { return s.Name }, "naïve 模型"},
	} {
		if diff := cmp.Diff(c.want, c.got(mustParse(t, with(c.keys)))); diff != "" {
			t.Errorf("%s:\n%s", c.keys, diff)
		}
	}
}

// parseFaults returns a document's faults, one a line.
func parseFaults(t testing.TB, document string) string {
	t.Helper()
	s, err := Parse([]byte(document))
	if err == nil {
		return ""
	}
	var e *SpecError
	if !errors.As(err, &e) || s != nil || len(e.Errors) == 0 {
		t.Fatalf("%T %v with a specification %v", err, err, s)
	}
	lines := make([]string, len(e.Errors))
	for i, f := range e.Errors {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
