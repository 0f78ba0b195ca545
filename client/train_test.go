package client

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

const specYAML = `# an example
name: digits-mlp
data:
  csv: train.csv
model:
  - linear: 64
  - relu
optimizer: {name: adamw, lrr: 1e-3}
`

func TestTrain(t *testing.T) {
	files := map[string]string{"spec.yaml": specYAML, "two.yaml": "a: 1\n---\nname: b\nb: 2\n",
		"bad.yaml": "a: [\n", "tabs.yaml": "a:\n\tb: 1\n",
		"twice.yaml": "a: 1\na: 2\n", "empty.yaml": "", "slow.yaml": "name: slow\n",
		"fail.yaml": "name: fail\n", "ok.yaml": "name: ok\n"}
	inDir(t, files)
	session(t, "train", newRecorded(), "name: from-stdin\n",
		line("train spec.yaml"), line("train two.yaml -o id"), line("train - --dry-run"),
		line("train spec.yaml --dry-run -o jsonl"),
		line("train spec.yaml --dry-run -o id"), line("train --data digits --mlp 64,64 -o json"),
		line("train ok.yaml -f"), line("train ok.yaml --wait"), line("train ok.yaml -f -o id"),
		line("train ok.yaml --wait -o json"),
		line("train fail.yaml --wait"), line("train slow.yaml --wait"), line("train slow.yaml fail.yaml -f"),
		line("train spec.yaml --seeds 30"),
		line("train"), line("train none.yaml"), line("train bad.yaml"), line("train tabs.yaml"),
		line("train twice.yaml"), line("train empty.yaml"),
		line("train - -"), line("train --data x.txt"), line("train --data digits --mlp 64,x"),
		line("train --data digits --outputs 3"),
		line("train --data digits --epochs 3 --steps 4"), line("train spec.yaml --set lr"),
		line("train spec.yaml --set name.x.y=1 --set name.x.y.z=1"),
		line("train spec.yaml --sweep lr"), line("train spec.yaml --sweep lr=1,2 --sweep lr=3"),
		line("train spec.yaml --sweep lr=rand:0:1"),
		line("train spec.yaml --sweep lr=lin:0:1:5000 --seeds 3"), line("train spec.yaml spec.yaml --seeds 6000"),
		line("train spec.yaml --at tomorrow"), line("train spec.yaml --after x"), line("train spec.yaml --label x"),
		line("train spec.yaml --retries -1"), line("train spec.yaml --timeout -1s"), line("train spec.yaml --seeds 0"))
}

// posted runs train and returns the submissions it sent.
func posted(t *testing.T, stdin string, args ...string) []api.Submission {
	t.Helper()
	d := newRecorded()
	if r := weft(t.Context(), d.listen(t), stdin, append([]string{"train"}, args...)...); r.code != 0 {
		t.Fatalf("weft train %s: %s", strings.Join(args, " "), r)
	}
	var subs []api.Submission
	if err := json.Unmarshal([]byte(d.posts[0]), &subs); err != nil {
		t.Fatal(err)
	}
	return subs
}

func TestTrainFlagsMakeTheSpecification(t *testing.T) {
	dir := inDir(t, map[string]string{"spec.yaml": specYAML})
	abs := func(s string) string { return filepath.Join(dir, s) }
	model := `"model":[{"linear":8},"relu",{"linear":"auto"}]`
	for args, want := range map[string]string{
		"--data digits --mlp 8":                                    `{"data":{"source":"digits"},` + model + `}`,
		"--data digits --mlp 8 --outputs 3":                        `{"data":{"source":"digits"},"model":[{"linear":8},"relu",{"linear":3}]}`,
		"--data digits --mlp none":                                 `{"data":{"source":"digits"},"model":[{"linear":"auto"}]}`,
		"--data diabetes --mlp 8":                                  `{"loss":"mse","data":{"source":"diabetes"},` + model + `}`,
		"--data diabetes --mlp 8 --loss huber":                     `{"loss":"huber","data":{"source":"diabetes"},` + model + `}`,
		"--mlp 8 --data t.csv --target y":                          `{"data":{"csv":"` + abs("t.csv") + `","target":"y"},` + model + `}`,
		"--mlp 8 --data /t.parquet --target 3":                     `{"data":{"parquet":"/t.parquet","target":3},` + model + `}`,
		"--mlp 8 --data x.npy --target y.npy":                      `{"data":{"npy":{"x":"` + abs("x.npy") + `","y":"` + abs("y.npy") + `"}},` + model + `}`,
		"--mlp 8 --data a-idx3.gz --target b-idx1":                 `{"data":{"idx":{"images":"` + abs("a-idx3.gz") + `","labels":"` + abs("b-idx1") + `"}},` + model + `}`,
		"--mlp 8 --data f.safetensors --target t":                  `{"data":{"safetensors":{"x":"x","y":"t","file":"` + abs("f.safetensors") + `"}},` + model + `}`,
		"--data iris --lr 1e-2 --optimizer sgd":                    `{"data":{"source":"iris"},"optimizer":{"name":"sgd","lr":1e-2}}`,
		"--data iris --steps 5 --seed 3":                           `{"data":{"source":"iris"},"steps":5,"seed":3}`,
		"--data iris --batch-size 8 --device gpu:0":                `{"data":{"source":"iris"},"batch_size":8,"device":"gpu:0"}`,
		"--data iris --set betas=[0.5,0.9] --set clip-grad-norm=1": `{"data":{"source":"iris"},"optimizer":{"betas":[0.5,0.9]},"clip_grad_norm":1}`,
		"spec.yaml --steps 9 --set optimizer.lrr=2": `{"name":"digits-mlp","data":{"csv":"` + abs("train.csv") +
			`"},"model":[{"linear":64},"relu"],"optimizer":{"name":"adamw","lrr":2},"steps":9}`,
		"spec.yaml --data wine --set model.0.linear=7": `{"name":"digits-mlp","data":{"source":"wine"},"model":[{"linear":7},"relu"],` +
			`"optimizer":{"name":"adamw","lrr":1e-3}}`,
	} {
		subs := posted(t, "", line(args)...)
		if len(subs) != 1 || string(subs[0].Spec) != want {
			t.Errorf("weft train %s\n got %s\nwant %s", args, subs[0].Spec, want)
		}
	}
}

func TestTrainNamesJobs(t *testing.T) {
	inDir(t, map[string]string{"spec.yaml": specYAML, "plain.yaml": "a: 1\n"})
	for args, want := range map[string]string{
		"spec.yaml":                                   "digits-mlp",
		"spec.yaml --name mine":                       "mine",
		"plain.yaml":                                  "plain",
		"--data digits --mlp 8":                       "digits-mlp",
		"--data t.csv --set model=[relu]":             "t",
		"spec.yaml --sweep lr=1e-3 --sweep mlp=4;4,4": "digits-mlp/lr=1e-3,mlp=4 digits-mlp/lr=1e-3,mlp=4-4",
		"spec.yaml --seeds 2 --set seed=5":            "digits-mlp/seed=5 digits-mlp/seed=6",
		"spec.yaml --sweep optimizer.eps=1 --name x":  "x/eps=1",
	} {
		var names []string
		for _, s := range posted(t, "", line(args)...) {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("weft train %s names %s, want %s", args, got, want)
		}
	}
	long := posted(t, "", "spec.yaml", "--name", strings.Repeat("é", 100), "--seeds", "1")[0].Name
	if len(long) > maxNameBytes || !strings.HasSuffix(long, "…") {
		t.Errorf("a long name became %q", long)
	}
}

func TestTrainSubmissionFields(t *testing.T) {
	inDir(t, map[string]string{"spec.yaml": specYAML})
	args := line("spec.yaml --label team=a --priority -3 --after 1,2 --after 4 --at 2h --hold --retries 2 --timeout 90s --sweep lr=1e-3,2e-3")
	subs := posted(t, "", args...)
	for i, s := range subs {
		s.Spec = nil
		js, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"kind":"train","name":"digits-mlp/lr=%de-3","labels":{"lr":"%de-3","sweep":"digits-mlp","team":"a"},"priority":-3,`+
			`"after":[1,2,4],"at":"2026-03-01T14:00:00Z","hold":true,"retries":2,"timeout_seconds":90,"spec":null}`, i+1, i+1)
		if string(js) != want {
			t.Errorf("job %d\n got %s\nwant %s", i, js, want)
		}
	}
}

func TestParseAt(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("x", 3600))
	for in, want := range map[string]string{
		"2h": "2026-03-01T14:00:00+01:00", "+90m": "2026-03-01T13:30:00+01:00", "13:30": "2026-03-01T13:30:00+01:00",
		"11:59": "2026-03-02T11:59:00+01:00", "12:00": "2026-03-02T12:00:00+01:00",
		"2026-04-01 09:00":     "2026-04-01T09:00:00+01:00",
		"2026-04-01T09:00:00Z": "2026-04-01T09:00:00Z", "2026-04-01": "2026-04-01T00:00:00+01:00", "noon": "",
		"-2h": "", "25:00": "",
	} {
		got := ""
		if at, err := parseAt(in, now); err == nil {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("parseAt(%q) = %s, want %s", in, got, want)
		}
	}
}

// The daemon's faults are told at their place in the file or flag.
func TestTrainLocatesFaults(t *testing.T) {
	inDir(t, map[string]string{"spec.yaml": specYAML})
	d := newRecorded()
	d.refuse = &api.Problem{Status: 422, Detail: "the specification has faults", Code: api.CodeInvalid,
		Errors: []api.FieldError{
			{Location: "/0/spec/optimizer/lrr", Message: `unknown key "lrr"`, Hint: `did you mean "lr"?`},
			{Location: "/0/spec/model/0/linear", Message: "must be at least 1"},
			{Location: "/0/spec/optimizer/lr", Message: "lr must be greater than 0"},
			{Location: "/1/spec/optimizer/lrr", Message: `unknown key "lrr"`, Hint: `did you mean "lr"?`},
			{Location: "/1/spec/optimizer/lr", Message: "lr must be greater than 0"},
			{Location: "/0/spec/epochs", Message: "expected a whole number, found the string \"x\""},
			{Location: "/0/spec", Message: "loss is missing"},
			{Location: "/0/after/0", Message: "no job 9"},
			{Location: "/7/spec/x", Message: "of no job of ours"},
			{Location: "nonsense", Message: "of nothing"},
		}}
	session(t, "train-faults", d, "", line("train spec.yaml --epochs x --sweep lr=-1,-2 --after 9"))

	d.refuse = &api.Problem{Status: 404, Detail: "no file", Code: api.CodeNotFound, Errors: []api.FieldError{
		{Location: "/0/spec/data/csv", Message: "no file /x/train.csv",
			Hint: "paths are relative to the specification"}}}
	session(t, "train-no-data", d, "", line("train spec.yaml"))

	d.refuse.Errors = nil
	for i := range 30 {
		d.refuse.Errors = append(d.refuse.Errors, api.FieldError{Location: fmt.Sprintf("/0/spec/k%d", i),
			Message: "bad"})
	}
	r := weft(t.Context(), d.listen(t), "", "train", "spec.yaml")
	if n := strings.Count(r.stderr, "\n"); n != maxTold+1 || !strings.HasSuffix(r.stderr, "and 10 more faults\n") {
		t.Errorf("30 faults are told in %d lines:\n%s", n, r.stderr)
	}
}

// Every submission has its own key, 128 bits of it.
func TestTrainPathsAreRelativeToTheFile(t *testing.T) {
	dir := inDir(t, nil)
	if err := os.Mkdir("sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("sub/spec.yaml", []byte("data: {csv: t.csv}\ninit: {from: ../w.safetensors}\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	spec := string(posted(t, "", "sub/spec.yaml", "--set", "x=1")[0].Spec)
	want := fmt.Sprintf(`{"data":{"csv":"%[1]s/sub/t.csv"},"init":{"from":"%[1]s/w.safetensors"},"x":1}`, dir)
	if spec != want {
		t.Errorf("got %s\nwant %s", spec, want)
	}
	spec = string(posted(t, "data: {csv: t.csv}\n", "-")[0].Spec)
	if want := fmt.Sprintf(`{"data":{"csv":"%s/t.csv"}}`, dir); spec != want {
		t.Errorf("from stdin: %s, want %s", spec, want)
	}
}
