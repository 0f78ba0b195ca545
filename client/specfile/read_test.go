package specfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// read returns a file's documents as JSON lines, or its error as the user
// sees it.
func read(src string) string {
	docs, err := Read("spec.yaml", strings.NewReader(src))
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Hint != "" {
			return err.Error() + " | " + e.Hint
		}
		return err.Error()
	}
	var out []string
	for _, d := range docs {
		out = append(out, string(d.JSON()))
	}
	return strings.Join(out, "\n")
}

func TestRead(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"the contract's example", "name: digits-mlp\ndata:\n  source: digits # shipped\n  split: {validation: 0.2, seed: 0}\nmodel:\n  - linear: 64\n  - relu\n  - linear: 10\noptimizer: {name: adamw, lr: 1e-3, betas: [0.9, 0.999]}\n",
			`{"name":"digits-mlp","data":{"source":"digits","split":{"validation":0.2,"seed":0}},"model":[{"linear":64},"relu",{"linear":10}],"optimizer":{"name":"adamw","lr":1e-3,"betas":[0.9,0.999]}}`},
		{"numbers", "a: 1e-3\nb: 1E5\nc: 1.\nd: .5\ne: 0x10\nf: 0o17\ng: 017\nh: +5\ni: -0.5\nj: 18446744073709551615\nk: -0\n",
			`{"a":1e-3,"b":1E5,"c":1,"d":0.5,"e":16,"f":15,"g":17,"h":5,"i":-0.5,"j":18446744073709551615,"k":0}`},
		{"words", "a: 30s\nb: yes\nc: True\nd: ~\ne:\nf: '1'\ng: \"x\\ty<\"\nh: 1_000\ni: 2026-01-02\nj: |\n  two\n  lines\n",
			`{"a":"30s","b":"yes","c":true,"d":null,"e":null,"f":"1","g":"x\ty<","h":"1_000","i":"2026-01-02","j":"two\nlines\n"}`},
		{"documents", "a: 1\n---\n---\nb: 2\n...\n", "{\"a\":1}\n{\"b\":2}"},
		{"empty documents", "---\n---\n# nothing\n---\na: 1\n---\n", `{"a":1}`},
		{"the second is wrong", "a: 1\n---\nb: [\n", "spec.yaml:3:4: sequence end token ']' not found"},
		{"a directive", "%YAML 1.2\n---\na: 1\n", `{"a":1}`},
		{"aliases", "a: &x {p: [1, 2]}\nb: *x\nc: &n 5\nd: [*n, *n]\n",
			`{"a":{"p":[1,2]},"b":{"p":[1,2]},"c":5,"d":[5,5]}`},
		{"merge", "base: &b {lr: 1, eps: 2}\nopt:\n  <<: *b\n  lr: 3\n",
			`{"base":{"lr":1,"eps":2},"opt":{"lr":3,"eps":2}}`},
		{"JSON", `{"a": [1, {"b": "c"}], "d": null}`, `{"a":[1,{"b":"c"}],"d":null}`},

		{"nothing", "# only a comment\n", "spec.yaml: holds no specification | weft help train shows one"},
		{"a list", "- a\n", "spec.yaml:1:1: a specification is a mapping of keys and values | weft help train shows one"},
		{"a word", "hello\n", "spec.yaml:1:1: a specification is a mapping of keys and values | weft help train shows one"},
		{"a tab", "data:\n\tsource: digits\n", "spec.yaml:2:1: a tab where only spaces may stand | indent with spaces"},
		{"a key twice", "a: 1\nb:\n  c: 1\n  c: 2\n", `spec.yaml:4:3: key "c" is already at line 3, column 3`},
		{"a key twice in braces", "a: {b: 1, b: 2}\n", `spec.yaml:1:11: key "b" is already at line 1, column 5`},
		{"an open bracket", "a: [1,\n", "spec.yaml:1:4: sequence end token ']' not found"},
		{"a tag", "a: !!binary aGk=\n",
			"spec.yaml:1:4: tags such as !!binary mean nothing here | quote a value to make it a string"},
		{"an unknown alias", "a: *b\n",
			"spec.yaml:1:4: alias *b has no complete anchor before it | mark a value with &b"},
		{"an alias in itself", "a: &b [*b]\n",
			"spec.yaml:1:8: alias *b has no complete anchor before it | mark a value with &b"},
		{"an alias of another document", "a: &b 1\n---\nc: *b\n",
			"spec.yaml:3:4: alias *b has no complete anchor before it | mark a value with &b"},
		{"merging a word", "a: &b 1\nc:\n  <<: *b\n", "spec.yaml:3:7: << merges mappings only"},
		{"not a number", "lr: .nan\n", "spec.yaml:1:5: .nan is not a finite number"},
		{"infinity", "lr: -.inf\n", "spec.yaml:1:5: -.inf is not a finite number"},
		{"too large", "lr: 1e400\n", "spec.yaml:1:5: 1e400 is too large a number"},
		{"too large in hexadecimal", "seed: 0xfffffffffffffffff\n",
			"spec.yaml:1:7: 0xfffffffffffffffff is too large a number"},
	} {
		if got := read(tc.in); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// What comes from outside cannot use up time or memory: each of these is
// refused, and in seconds, though the worst of them would otherwise take
// minutes, or a stack of gigabytes.
func TestReadIsLimited(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		ten := strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10)
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(ten, ","))
	}
	long := "a: &a " + strings.Repeat("x", 100_000) + "\nb: [" + strings.Repeat("*a,", 999) + "*a]\n"
	var keys strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	var deep strings.Builder
	for i := range 200 {
		fmt.Fprintf(&deep, "%sk:\n", strings.Repeat(" ", i))
	}
	for name, tc := range map[string]struct{ in, want string }{
		"10 MB":             {strings.Repeat("# comment\n", 1_000_000), "is larger than 1 MiB"},
		"an alias bomb":     {bomb, "aliases expand to too much"},
		"a long text bomb":  {long, "aliases expand to too much"},
		"brackets":          {strings.Repeat("[", 300_000), "more than 200000 words and signs"},
		"some brackets":     {strings.Repeat("[", 1000), "nested deeper than 64"},
		"braces":            {strings.Repeat("{a: ", 1000), "nested deeper than 64"},
		"dashes":            {strings.Repeat("- ", 5000), "nested deeper than 64"},
		"question marks":    {strings.Repeat("? ", 5000), "nested deeper than 64"},
		"anchors":           {strings.Repeat("&a ", 5000), "nested deeper than 64"},
		"tags":              {strings.Repeat("!a ", 5000), "nested deeper than 64"},
		"indentation":       {deep.String(), "nested deeper than 64"},
		"keys":              {keys.String(), "more than"},
		"words":             {"a: [" + strings.Repeat("1,", 200_000) + "]", "more than 200000 words and signs"},
		"a null byte":       {"a: \x00\n", ""},
		"bytes that are no": {"a: \xff\xfe\n", ""},
	} {
		begun := time.Now()
		got := read(tc.in)
		if !strings.Contains(got, tc.want) {
			t.Errorf("%s: %.200s, want %q", name, got, tc.want)
		}
		if d := time.Since(begun); d > time.Minute {
			t.Errorf("%s took %v", name, d)
		}
	}
}

func TestReadPassesOnAReadersError(t *testing.T) {
	broken := errors.New("broken pipe")
	_, err := Read("stdin", readerFunc(func([]byte) (int, error) { return 0, broken }))
	if !errors.Is(err, broken) || err.Error() != "read stdin: broken pipe" {
		t.Errorf("Read = %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestValue(t *testing.T) {
	at := Pos{Flag: "--set x"}
	for in, want := range map[string]string{
		"1e-3": "1e-3", "adam": `"adam"`, "true": "true", "": "null", "a: b # c": `"a: b # c"`,
		"[1, 2e-3, x]": `[1,2e-3,"x"]`, "{a: {b: 1}}": `{"a":{"b":1}}`, `"5"`: `"5"`, "'x'": `"x"`,
		"[1": "error --set x: sequence end token ']' not found", "1e999": "error --set x: 1e999 is too large a number",
		"[*a]": "error --set x: alias *a has no complete anchor before it",
	} {
		n, err := Value(in, at)
		got := ""
		if err != nil {
			got = "error " + err.Error()
		} else if got = string(n.JSON()); n.Pos != at {
			t.Errorf("Value(%q) is at %v", in, n.Pos)
		}
		if got != want {
			t.Errorf("Value(%q) = %s, want %s", in, got, want)
		}
	}
}

// Whatever the bytes, reading ends with documents that are JSON objects and
// know their places, or with an error that says where.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: 1e-3\n---\nb: [x, {c: *d}]\n", "a: &x {<<: *x}\n", "\t- ?: !!a\n",
		"a: |\n b\n", "{a: [", "%YAML 9\n---\n", "? a\n: b\n", "a: \"\\x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 4096 {
			return
		}
		docs, err := Read("f", bytes.NewReader(src))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Pos.File != "f" || e.Message == "" {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		for _, d := range docs {
			js := d.JSON()
			if !json.Valid(js) || js[0] != '{' {
				t.Fatalf("%q gives %s", src, js)
			}
		}
	})
}
