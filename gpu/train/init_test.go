package train

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"weft/gpu/train/safetensors"
)

func initialized(m *Model, seed uint64) (params, buffers []float32) {
	params, buffers = make([]float32, m.ParamSize), make([]float32, m.BufferSize)
	m.InitParams(seed, params, buffers)
	return params, buffers
}

// Weights and biases are uniform within ±1/√fan_in: bounds, mean and variance
// b²/3, each within six standard errors.
func TestInitDistribution(t *testing.T) {
	const model = `[{"conv2d":{"channels":64,"kernel":5}},"flatten",{"linear":300},{"linear":10}]`
	m := mustCompose(t, withModel(model), imageInfo())
	params, _ := initialized(m, 7)
	for i, fanIn := range map[int]float64{0: 25, 1: 25, 2: 64 * 24 * 24, 3: 64 * 24 * 24, 4: 300} {
		x := m.Params[i].of(params)
		bound := 1 / math.Sqrt(fanIn)
		var sum, squares, largest float64
		for _, v := range x {
			sum += float64(v)
			squares += float64(v) * float64(v)
			largest = max(largest, math.Abs(float64(v)))
		}
		n, deviation := float64(len(x)), bound/math.Sqrt(3)
		if largest > bound*(1+1e-6) || largest < bound*(1-20/n) {
			t.Errorf("%s: largest %v, bound %v", m.Params[i].Name, largest, bound)
		}
		if mean := sum / n; math.Abs(mean) > 6*deviation/math.Sqrt(n) {
			t.Errorf("%s: mean %v", m.Params[i].Name, mean)
		}
		// The variance of x² is b⁴·4/45.
		if v := squares / n; math.Abs(v-bound*bound/3) > 6*bound*bound*math.Sqrt(4.0/45/n) {
			t.Errorf("%s: variance %v, want %v", m.Params[i].Name, v, bound*bound/3)
		}
	}
}

func TestInitOfNorms(t *testing.T) {
	m := mustCompose(t, withModel(lenet), imageInfo())
	params, buffers := initialized(m, 1)
	for _, c := range []struct {
		tensor Tensor
		vector []float32
		want   float32
	}{
		{m.Params[2], params, 1}, {m.Params[3], params, 0}, {m.Params[7], params, 1}, {m.Params[8], params, 0},
		{m.Buffers[0], buffers, 0}, {m.Buffers[1], buffers, 1}, {m.Buffers[3], buffers, 1},
	} {
		for _, x := range c.tensor.of(c.vector) {
			if x != c.want {
				t.Fatalf("%s is %v, want %v", c.tensor.Name, x, c.want)
			}
		}
	}
}

// Equal seeds give equal bits, other seeds and other tensors other values, and
// a tensor does not depend on the widths before it.
func TestInitIsKeyed(t *testing.T) {
	m := mustCompose(t, withModel(`[{"linear":8},{"linear":8},{"linear":10}]`), digitsInfo())
	a, _ := initialized(m, 1)
	b, _ := initialized(m, 1)
	c, _ := initialized(m, 2)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("initial values do not follow the seed")
	}
	wide := mustCompose(t, withModel(`[{"linear":9},{"linear":8},{"linear":10}]`), digitsInfo())
	d, _ := initialized(wide, 1)
	if !slices.Equal(m.Params[4].of(a), wide.Params[4].of(d)) {
		t.Error("the last layer's weights depend on the first layer's width")
	}
	// Pinned: a change here changes every job's result.
	want := []float32{0.008812472, -0.07082699, 0.11726715, 0.07380186}
	if got := a[:4]; !slices.Equal(got, want) {
		t.Errorf("first weights %v, want %v", got, want)
	}
}

func openBlobs(t *testing.T, blobs []safetensors.Blob) *safetensors.File {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, blobs); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInitFrom(t *testing.T) {
	m := mustCompose(t, withModel(lenet), imageInfo())
	params, buffers := initialized(m, 3)
	blobs := m.blobs(params, buffers) // with num_batches_tracked, as PyTorch saves it
	gotParams, gotBuffers := make([]float32, m.ParamSize), make([]float32, m.BufferSize)
	if err := m.InitFrom(openBlobs(t, blobs), gotParams, gotBuffers); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(gotParams, params) || !slices.Equal(gotBuffers, buffers) {
		t.Error("values differ")
	}
}

func TestInitFromFaults(t *testing.T) {
	m := mustCompose(t, withModel(`[{"linear":4},{"linear":10}]`), digitsInfo())
	var strangers []safetensors.Blob
	for i := range 7 {
		strangers = append(strangers, safetensors.Blob{Name: fmt.Sprintf("s%d", i), I64: []int64{0}})
	}
	const words = "the initial weights do not fit the model: "
	for _, c := range []struct {
		blobs []safetensors.Blob
		want  string
	}{
		{nil, words + "missing 0.weight, 0.bias, 1.weight, 1.bias"},
		{strangers, words + "missing 0.weight, 0.bias, 1.weight, 1.bias; unexpected s0, s1, s2, s3, s4 and 2 more"},
		{[]safetensors.Blob{
			{Name: "0.weight", Shape: []int{2, 2}, F32: make([]float32, 4)},
			{Name: "0.bias", Shape: []int{4}, F32: make([]float32, 4)},
			{Name: "0.num_batches_tracked", I64: []int64{0}},
			{Name: "1.weight", Shape: []int{10, 4}, F32: make([]float32, 40)},
			{Name: "fc.bias", Shape: []int{10}, F32: make([]float32, 10)},
		}, words + "missing 1.bias; unexpected 0.num_batches_tracked, fc.bias; 0.weight is [2, 2], the model needs [4, 64]"},
	} {
		err := m.InitFrom(openBlobs(t, c.blobs), make([]float32, m.ParamSize), nil)
		var f *Fault
		if !errors.As(err, &f) || f.Code != "invalid" || f.Message != c.want || f.Hint !=
			"names and shapes must be those of the same torch.nn.Sequential: 0.weight, 0.bias, …" {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}
