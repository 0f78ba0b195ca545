package train

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weft/gpu/train/dataset"
)

// digitsInfo describes the shipped digits, split 80 to 20.
func digitsInfo() *dataset.Info {
	return &dataset.Info{Rows: 1797, TrainRows: 1437, ValRows: 360, Shape: []int{64},
		Task: string(dataset.Classification), MaxLabel: 9}
}

func imageInfo() *dataset.Info {
	info := digitsInfo()
	info.Shape = []int{1, 28, 28}
	return info
}

func mustCompose(t testing.TB, document string, info *dataset.Info) *Model {
	t.Helper()
	m, err := Compose(mustParse(t, document), info)
	if err != nil {
		t.Fatalf("%s\n%v", document, err)
	}
	return m
}

const lenet = `[{"conv2d":{"channels":6,"kernel":5,"padding":2}},{"batchnorm2d":{}},"relu",{"maxpool2d":2},
	{"conv2d":{"channels":16,"kernel":[5,3],"stride":[1,2],"bias":false}},"relu",
	{"avgpool2d":{"kernel":3,"stride":2,"padding":1}},
	"flatten",{"linear":84},"layernorm",{"dropout":0.1},"batchnorm1d",{"linear":10}]`

func TestComposeShapesAndNames(t *testing.T) {
	m := mustCompose(t, withModel(lenet), imageInfo())
	var shapes [][]int
	for _, st := range m.Stages {
		shapes = append(shapes, st.Out)
	}
	wantShapes := [][]int{{6, 28, 28}, {6, 28, 28}, {6, 28, 28}, {6, 14, 14}, {16, 10, 6}, {16, 10, 6}, {16, 5, 3},
		{240}, {84}, {84}, {84}, {84}, {10}}
	if diff := cmp.Diff(wantShapes, shapes); diff != "" {
		t.Error(diff)
	}
	wantParams := []Tensor{
		{"0.weight", []int{6, 1, 5, 5}, 0, 150}, {"0.bias", []int{6}, 150, 6},
		{"1.weight", []int{6}, 156, 6}, {"1.bias", []int{6}, 162, 6},
		{"4.weight", []int{16, 6, 5, 3}, 168, 1440},
		{"8.weight", []int{84, 240}, 1608, 20160}, {"8.bias", []int{84}, 21768, 84},
		{"9.weight", []int{84}, 21852, 84}, {"9.bias", []int{84}, 21936, 84},
		{"11.weight", []int{84}, 22020, 84}, {"11.bias", []int{84}, 22104, 84},
		{"12.weight", []int{10, 84}, 22188, 840}, {"12.bias", []int{10}, 23028, 10},
	}
	if diff := cmp.Diff(wantParams, m.Params); diff != "" {
		t.Error(diff)
	}
	wantBuffers := []Tensor{
		{"1.running_mean", []int{6}, 0, 6}, {"1.running_var", []int{6}, 6, 6},
		{"11.running_mean", []int{84}, 12, 84}, {"11.running_var", []int{84}, 96, 84},
	}
	if diff := cmp.Diff(wantBuffers, m.Buffers); diff != "" {
		t.Error(diff)
	}
	if m.ParamSize != 23038 || m.BufferSize != 180 || !cmp.Equal(m.Output, []int{10}) {
		t.Errorf("%d parameters, %d buffer values, output %v", m.ParamSize, m.BufferSize, m.Output)
	}
	if st := m.Stages[4]; st.FanIn != 90 || st.FanOut != 240 || !cmp.Equal(st.Params, []int{4}) {
		t.Errorf("conv2d: fan in %d, fan out %d, tensors %v", st.FanIn, st.FanOut, st.Params)
	}
	if st := m.Stages[12]; st.FanIn != 84 || st.FanOut != 10 || st.InSize() != 84 || st.OutSize() != 10 {
		t.Errorf("linear: %+v", st)
	}
}

func TestComposeFaults(t *testing.T) {
	info := func(change func(*dataset.Info)) *dataset.Info {
		i := digitsInfo()
		change(i)
		return i
	}
	same := func(*dataset.Info) {}
	image := func(i *dataset.Info) { i.Shape = []int{1, 8, 8} }
	regression := func(i *dataset.Info) { i.Task, i.MaxLabel, i.TargetWidth = string(dataset.Regression), -1, 1 }
	for _, c := range []struct {
		document string
		info     *dataset.Info
		want     string
	}{
		{minimal, info(image), "/model/0/linear: linear wants samples of one dimension, here they are [1, 8, 8] " +
			"(put flatten before it)"},
		{withModel(`[{"conv2d":{"channels":8,"kernel":3}}]`), info(same), "/model/0/conv2d: conv2d wants samples shaped " +
			"[channels, height, width], here they are [64] (set shape under data: [1, 8, 8])"},
		{withModel(`["relu",{"maxpool2d":3}]`), info(func(i *dataset.Info) { i.Shape = []int{13} }),
			"/model/1/maxpool2d: maxpool2d wants samples shaped [channels, height, width], here they are [13] " +
				"(set shape under data: [channels, height, width])"},
		{withModel(`["flatten","batchnorm2d"]`), info(image), "/model/1/batchnorm2d: batchnorm2d wants samples shaped " +
			"[channels, height, width], here they are [64] (it must come before flatten and linear)"},
		{withModel(`[{"conv2d":{"channels":8,"kernel":[3,11],"padding":1}}]`), info(image),
			"/model/0/conv2d/kernel: a kernel of [3, 11] does not fit into samples of [1, 8, 8] with padding [1, 1] " +
				"(a smaller kernel, or padding)"},
		{withModel(`[{"maxpool2d":4},{"maxpool2d":4}]`), info(image),
			"/model/1/maxpool2d/kernel: a kernel of [4, 4] does not fit into samples of [1, 2, 2] with padding [0, 0] " +
				"(a smaller kernel, or padding, or fewer layers that shrink the image before it)"},
		{withModel(`["batchnorm1d"]`), info(image), "/model/0/batchnorm1d: batchnorm1d wants samples of one dimension, " +
			"here they are [1, 8, 8] (use batchnorm2d, or put flatten before it)"},
		{withModel(`["batchnorm1d"]`), info(func(i *dataset.Info) { i.Shape = []int{8, 8} }),
			"/model/0/batchnorm1d: batchnorm1d wants samples of one dimension, here they are [8, 8] (put flatten before it)"},
		{withModel(`[{"conv2d":{"channels":16777216,"kernel":1,"padding":2}}]`), info(image),
			"/model/0/conv2d: its output [16777216, 12, 12] has more than 268435456 elements"},
		{withModel(`[{"linear":16777216},{"linear":16777216}]`), info(same),
			"/model/1/linear: the model has more than 2147483647 parameters by this layer"},
		{withModel(`[{"conv2d":{"channels":16777216,"kernel":1024,"padding":1024,"stride":1024}}]`),
			info(func(i *dataset.Info) { i.Shape = []int{1 << 24, 1, 1} }),
			"/model/0/conv2d: the model has more than 2147483647 parameters by this layer"},
		{withModel(`["relu"]`), info(same), "/model: no layer of the model has parameters to train (add a linear layer)"},
		{withModel(`[{"conv2d":{"channels":10,"kernel":3}}]`), info(image), "/model: the last layer gives samples of " +
			"[10, 6, 6], a loss wants one dimension (end the model with flatten and linear)"},
		{minimal, info(func(i *dataset.Info) { i.Shape = nil }),
			"/data/shape: the data's samples are shaped []; 1 to 268435456 elements are allowed"},

		{minimal, info(func(i *dataset.Info) { i.MaxLabel, i.MaxLabelRow = 12, 5 }),
			"/model/0/linear: label 12 in row 5 is out of range: the last layer has 10 outputs " +
				"(make it linear: 13, or look at that row)"},
		{withModel(`[{"linear":1},"layernorm"]`),
			info(func(i *dataset.Info) { i.Classes = []string{"a", "b", "c"}; i.MaxLabel = 2 }),
			"/model/0/linear: the last layer has 1 output, the data has 3 classes (make it linear: 3)"},
		{minimal, info(func(i *dataset.Info) { i.Classes = []string{"a"}; i.MaxLabel = 0 }),
			"/model/0/linear: the last layer has 10 outputs, the data has 1 class (make it linear: 1)"},
		{with(`"loss":"mse"`), info(regression),
			"/model/0/linear: the last layer has 10 outputs, the target has 1 column (make it linear: 1)"},
		{with(`"loss":"bce_with_logits"`), info(func(i *dataset.Info) { i.Task, i.TargetWidth = string(dataset.Binary), 2 }),
			"/model/0/linear: the last layer has 10 outputs, the target has 2 columns (make it linear: 2)"},
		{withModel(`["layernorm"]`), info(regression),
			"/loss: loss cross_entropy is for classification, the data was prepared for regression"},
		{withModel(`["layernorm"]`), info(func(i *dataset.Info) { i.MaxLabel = 64 }),
			"/model: label 64 in row 0 is out of range: the last layer has 64 outputs " +
				"(make it linear: 65, or look at that row)"},

		{minimal, info(func(i *dataset.Info) { i.TrainRows = 0 }),
			"/data/split: the split leaves no rows to train on (make validation and test smaller)"},
		{with(`"early_stopping":{"metric":"val_accuracy"}`), info(func(i *dataset.Info) { i.ValRows = 0 }),
			"/early_stopping/metric: val_accuracy needs validation rows, the split leaves none " +
				"(set validation under data.split, for example 0.2)"},
		{with(`"batch_size":64,"drop_last":true`), info(func(i *dataset.Info) { i.TrainRows = 63 }),
			"/batch_size: with drop_last an epoch of 63 rows has no batch of 64 " +
				"(make batch_size at most 63, or set drop_last: false)"},
		{with(`"epochs":1,"schedule":{"name":"cosine","warmup_steps":45}`), info(same),
			"/schedule/warmup_steps: warmup_steps is 45, but the job has only 45 steps (fewer warm-up steps, or more epochs)"},
		{`{"data":{"source":"digits"},"model":[{"linear":10},"batchnorm1d"],"batch_size":4}`, info(same),
			"/drop_last: batchnorm1d in layer 1 cannot train on one row, which is what 1437 rows leave for the last " +
				"batch of 4 (set drop_last: true, or another batch_size)"},
		{`{"data":{"source":"digits"},"model":["batchnorm1d",{"linear":10}],"batch_size":1}`, info(same),
			"/batch_size: batchnorm1d in layer 0 cannot train on batches of one row (a batch_size of at least 2)"},
	} {
		_, err := Compose(mustParse(t, c.document), c.info)
		var e *SpecError
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.document, err, c.want)
		}
	}
}

// What PyTorch takes is taken: a lone row where a batch norm sees several
// pixels, outputs beyond the highest integer label, train_loss without
// validation rows.
func TestComposeAccepts(t *testing.T) {
	image := imageInfo()
	mustCompose(t, `{"data":{"source":"digits"},"model":["batchnorm2d","flatten",{"linear":10}],"batch_size":4}`, image)
	mustCompose(t, `{"data":{"source":"digits"},"model":["batchnorm1d",{"linear":10}],"batch_size":4,"drop_last":true}`,
		digitsInfo())
	mustCompose(t, withModel(`[{"linear":11}]`), digitsInfo())
	info := digitsInfo()
	info.ValRows = 0
	mustCompose(t, with(`"early_stopping":{"metric":"train_loss"}`), info)
}

// Tensors tile both vectors in order, and no composed model breaks a limit.
func TestComposeLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Parse(marshal(t, drawSpec(t)))
		if err != nil {
			t.Fatal(err)
		}
		c := &composer{}
		m := c.layers(s.Model, rapid.SliceOfN(rapid.IntRange(1, 12), 1, 3).Draw(t, "input"))
		if (m == nil) != (c.err() != nil) {
			t.Fatalf("model %v with error %v", m, c.err())
		}
		if m == nil {
			return
		}
		for _, part := range []struct {
			tensors []Tensor
			size    int
		}{{m.Params, m.ParamSize}, {m.Buffers, m.BufferSize}} {
			at := 0
			for _, tensor := range part.tensors {
				if tensor.Offset != at || tensor.Size != product(tensor.Shape) || tensor.Size < 1 {
					t.Fatalf("%+v does not start at %d", tensor, at)
				}
				at += tensor.Size
			}
			if at != part.size {
				t.Fatalf("tensors end at %d, the vector at %d", at, part.size)
			}
		}
		shape := m.Input
		for _, st := range m.Stages {
			if !cmp.Equal(st.In, shape) {
				t.Fatalf("layer %d takes %v after %v", st.Index, st.In, shape)
			}
			shape = st.Out
		}
	})
}

// auto is resolved from the data, wherever it stands, and is kept in the
// specification.
func TestComposeAuto(t *testing.T) {
	spec, err := Parse([]byte(`{"data":{"source":"digits"},"model":[{"linear":"auto"},"relu",{"linear":{"out":"auto"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compose(spec, digitsInfo())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Output) != 1 || m.Output[0] != 10 || m.Stages[0].Width != 10 {
		t.Errorf("output %v, first layer %d wide; the data has 10 classes", m.Output, m.Stages[0].Width)
	}
	again, err := Parse(spec.JSON())
	if err != nil || again.Model[2].Width != AutoWidth {
		t.Errorf("canonical form %s gives %+v, %v", spec.JSON(), again, err)
	}
	_, err = Parse([]byte(`{"data":{"source":"digits"},"model":[{"linear":"wide"}]}`))
	if want := `expected a whole number or auto, found the string "wide"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}
