package specfile

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const spec = `name: m
data:
  csv: train.csv
model:
  - linear: 64
  - relu
  - conv2d: {channels: 8,
      kernel: 3}
optimizer: adam
init: {from: sub/w.safetensors}
`

func parseSpec(t *testing.T, src string) *Node {
	t.Helper()
	docs, err := Read("dir/spec.yaml", strings.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	return docs[0]
}

func TestLocate(t *testing.T) {
	n := parseSpec(t, spec)
	if err := n.Set([]string{"optimizer", "lr"}, NewNumber(-1, Pos{Flag: "--lr -1"})); err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"":                        "dir/spec.yaml:1:1 ",
		"name":                    "dir/spec.yaml:1:1 name",
		"/data/csv":               "dir/spec.yaml:3:3 data.csv",
		"data/target":             "dir/spec.yaml:2:1 data.target",
		"/model":                  "dir/spec.yaml:4:1 model",
		"/model/0/linear":         "dir/spec.yaml:5:5 model.0.linear",
		"/model/1":                "dir/spec.yaml:6:5 model.1",
		"/model/2/conv2d/kernel":  "dir/spec.yaml:8:7 model.2.conv2d.kernel",
		"/model/9":                "dir/spec.yaml:4:1 model.9",
		"/optimizer":              "dir/spec.yaml:9:1 optimizer",
		"/optimizer/lr":           "--lr -1 optimizer.lr",
		"/optimizer/name":         "dir/spec.yaml:9:12 optimizer.name",
		"/no/such/thing":          "dir/spec.yaml:1:1 no.such.thing",
		"/a~1b":                   "dir/spec.yaml:1:1 a/b",
		"/model/2/conv2d/stride/": "dir/spec.yaml:7:5 model.2.conv2d.stride.",
	} {
		pos, key := n.Locate(pointer)
		if got := pos.String() + " " + key; got != want {
			t.Errorf("Locate(%q) = %s, want %s", pointer, got, want)
		}
	}
}

func TestSet(t *testing.T) {
	at := Pos{Flag: "--set"}
	for path, want := range map[string]string{
		"optimizer.lr":          `"optimizer":{"name":"adam","lr":7}`,
		"model.0.linear":        `"model":[{"linear":7}`,
		"data.split.validation": `"data":{"csv":"train.csv","split":{"validation":7}}`,
		"epochs":                `"epochs":7}`,
		"model.9.linear":        `error --set: model has no item "9"`,
		"name.x":                `"name":{"name":"m","x":7}`,
		"model.0.linear.x":      `error --set: model.0.linear has no keys`,
	} {
		n := parseSpec(t, spec)
		got := ""
		if err := n.Set(strings.Split(path, "."), NewNumber(7, at)); err != nil {
			got = "error " + err.Error()
		} else {
			got = string(n.JSON())
		}
		if !strings.Contains(got, want) {
			t.Errorf("Set(%s) = %s, want %s in it", path, got, want)
		}
	}
}

func TestAbsolute(t *testing.T) {
	n := parseSpec(t, spec)
	n.Absolute("/home/u/dir")
	for path, want := range map[string]string{"data.csv": "/home/u/dir/train.csv",
		"init.from": "/home/u/dir/sub/w.safetensors"} {
		if got := n.Get(strings.Split(path, ".")...).String(); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	n.Absolute("/elsewhere")
	if got := n.Get("data", "csv").String(); got != "/home/u/dir/train.csv" {
		t.Errorf("made absolute twice: %s", got)
	}
}

// A clone shares nothing: changing it leaves the original as it was.
func TestCloneIsDeep(t *testing.T) {
	paths := rapid.SampledFrom([]string{"name", "data.csv", "model.0.linear", "model.1", "optimizer.lr",
		"init.from", "new.key"})
	rapid.Check(t, func(rt *rapid.T) {
		n := parseSpec(t, spec)
		before := string(n.JSON())
		c := n.Clone()
		if string(c.JSON()) != before {
			rt.Fatalf("clone %s of %s", c.JSON(), before)
		}
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			if err := c.Set(strings.Split(paths.Draw(rt, "path"), "."), NewNumber(1, Pos{})); err != nil {
				continue // a path through a value that an earlier change replaced
			}
		}
		c.Delete("model")
		if after := string(n.JSON()); after != before {
			rt.Fatalf("the original became %s", after)
		}
	})
}
