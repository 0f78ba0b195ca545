package train

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// invalid lists a document for every fault that Parse can find, with its words.
// Those marked parseOnly are beyond what the JSON Schema says.
var invalid = []struct {
	document  string
	want      string
	parseOnly bool
}{
	// Syntax and limits.
	{document: `{`, want: "not JSON: it ends too early, at byte 1"},
	{document: ``, want: "not JSON: it ends too early, at byte 0"},
	{document: `{"a":tru}`, want: "not JSON: invalid character '}' in literal true (expecting 'e'), at byte 5"},
	{document: minimal + "1", want: "not JSON: something follows the specification at byte 53"},
	{document: "\"\xff\"", want: "the specification is not UTF-8 text"},
	{document: `[]`, want: "expected an object, found an array"},
	{document: with(`"seed":1,"seed":2`), want: `/seed: key "seed" is given twice (keep one of them)`, parseOnly: true},
	{document: withModel(strings.Repeat("[", 40) + strings.Repeat("]", 40)),
		want: "the specification is nested more than 32 deep"},
	{document: withModel("[" + strings.Repeat("0,", 1<<14) + "0]"),
		want: "the specification has more than 16384 values"},
	{document: with(`"name":"` + strings.Repeat("a", 1<<20) + `"`),
		want: "the specification has 1048638 bytes, over the limit of 1048576"},

	// Unknown and missing keys.
	{document: `{}`, want: "data is missing (add data: {source: digits}, or csv: with a file's path)\n" +
		"model is missing (add model: [{linear: 64}, relu, {linear: 10}])"},
	{document: `{"data":null,"model":null}`,
		want: "data is missing (add data: {source: digits}, or csv: with a file's path)\n" +
			"model is missing (add model: [{linear: 64}, relu, {linear: 10}])"},
	{document: with(`"epohcs":3`), want: `/epohcs: unknown key "epohcs" (did you mean "epochs"?)`},
	{document: with(`"Batch-Size":3`), want: `/Batch-Size: unknown key "Batch-Size" (did you mean "batch_size"?)`},
	{document: with(`"num_epochs":3`), want: `/num_epochs: unknown key "num_epochs" (did you mean "epochs"?)`},
	{document: with(`"lr":3`), want: `/lr: unknown key "lr" (lr belongs under optimizer)`},
	{document: with(`"learning_rate":3`),
		want: `/learning_rate: unknown key "learning_rate" (lr belongs under optimizer)`},
	{document: with(`"patience":3`), want: `/patience: unknown key "patience" (patience belongs under early_stopping)`},
	{document: with(`"a/b~c":3`),
		want: `/a~1b~0c: unknown key "a/b~c" (keys here: name, data, model, loss, optimizer, ` +
			"schedule, clip_grad_norm, batch_size, drop_last, epochs, steps, shuffle, seed, init, early_stopping, " +
			"checkpoint, device, precision)"},
	{document: with(`"` + strings.Repeat("é", 70) + `":3`), want: "/" + strings.Repeat("é", 70) + `: unknown key "` +
		strings.Repeat("é", 64) + `…" (keys here: name, data, model, loss, optimizer, schedule, clip_grad_norm, ` +
		"batch_size, drop_last, epochs, steps, shuffle, seed, init, early_stopping, checkpoint, device, precision)"},

	// Types.
	{document: with(`"clip_grad_norm":"fast"`), want: `/clip_grad_norm: expected a number, found the string "fast"`},
	{document: with(`"optimizer":{"lr":"1e-3"}`),
		want: `/optimizer/lr: expected a number, found the string "1e-3" (write 1e-3 without quotes)`},
	{document: with(`"clip_grad_norm":null`),
		want: "/clip_grad_norm: expected a number, found null (leave the key out for its default)"},
	{document: with(`"clip_grad_norm":[]`), want: "/clip_grad_norm: expected a number, found an array"},
	{document: with(`"batch_size":{}`), want: "/batch_size: expected a whole number, found an object"},
	{document: with(`"batch_size":2.5`), want: "/batch_size: expected a whole number, found 2.5"},
	{document: with(`"batch_size":true`), want: "/batch_size: expected a whole number, found true"},
	{document: with(`"shuffle":1`), want: "/shuffle: expected true or false, found the number 1"},
	{document: with(`"shuffle":"true"`),
		want: `/shuffle: expected true or false, found the string "true" (write true without quotes)`},
	{document: with(`"name":12`), want: "/name: expected a string, found the number 12"},
	{document: with(`"device":0`), want: "/device: expected a string, found the number 0"},
	{document: with(`"loss":[]`), want: "/loss: expected a string, found an array"},
	{document: with(`"init":"/w"`), want: `/init: expected an object, found the string "/w"`},
	{document: with(`"early_stopping":true`), want: "/early_stopping: expected an object, found true"},

	// Ranges.
	{document: with(`"optimizer":{"lr":0}`), want: "/optimizer/lr: lr must be greater than 0"},
	{document: with(`"optimizer":{"betas":[0.9,1]}`), want: "/optimizer/betas/1: betas must be less than 1"},
	{document: with(`"optimizer":{"betas":0.9}`),
		want: "/optimizer/betas: expected an array of two numbers, found the number 0.9 (as [0.9, 0.999])"},
	{document: with(`"optimizer":{"eps":-1}`), want: "/optimizer/eps: eps must be at least 0"},
	{document: with(`"clip_grad_norm":1e39`),
		want: "/clip_grad_norm: clip_grad_norm is too large: 1e39", parseOnly: true},
	{document: with(`"clip_grad_norm":1e999`),
		want: "/clip_grad_norm: clip_grad_norm is too large: 1e999", parseOnly: true},
	{document: with(`"batch_size":0`), want: "/batch_size: batch_size must be at least 1"},
	{document: with(`"batch_size":1e9`), want: "/batch_size: batch_size must be at most 1048576"},
	{document: with(`"epochs":1e7`), want: "/epochs: epochs must be at most 1000000"},
	{document: with(`"steps":0`), want: "/steps: steps must be at least 1"},
	{document: with(`"seed":-1`), want: "/seed: seed must be at least 0"},
	{document: with(`"seed":1e300`), want: "/seed: seed is too large: 1e300", parseOnly: true},
	{document: with(`"seed":18446744073709551616`),
		want: "/seed: seed is too large: 18446744073709551616", parseOnly: true},
	{document: with(`"name":"` + strings.Repeat("é", 129) + `"`), want: "/name: name must have at most 128 characters"},
	{document: with(`"name":"a\u001bb"`), want: "/name: name must not contain the character U+001B", parseOnly: true},
	{document: with(`"checkpoint":{"every":"30"}`),
		want: `/checkpoint/every: "30" is not a duration (write it as "30s", "2m" or "1h30m")`},
	{document: with(`"checkpoint":{"every":"-3s"}`),
		want: `/checkpoint/every: "-3s" is not a duration (write it as "30s", "2m" or "1h30m")`},
	{document: with(`"checkpoint":{"every":"0s"}`),
		want: "/checkpoint/every: every must be at least 0.01", parseOnly: true},
	{document: with(`"checkpoint":{"every":90000}`), want: "/checkpoint/every: every must be at most 86400"},
	{document: with(`"checkpoint":{"every":true}`),
		want: `/checkpoint/every: expected a duration such as "30s" or a number of seconds, found true`},
	{document: with(`"early_stopping":{"patience":0}`), want: "/early_stopping/patience: patience must be at least 1"},

	// Names.
	{document: with(`"loss":"MSE"`), want: `/loss: unknown loss "MSE" (did you mean "mse"?)`},
	{document: with(`"loss":"hinge"`),
		want: `/loss: unknown loss "hinge" (one of: cross_entropy, mse, bce_with_logits, huber)`},
	{document: with(`"optimizer":"adamax"`), want: `/optimizer: unknown optimizer "adamax" (did you mean "adamw"?)`},
	{document: with(`"optimizer":{"name":"lion"}`),
		want: `/optimizer/name: unknown optimizer "lion" (one of: adamw, adam, sgd, rmsprop)`},
	{document: with(`"optimizer":3`),
		want: "/optimizer: expected the name of an optimizer or an object, found the number 3"},
	{document: with(`"optimizer":{"momentum":0.9}`), want: `/optimizer/momentum: unknown key "momentum" ` +
		"(momentum belongs to sgd and rmsprop; the optimizer here is adamw)"},
	{document: with(`"optimizer":{"lrr":0.9}`), want: `/optimizer/lrr: unknown key "lrr" (did you mean "lr"?)`},
	{document: with(`"schedule":false`), want: "/schedule: expected the name of a schedule or an object, found false"},
	{document: with(`"schedule":"step"`),
		want: "/schedule: step_epochs is missing (write schedule: {name: step, step_epochs: 10})"},
	{document: with(`"schedule":{"name":"one_cycle","warmup_steps":3}`), want: "/schedule/warmup_steps: unknown key " +
		`"warmup_steps" (warmup_steps belongs to constant, cosine, step and linear; the schedule here is one_cycle)`},
	{document: with(`"device":"cuda"`), want: `/device: unknown device "cuda" (did you mean "gpu"?)`},
	{document: with(`"device":"gpu:01"`), want: `/device: unknown device "gpu:01" (did you mean "gpu:0"?)`},
	{document: with(`"device":"tpu0"`), want: `/device: unknown device "tpu0" (one of: auto, cpu, gpu, gpu:0)`},
	{document: with(`"precision":"float64"`), want: `/precision: unknown precision "float64" (did you mean "float32"?)`},

	// Between keys.
	{document: with(`"steps":3,"epochs":2`), want: "/steps: give epochs or steps, not both (keep one of them)"},
	{document: with(`"optimizer":{"name":"sgd","nesterov":true}`), parseOnly: true,
		want: "/optimizer/nesterov: nesterov needs a momentum greater than 0 and dampening 0 (set momentum: 0.9)"},
	{document: with(`"schedule":{"name":"cosine","min_lr":0.01}`), parseOnly: true,
		want: "/schedule/min_lr: min_lr must be at most lr, which is 0.001"},
	{document: with(`"early_stopping":{"metric":"val_r2"}`), parseOnly: true,
		want: "/early_stopping/metric: val_r2 needs loss mse or huber (watch val_loss or val_accuracy)"},
	{document: with(`"loss":"huber","early_stopping":{"metric":"val_accuracy"}`), parseOnly: true,
		want: "/early_stopping/metric: val_accuracy needs loss cross_entropy or bce_with_logits " +
			"(watch val_loss, val_rmse or val_r2)"},

	// Data.
	{document: withData(`"digits"`),
		want: `/data: expected an object, found the string "digits" (write data: {source: digits})`},
	{document: withData(`3`), want: "/data: expected an object, found the number 3"},
	{document: withData(`{}`), want: "/data: data names no source (add source: digits, or one of csv, idx, npy, " +
		"parquet, safetensors with a file's path)"},
	{document: withData(`{"source":"iris","csv":"/a"}`),
		want: "/data: data names more than one source: source and csv (keep one of them)"},
	{document: withData(`{"source":"minst"}`), want: `/data/source: unknown data set "minst" ` +
		"(one of: digits, iris, wine, breast-cancer, diabetes, moons, spirals, blobs, teacher)"},
	{document: withData(`{"source":"breast_cancer"}`),
		want: `/data/source: unknown data set "breast_cancer" (did you mean "breast-cancer"?)`},
	{document: withData(`{"csv":"a.csv"}`), want: "/data/csv: path must be absolute", parseOnly: true},
	{document: withData(`{"csv":""}`), want: "/data/csv: path must not be empty"},
	{document: withData(`{"csv":"/a","target":-1}`), want: "/data/target: target must be at least 0"},
	{document: withData(`{"csv":"/a","target":[]}`),
		want: "/data/target: expected a column's name or index, found an array"},
	{document: withData(`{"source":"iris","target":"x"}`), parseOnly: true,
		want: "/data/target: target is for csv and parquet; the target of iris is given otherwise"},
	{document: withData(`{"idx":{"images":"/i"}}`), want: "/data/idx: labels is missing"},
	{document: withData(`{"source":"iris","shape":4}`),
		want: "/data/shape: expected an array of whole numbers, found the number 4 (as [1, 28, 28])"},
	{document: withData(`{"source":"iris","shape":[]}`), want: "/data/shape: shape must have 1 to 4 numbers"},
	{document: withData(`{"source":"iris","shape":[1,0,4]}`), want: "/data/shape/1: shape must be at least 1"},
	{document: withData(`{"source":"iris","shape":[16777216,16777216]}`), parseOnly: true,
		want: "/data/shape: shape must have at most 268435456 elements"},
	{document: withData(`{"source":"iris","split":{"validation":1}}`),
		want: "/data/split/validation: validation must be less than 1"},
	{document: withData(`{"source":"iris","split":{"validation":0.5,"test":0.5}}`), parseOnly: true,
		want: "/data/split: validation and test together must be less than 1"},
	{document: withData(`{"source":"iris","make":{}}`), parseOnly: true,
		want: "/data/make: make is for the made sets moons, spirals, blobs and teacher; the source here is iris"},
	{document: withData(`{"source":"moons","make":{"features":3}}`), parseOnly: true,
		want: "/data/make/features: features is for blobs and teacher; moons has 2"},
	{document: withData(`{"source":"moons","make":{"classes":2}}`), parseOnly: true,
		want: "/data/make/classes: classes is for spirals, blobs and teacher; moons has 2"},
	{document: withData(`{"source":"teacher","make":{"classes":1}}`), parseOnly: true,
		want: "/data/make/classes: classes must be at least 2"},
	{document: withData(`{"source":"blobs","make":{"classes":0}}`), parseOnly: true,
		want: "/data/make/classes: classes must be at least 2"},
	{document: withData(`{"source":"blobs","make":{"rows":100000000,"features":1000}}`), parseOnly: true,
		want: "/data/make: rows times features must be at most 2147483648 (fewer rows or features)"},
	{document: withData(`{"source":"blobs","noise":1}`),
		want: `/data/noise: unknown key "noise" (noise belongs under make)`},

	// Layers.
	{document: withModel(`{}`), want: "/model: expected an array of layers, found an object"},
	{document: withModel(`[]`), want: "/model: the model must have 1 to 256 layers"},
	{document: withModel(`["relu"` + strings.Repeat(`,"relu"`, 256) + `]`),
		want: "/model: the model must have 1 to 256 layers"},
	{document: withModel(`["lstm"]`),
		want: `/model/0: unknown layer "lstm" (layers: linear, conv2d, maxpool2d, avgpool2d, ` +
			"flatten, relu, gelu, tanh, sigmoid, leaky_relu, dropout, layernorm, batchnorm1d, batchnorm2d)"},
	{document: withModel(`["relu",{"linaer":3}]`),
		want: `/model/1/linaer: unknown layer "linaer" (did you mean "linear"?)`},
	{document: withModel(`["linear"]`), want: "/model/0: linear needs its settings (write {linear: 64})"},
	{document: withModel(`[{"conv2d":null}]`),
		want: "/model/0/conv2d: conv2d needs its settings (write {conv2d: {channels: 8, kernel: 3}})"},
	{document: withModel(`[{"conv2d":3}]`), want: "/model/0/conv2d: expected an object, found the number 3 " +
		"(write {conv2d: {channels: 8, kernel: 3}})"},
	{document: withModel(`[{"conv2d":{"channels":8,"kernel_size":3}}]`),
		want: `/model/0/conv2d/kernel_size: unknown key "kernel_size" (did you mean "kernel"?)` + "\n" +
			"/model/0/conv2d: kernel is missing"},
	{document: withModel(`[{"conv2d":{"channels":8,"kernel":[3]}}]`),
		want: "/model/0/conv2d/kernel: expected a whole number or [height, width], found an array"},
	{document: withModel(`[{"conv2d":{"channels":8,"kernel":[3,0]}}]`),
		want: "/model/0/conv2d/kernel/1: kernel must be at least 1"},
	{document: withModel(`[{"maxpool2d":2000}]`), want: "/model/0/maxpool2d: kernel must be at most 1024"},
	{document: withModel(`[{"maxpool2d":{"kernel":2,"padding":2}}]`), parseOnly: true,
		want: "/model/0/maxpool2d/padding: padding must be at most half the kernel"},
	{document: withModel(`[{"linear":0}]`), want: "/model/0/linear: out must be at least 1"},
	{document: withModel(`[{"linear":16777217}]`), want: "/model/0/linear: out must be at most 16777216"},
	{document: withModel(`[{"linear":"fast"}]`),
		want: `/model/0/linear: expected a whole number or auto, found the string "fast"`},
	{document: withModel(`[{"linear":{"out_features":3}}]`),
		want: `/model/0/linear/out_features: unknown key "out_features" (did you mean "out"?)` + "\n" +
			"/model/0/linear: out is missing (write {linear: 64})"},
	{document: withModel(`[{"dropout":1}]`), want: "/model/0/dropout: p must be less than 1"},
	{document: withModel(`[{"relu":3}]`),
		want: "/model/0/relu: relu has no settings, found the number 3 (write relu alone)"},
	{document: withModel(`[{"layernorm":3}]`),
		want: "/model/0/layernorm: expected an object, found the number 3 (write layernorm alone)"},
	{document: withModel(`[{"batchnorm1d":{"eps":0}}]`), want: "/model/0/batchnorm1d/eps: eps must be greater than 0"},
	{document: withModel(`[{"linear":3,"relu":null}]`),
		want: "/model/0: a layer must have one key, this one has 2 (put a dash before each layer: - linear: 64)"},
	{document: withModel(`[3]`), want: "/model/0: expected a layer such as relu or {linear: 64}, found the number 3"},
}

func TestFaults(t *testing.T) {
	for i, c := range invalid {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if got := parseFaults(t, c.document); got != c.want {
				t.Errorf("%.200s\ngot  %s\nwant %s", c.document, got, c.want)
			}
		})
	}
}

// All faults of a document come at once: unknown keys of an object first, then
// the rest in the order of the reference, whatever the document's order.
func TestFaultsComeTogetherInOrder(t *testing.T) {
	document := `{"seed":-1,"model":[{"linear":0},"rulu"],"sead":2,` +
		`"optimizer":{"lr":-1,"beta":1},"data":{"source":"iris"}}`
	want := `/sead: unknown key "sead" (did you mean "seed"?)
/model/0/linear: out must be at least 1
/model/1: unknown layer "rulu" (did you mean "relu"?)
/optimizer/beta: unknown key "beta" (did you mean "betas"?)
/optimizer/lr: lr must be greater than 0
/seed: seed must be at least 0`
	if got := parseFaults(t, document); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, err := Parse([]byte(document))
	if err.Error() != strings.ReplaceAll(want, "\n", "; ") {
		t.Errorf("Error() = %s", err)
	}
}

// A document made to be expensive is refused cheaply.
func TestParseIsBounded(t *testing.T) {
	var keys strings.Builder
	for i := range maxValues - 100 {
		fmt.Fprintf(&keys, `"key_%d_that_is_like_none":0,`, i)
	}
	for name, document := range map[string]string{
		"values":   withModel("[" + strings.Repeat("0,", maxDocument/2-100) + "0]"),
		"keys":     "{" + strings.TrimSuffix(keys.String(), ",") + "}",
		"depth":    strings.Repeat("[", maxDocument),
		"string":   with(`"name":"` + strings.Repeat("a", maxDocument-200) + `"`),
		"number":   with(`"seed":` + strings.Repeat("9", maxDocument-200)),
		"fraction": with(`"seed":0.` + strings.Repeat("1", maxDocument-200)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got := parseFaults(t, document); got == "" || len(got) > 64<<10 {
			t.Errorf("%s: %d bytes of faults", name, len(got))
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: %d MiB allocated for a document of %d KiB", name, used>>20, len(document)>>10)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	got := strings.Split(parseFaults(t, withModel("[0"+strings.Repeat(",0", 200)+"]")), "\n")
	if len(got) != maxFaults+1 || got[maxFaults] != "there are more faults; mend these first" {
		t.Errorf("%d faults, the last: %s", len(got), got[len(got)-1])
	}
}
