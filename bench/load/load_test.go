package load

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// The loads are fixed: figures of different versions and machines are compared.
// Whoever has to change one gives it another name.
func TestLoadsAreFixed(t *testing.T) {
	want := map[string]string{
		"lab":   "0c076cc4e26b0db6",
		"wide":  "5e1a52ab80793be5",
		"mixed": "9a6d4d29a07f9ebe",
		"tiny":  "51b169febdb5a7bb",
		"cnn":   "aa0d4a61c444fb9b",
	}
	for _, l := range All {
		h := sha256.New()
		for i := range l.Models {
			h.Write(l.Spec(i).JSON())
		}
		if got := hex.EncodeToString(h.Sum(nil))[:16]; got != want[l.Name] {
			t.Errorf("%s is another load than it was: %s, not %s", l.Name, got, want[l.Name])
		}
	}
}

// No two models of a load are the same, and those beyond its own differ by
// their seeds.
func TestModelsDiffer(t *testing.T) {
	for _, l := range All {
		seen := map[string]int{}
		names := map[string]bool{}
		for i := range 2 * l.Models {
			s := l.Spec(i)
			if names[s.Name] {
				t.Errorf("%s: name %s is there twice", l.Name, s.Name)
			}
			names[s.Name] = true
			s.Name = ""
			if j, ok := seen[string(s.JSON())]; ok {
				t.Errorf("%s: models %d and %d are the same", l.Name, j, i)
			}
			seen[string(s.JSON())] = i
		}
	}
}

// Every model of mixed has a width, a batch and a learning rate of its own,
// and its neighbours another depth.
func TestMixedIsMixed(t *testing.T) {
	l, ok := Find("mixed")
	if !ok {
		t.Fatal("no load mixed")
	}
	widths, batches, rates, depths := map[string]bool{}, map[int]bool{}, map[float64]bool{}, map[int]bool{}
	for i := range l.Models {
		s := l.Spec(i)
		widths[fmt.Sprint(s.Model[0])] = true
		batches[s.BatchSize] = true
		rates[s.Optimizer.LR] = true
		depths[len(s.Model)] = true
	}
	if len(widths) != 64 || len(batches) != 64 || len(rates) != 64 || len(depths) != 8 {
		t.Errorf("%d widths, %d batches, %d rates, %d depths", len(widths), len(batches), len(rates), len(depths))
	}
}

func TestFind(t *testing.T) {
	if _, ok := Find("labs"); ok {
		t.Error("there is a load labs")
	}
	if !slices.Equal(Names(), []string{"lab", "wide", "mixed", "tiny", "cnn"}) {
		t.Errorf("loads are %v", Names())
	}
}

// The costs of the loads, worked out by hand.
func TestStepCost(t *testing.T) {
	for _, c := range []struct {
		load    string
		tensors Tensors
		want    Cost
	}{
		{"lab", Tensors{"0.weight": {64, 64}, "0.bias": {64}, "2.weight": {64, 64}, "2.bias": {64},
			"4.weight": {10, 64}, "4.bias": {10}}, Cost{
			Parameters:       64*64 + 64 + 64*64 + 64 + 10*64 + 10,
			OperationsPerRow: 2 * (2*64*64 + 3*64*64 + 3*64*10),
			BytesPerRow:      4 * 65, BytesPerStep: 4 * 8970 * 6, SampleElements: 64, OptimizerElements: 2}},
		{"cnn", Tensors{"0.weight": {6, 1, 5, 5}, "0.bias": {6}, "3.weight": {16, 6, 5, 5}, "3.bias": {16},
			"7.weight": {120, 400}, "7.bias": {120}, "9.weight": {84, 120}, "9.bias": {84},
			"11.weight": {10, 84}, "11.bias": {10}}, Cost{
			Parameters: 61706, // as every text on LeNet-5 in PyTorch has it
			OperationsPerRow: 2 * (2*28*28*6*25 + 3*10*10*16*6*25 +
				3*400*120 + 3*120*84 + 3*84*10),
			BytesPerRow: 4 * 785, BytesPerStep: 4 * 61706 * 6, SampleElements: 784, OptimizerElements: 2}},
	} {
		l, _ := Find(c.load)
		got, err := StepCost(l.Spec(0).JSON(), c.tensors)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.load, got, err, c.want)
		}
	}
	l, _ := Find("lab")
	got, err := StepCost(l.Spec(0).JSON(), Tensors{"0.weight": {64, 64}, "2.weight": {64, 64}, "4.weight": {10, 64}})
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Operations(100); n != 100*got.OperationsPerRow {
		t.Errorf("100 rows take %d operations", n)
	}
	if n := got.Bytes(3, 100); n != 3*got.BytesPerStep+100*got.BytesPerRow {
		t.Errorf("3 steps of 100 rows move %d bytes", n)
	}
}

// What people write is counted too, and what cannot be counted says why.
func TestStepCostOfOthers(t *testing.T) {
	for spec, want := range map[string]string{
		`{"data":{"csv":"/x.csv"},"model":[{"linear":8},"relu",{"linear":"auto"}],"optimizer":{"name":"sgd"}}`:                               "2*(2*5*8+3*8*3), 2 per step",
		`{"data":{"csv":"/x.csv"},"model":[{"linear":{"out":8}},"layernorm",{"linear":3}],"optimizer":"sgd"}`:                                "2*(2*5*8+3*8*3), 2 per step",
		`{"data":{"csv":"/x.csv"},"model":[{"linear":8},"relu",{"linear":3}],"optimizer":{"momentum":0.9,"name":"sgd"}}`:                     "2*(2*5*8+3*8*3), 4 per step",
		`{"data":{"csv":"/x.csv"},"model":[{"linear":8},"relu",{"linear":3}],"optimizer":{"momentum":0.9,"name":"rmsprop","centered":true}}`: "2*(2*5*8+3*8*3), 8 per step",
		`{"data":{"csv":"/x.csv"},"model":[{"linear":8},"relu",{"linear":3}]}`:                                                               "2*(2*5*8+3*8*3), 6 per step",
	} {
		c, err := StepCost([]byte(spec), Tensors{"0.weight": {8, 5}, "2.weight": {3, 8}})
		got := ""
		if err == nil && c.OperationsPerRow == 2*(2*5*8+3*8*3) && c.SampleElements == 5 {
			got = fmt.Sprintf("2*(2*5*8+3*8*3), %d per step", c.BytesPerStep/4/c.Parameters)
		}
		if got != want {
			t.Errorf("%s: %+v, %v", spec, c, err)
		}
	}
	image := `{"data":{"idx":{}},"model":[{"conv2d":{"channels":2,"kernel":[3,3]}},"flatten",{"linear":2}]}`
	for spec, want := range map[string]string{
		image:                      "layer 0: a convolution's input shape is not known; data.shape says it",
		`{"model":["relu"]}`:       "no linear or convolution layer",
		`{"model":[{"linear":2}]}`: "layer 0: the model has no 0.weight of 2 dimensions",
		`[`:                        "read specification: unexpected end of JSON input",
	} {
		_, err := StepCost(json.RawMessage(spec), Tensors{"0.weight": {2, 1, 3, 3}, "2.weight": {2, 8}})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
	// A stride, a padding and an average: 8x8 becomes 4x4, then 2x2.
	strided := `{"data":{"source":"digits","shape":[1,8,8]},"model":[{"conv2d":{"channels":2,"kernel":3,"stride":[2,2],"padding":1}},
		{"avgpool2d":{"kernel":2}},"flatten",{"linear":2}]}`
	c, err := StepCost([]byte(strided), Tensors{"0.weight": {2, 1, 3, 3}, "3.weight": {2, 8}})
	if want := int64(2 * (2*4*4*18 + 3*16)); err != nil || c.OperationsPerRow != want {
		t.Errorf("strided: %d operations, %v, want %d", c.OperationsPerRow, err, want)
	}
}
