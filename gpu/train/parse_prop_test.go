package train

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// doc is an object of a document under construction.
type doc = map[string]any

// maybe puts a drawn value under a key of o, or leaves the key out.
func maybe[T any](t *rapid.T, o doc, key string, g *rapid.Generator[T]) {
	if rapid.Bool().Draw(t, "has "+key) {
		o[key] = g.Draw(t, key)
	}
}

func oneOf[T any](t *rapid.T, label string, xs ...T) T { return rapid.SampledFrom(xs).Draw(t, label) }

// drawSpec makes a valid document with any keys in any of their forms.
func drawSpec(t *rapid.T) doc {
	loss := oneOf(t, "loss", "cross_entropy", "mse", "bce_with_logits", "huber")
	o := doc{"data": drawData(t), "loss": loss}
	var layers []any
	for range rapid.IntRange(1, 6).Draw(t, "layers") {
		layers = append(layers, drawLayer(t))
	}
	o["model"] = layers
	optimizer, lr := drawOptimizer(t)
	o["optimizer"] = optimizer
	o["schedule"] = drawSchedule(t, lr)
	maybe(t, o, "name", rapid.StringMatching(`[ -~é模]{0,20}`))
	maybe(t, o, "clip_grad_norm", rapid.Float64Range(0, 1e6))
	maybe(t, o, "batch_size", rapid.IntRange(1, maxBatch))
	maybe(t, o, "drop_last", rapid.Bool())
	maybe(t, o, "shuffle", rapid.Bool())
	maybe(t, o, "seed", rapid.Uint64())
	maybe(t, o, oneOf(t, "length", "epochs", "steps"), rapid.IntRange(1, maxEpochs))
	maybe(t, o, "device", rapid.SampledFrom([]string{"auto", "cpu", "gpu", "gpu:0", "gpu:12"}))
	maybe(t, o, "precision", rapid.SampledFrom([]string{"float32", "tf32", "bf16"}))
	if rapid.Bool().Draw(t, "init") {
		o["init"] = doc{"from": "/w.safetensors"}
	}
	if rapid.Bool().Draw(t, "early stopping") {
		es := doc{}
		maybe(t, es, "metric", rapid.SampledFrom([]string{"val_loss", "train_loss"}))
		maybe(t, es, "patience", rapid.IntRange(1, 100))
		maybe(t, es, "min_delta", rapid.Float64Range(0, 1))
		o["early_stopping"] = es
	}
	if rapid.Bool().Draw(t, "checkpoint") {
		o["checkpoint"] = doc{"every": oneOf[any](t, "every", "250ms", "1h30m", 0.25, 60)}
	}
	return o
}

func drawData(t *rapid.T) doc {
	o := oneOf(t, "data", doc{"source": "digits"}, doc{"csv": "/a b.csv"}, doc{"csv": "/a.csv", "target": 3},
		doc{"parquet": "/a.parquet", "target": "é"}, doc{"idx": doc{"images": "/i", "labels": "/l"}},
		doc{"npy": doc{"x": "/x", "y": "/y"}}, doc{"safetensors": doc{"file": "/f", "x": "x", "y": "y"}},
		doc{"source": "moons", "make": doc{"noise": 0.25}}, doc{"source": "spirals"},
		doc{"source": "blobs", "make": doc{"features": 9, "classes": 4, "rows": 77, "noise": 0}},
		doc{"source": "teacher", "make": doc{"features": 3, "seed": 5}})
	maybe(t, o, "standardize", rapid.Bool())
	maybe(t, o, "shape", rapid.SliceOfN(rapid.IntRange(1, 64), 1, 4))
	if rapid.Bool().Draw(t, "split") {
		split := doc{}
		maybe(t, split, "validation", rapid.Float64Range(0, 0.49))
		maybe(t, split, "test", rapid.Float64Range(0, 0.49))
		maybe(t, split, "seed", rapid.Uint64())
		maybe(t, split, "stratify", rapid.Bool())
		o["split"] = split
	}
	return o
}

func drawLayer(t *rapid.T) any {
	bare := []any{"flatten", "relu", "gelu", "tanh", "sigmoid", "leaky_relu", "dropout", "layernorm", "batchnorm1d",
		"batchnorm2d", doc{"relu": nil}, doc{"dropout": doc{}}}
	size := rapid.IntRange(1, 64)
	switch rapid.IntRange(0, 4).Draw(t, "form") {
	case 0:
		return doc{"linear": size.Draw(t, "out")}
	case 1:
		o := doc{"channels": size.Draw(t, "channels"), "kernel": oneOf[any](t, "kernel", 3, []int{1, 5})}
		maybe(t, o, "stride", size)
		maybe(t, o, "padding", rapid.SliceOfN(size, 2, 2))
		maybe(t, o, "bias", rapid.Bool())
		return doc{"conv2d": o}
	case 2:
		o := doc{"kernel": rapid.IntRange(4, 9).Draw(t, "kernel")}
		maybe(t, o, "stride", size)
		maybe(t, o, "padding", rapid.IntRange(0, 2))
		return doc{oneOf(t, "pool", "maxpool2d", "avgpool2d"): o}
	case 3:
		o := doc{}
		maybe(t, o, "eps", rapid.Float64Range(1e-12, 1))
		maybe(t, o, "momentum", rapid.Float64Range(0, 1))
		return doc{"batchnorm2d": o}
	default:
		return oneOf(t, "layer", bare...)
	}
}

func drawOptimizer(t *rapid.T) (any, float64) {
	name := oneOf(t, "optimizer", "sgd", "adam", "adamw", "rmsprop")
	if rapid.Bool().Draw(t, "by name") {
		return name, 1e-3 // at most any default
	}
	o := doc{"name": name, "lr": rapid.Float64Range(1e-6, 10).Draw(t, "lr")}
	maybe(t, o, "weight_decay", rapid.Float64Range(0, 1))
	switch name {
	case "sgd":
		maybe(t, o, "momentum", rapid.Float64Range(0, 1))
		maybe(t, o, "dampening", rapid.Float64Range(0, 1))
	case "rmsprop":
		maybe(t, o, "centered", rapid.Bool())
		maybe(t, o, "alpha", rapid.Float64Range(0, 1))
	default:
		maybe(t, o, "betas", rapid.SliceOfN(rapid.Float64Range(0, 0.9999), 2, 2))
		maybe(t, o, "eps", rapid.Float64Range(0, 1))
	}
	return o, o["lr"].(float64)
}

func drawSchedule(t *rapid.T, lr float64) any {
	name := oneOf(t, "schedule", "constant", "cosine", "step", "linear", "one_cycle")
	o := doc{"name": name}
	switch name {
	case "one_cycle":
		maybe(t, o, "pct_start", rapid.Float64Range(0, 1))
		return o
	case "step":
		o["step_epochs"] = rapid.IntRange(1, 10).Draw(t, "step_epochs")
		maybe(t, o, "gamma", rapid.Float64Range(0, 1))
	case "cosine", "linear":
		maybe(t, o, "min_lr", rapid.Float64Range(0, lr))
	}
	maybe(t, o, "warmup_steps", rapid.IntRange(0, 1000))
	return o
}

func marshal(t rapid.TB, v any) []byte {
	js, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Every valid document parses, is valid under the schema, and its canonical
// form is a fixed point that is valid, too.
func TestCanonicalForm(t *testing.T) {
	published := loadSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		document := marshal(t, drawSpec(t))
		s, err := Parse(document)
		if err != nil {
			t.Fatalf("%s\n%v", document, err)
		}
		canonical := s.JSON()
		again, err := Parse(canonical)
		if err != nil {
			t.Fatalf("%s\n%v", canonical, err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatalf("%s\n%s", canonical, diff)
		}
		if string(again.JSON()) != string(canonical) {
			t.Fatalf("%s\n%s", again.JSON(), canonical)
		}
		for _, js := range [][]byte{document, canonical} {
			if err := published.validate(js); err != nil {
				t.Fatalf("%s\n%v", js, err)
			}
		}
	})
}

// A hash stays when name, device or checkpoint change, and changes with
// anything else of the canonical form.
func TestHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Parse(marshal(t, drawSpec(t)))
		if err != nil {
			t.Fatal(err)
		}
		same := *s
		same.Name, same.Device, same.Checkpoint.EverySeconds = "other", "gpu:1", 1
		if s.Hash() != same.Hash() {
			t.Fatal("the hash depends on name, device or checkpoint")
		}
		seen := []string{s.Hash()}
		for i, change := range []func(*Spec){
			func(s *Spec) { s.Seed++ },
			func(s *Spec) { s.Optimizer.LR *= 2 },
			func(s *Spec) { s.Data.Split.Seed++ },
			func(s *Spec) { s.Model = append(slices.Clone(s.Model), Layer{Kind: ReLU}) },
			func(s *Spec) { s.Shuffle = !s.Shuffle },
		} {
			other := *s
			change(&other)
			if h := other.Hash(); slices.Contains(seen, h) {
				t.Fatal("no new hash after change", i)
			} else {
				seen = append(seen, h)
			}
		}
	})
}

// Pinned: a change of the canonical form would disown all checkpoints on disk.
func TestHashIsPinned(t *testing.T) {
	const want = "e371cc63219561dbba9d68377094c5bbb1bee008c802c273309af63f61583736"
	if got := mustParse(t, minimal).Hash(); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	for _, c := range invalid {
		if len(c.document) < 1000 {
			f.Add([]byte(c.document))
		}
	}
	f.Add(mustParse(f, with(`"optimizer":"sgd","schedule":"cosine","early_stopping":{}`)).JSON())
	f.Fuzz(func(t *testing.T, js []byte) {
		s, err := Parse(js)
		if err != nil {
			if _, ok := err.(*SpecError); !ok {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		again, err := Parse(s.JSON())
		if err != nil {
			t.Fatalf("%s\n%v", s.JSON(), err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	layers := ""
	for range 20 {
		layers += `,{"linear":64},"relu"`
	}
	document := fmt.Appendf(nil, `{"data":{"source":"digits"},"model":[%s],"optimizer":{"lr":0.01}}`, layers[1:])
	b.ReportAllocs()
	b.SetBytes(int64(len(document)))
	for b.Loop() {
		if _, err := Parse(document); err != nil {
			b.Fatal(err)
		}
	}
}
