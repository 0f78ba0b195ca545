package train

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/gpu/train/dataset"
	"weft/gpu/train/safetensors"
)

func trainedInfo() *dataset.Info {
	info := imageInfo()
	info.Mean, info.Deviation, info.Hash = []float32{0.1}, []float32{1.0 / 3}, "abc"
	return info
}

func writeLenet(t *testing.T) (path string, s *Spec, m *Model, params, buffers []float32) {
	t.Helper()
	s = mustParse(t, withModel(lenet))
	m, err := Compose(s, trainedInfo())
	if err != nil {
		t.Fatal(err)
	}
	params, buffers = initialized(m, 5)
	path = filepath.Join(t.TempDir(), "model.safetensors")
	if err := WriteModel(path, s, trainedInfo(), m, params, buffers); err != nil {
		t.Fatal(err)
	}
	return path, s, m, params, buffers
}

func TestSavedModelRoundTrip(t *testing.T) {
	path, s, m, params, buffers := writeLenet(t)
	got, err := ReadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	want := &Saved{Spec: s, Info: trainedInfo(), Model: m, Params: params, Buffers: buffers}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata["format"] != "pt" || f.Metadata["torch"] != m.Torch() {
		t.Errorf("metadata %v", f.Metadata)
	}
}

func TestTorchExpression(t *testing.T) {
	m := mustCompose(t, withModel(`[{"conv2d":{"channels":3,"kernel":[3,5],"stride":2,"padding":1,"bias":false}},
		"gelu","tanh","sigmoid","leaky_relu",{"maxpool2d":2},{"avgpool2d":2},"flatten",{"dropout":0.25},
		"layernorm",{"linear":10}]`), imageInfo())
	want := "nn.Sequential(nn.Conv2d(1, 3, (3, 5), stride=(2, 2), padding=(1, 1), bias=False), nn.GELU(), nn.Tanh(), " +
		"nn.Sigmoid(), nn.LeakyReLU(0.01), nn.MaxPool2d((2, 2), stride=(2, 2), padding=(0, 0)), " +
		"nn.AvgPool2d((2, 2), stride=(2, 2), padding=(0, 0)), nn.Flatten(), nn.Dropout(0.25), " +
		"nn.LayerNorm([27], eps=1e-05), nn.Linear(27, 10, bias=True))"
	if got := m.Torch(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// PyTorch loads the file strictly into the expression in its metadata, finds
// the same values, and agrees on the shapes between layers.
func TestPyTorchLoadsSavedModel(t *testing.T) {
	python := pythonWith(t, "import torch, safetensors.torch")
	path, _, m, params, _ := writeLenet(t)
	out, err := exec.Command(python, "-c", `
import sys, torch
from torch import nn
from safetensors import safe_open
from safetensors.torch import load_file
with safe_open(sys.argv[1], "pt") as f:
    model = eval(f.metadata()["torch"], {"nn": nn})
model.load_state_dict(load_file(sys.argv[1]), strict=True)
model.eval()
x = torch.zeros(2, 1, 28, 28)
for layer in model:
    x = layer(x)
    print(list(x.shape[1:]), end=" ")
count = sum(p.numel() for p in model.parameters())
print(count, "%.9g" % model[0].weight[0, 0, 0, 1].item(), model[1].running_var[5].item())
`, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := ""
	for _, st := range m.Stages {
		want += shapeString(st.Out) + " "
	}
	want += "23038 " + fmt.Sprintf("%.9g", params[1]) + " 1.0\n"
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}

// pythonWith returns a Python that runs a statement, or skips with the reason.
func pythonWith(t *testing.T, statement string) string {
	t.Helper()
	reason := "python3 is not installed"
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		python, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(python, "-c", statement).CombinedOutput()
		if err == nil {
			return python
		}
		reason = python + ": " + string(out)
	}
	t.Skipf("no Python with torch and safetensors: %s", reason)
	return ""
}

func TestReadModelFaults(t *testing.T) {
	path, s, m, params, buffers := writeLenet(t)
	dir := filepath.Dir(path)
	write := func(name string, meta map[string]string, blobs []safetensors.Blob) string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := safetensors.Write(f, meta, blobs); err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	meta := func(spec, data string) map[string]string { return map[string]string{metaSpec: spec, metaData: data} }
	spec, blobs := string(s.JSON()), m.blobs(params, buffers)
	const data = `{"shape":[1,28,28],"task":"classification"}`
	for _, c := range []struct{ path, code, want string }{
		{filepath.Join(dir, "none"), "not_found", "there is no model " + filepath.Join(dir, "none")},
		{dir, "invalid", "cannot read the model " + dir + ": not a regular file"},
		{write("foreign", nil, blobs), "invalid", "its metadata has no specification: it was not written by weft"},
		{write("spec", meta(`{}`, data), blobs), "invalid", "its specification: data is missing " +
			"(add data: {source: digits}, or csv: with a file's path); " +
			"model is missing (add model: [{linear: 64}, relu, {linear: 10}])"},
		{write("data", meta(spec, `[]`), blobs), "invalid",
			"its data description: json: cannot unmarshal array into Go value of type dataset.Info"},
		{write("shape", meta(spec, `{"shape":[-1]}`), blobs), "invalid", "its specification: /data/shape: " +
			"the data's samples are shaped [-1]; 1 to 268435456 elements are allowed"},
		{write("mean", meta(spec, `{"shape":[1,28,28],"mean":[1,2],"deviation":[1,2]}`), blobs), "invalid",
			"its data description: 2 means and 2 deviations for 1 features"},
		{write("tensors", meta(spec, data), blobs[1:]), "invalid", "missing 0.weight"},
	} {
		_, err := ReadModel(c.path)
		var f *Fault
		if !errors.As(err, &f) || f.Code != c.code {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if f.Message != c.want && f.Message != "cannot read the model "+c.path+": "+c.want {
			t.Errorf("got  %s\nwant %s", f.Message, c.want)
		}
	}
	if err := WriteModel(path, s, trainedInfo(), m, params[1:], buffers); err == nil ||
		err.Error() != "write model: 23037 parameters and 180 buffer values for a model of 23038 and 180" {
		t.Error(err)
	}
}
