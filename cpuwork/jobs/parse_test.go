package jobs

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"weft/cpuwork"
)

// What is wrong with a specification is said where it is.
func TestParseFaults(t *testing.T) {
	for _, c := range []struct{ kind, spec, path, message string }{
		{"sha1", `{}`, "", `there is no kind "sha1"`},
		{"sha256", `{"pool": "threads", "task": {}}`, "/pool", `there is no pool "threads"`},
		{"sha256", `{"workers": -1, "task": {}}`, "/workers", "-1 workers are not between 0 and 4096"},
		{"sha256", `{"workers": 5000, "task": {}}`, "/workers", "5000 workers are not between 0 and 4096"},
		{"sha256", `{"item_retries": 101, "task": {}}`, "/item_retries", "101 retries are not between -1 and 100"},
		{"sha256", `{"item_timeout_seconds": -1, "task": {}}`, "/item_timeout_seconds", "-1 seconds are not between 0 and 86400"},
		{"sha256", `{}`, "/task", "task is missing"},
		{"sha256", `{"task": {}}`, "/task", "check files: none given"},
		{"sha256", `{"task": {"files": {"paths": ["a"]}, "quiet": true}}`, "/task", "--quiet, --ignore-missing and --strict belong to --check"},
		{"sha256", `{"task": {"files": {"paths": ["a"]}, "colour": 1}}`, "/task", `unknown field "colour"`},
		{"sha256", `{"task": {"files": {"paths": [5]}}}`, "/task", "cannot unmarshal"},
		{"sha256", `{"task": {"files": {"paths": ["a"]}}, "pol": "auto"}`, "", `unknown field "pol"`},
		{"sha256", `{"task": {"files": {"paths": ["a"]}}} {}`, "", "there is more after its end"},
		{"sha256", `[`, "", "unexpected EOF"},
		{"jpeg", `{"task": {"files": {"paths": ["a"]}, "quality": 101}}`, "/task", "quality"},
		{"jpeg", `{"task": {"files": {"paths": ["a"]}, "encoder": "mozjpeg"}}`, "/task", "mozjpeg"},
		{"fetch", `{"task": {}}`, "/task/urls", "there is nothing to fetch"},
		{"fetch", `{"task": {"urls": ["http://a"], "discard": true, "rate": -1}}`, "/task/rate", "-1 is not between"},
		{"primes", `{"task": {}}`, "/task", "no numbers given"},
	} {
		_, err := Parse(c.kind, []byte(c.spec))
		e, ok := errors.AsType[*SpecError](err)
		if !ok || e.Path != c.path || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s %s: %+v", c.kind, c.spec, err)
		}
		if ok && strings.Contains(e.Message, "\n") {
			t.Errorf("%s %s: the hint is in the message %q", c.kind, c.spec, e.Message)
		}
	}
}

// plans are one of each kind, and what is chosen for it.
var plans = []struct {
	kind, spec, name string
	pool             cpuwork.Kind
	workers          int
	canonical        string
}{
	{"sha256", `{"task": {"files": {"dir": "/d", "paths": ["x/b.iso", "c"]}}}`, "sha256 b.iso", cpuwork.Goroutine, runtime.NumCPU(),
		`{"pool":"auto","task":{"files":{"dir":"/d","paths":["x/b.iso","c"]}}}`},
	{"jpeg", `{"pool": "auto", "task": {"files": {"dir": "/d", "paths": ["photos"], "recursive": true}}}`, "jpeg photos",
		cpuwork.Process, runtime.NumCPU(),
		`{"pool":"auto","task":{"quality":85,"subsampling":"4:2:0","encoder":"auto","max_pixels":100000000,` +
			`"max_file_bytes":268435456,"background":"#ffffff","existing":"skip","files":{"dir":"/d","paths":["photos"],"recursive":true}}}`},
	{"jpeg", `{"pool": "sequential", "workers": 9, "item_retries": -1, "task": {"files": {"paths": ["a"]}, "force": true}}`, "jpeg a",
		cpuwork.Sequential, 1, ""},
	{"fetch", `{"task": {"lists": ["/l/urls.txt"], "to": "/d", "concurrency": 7}}`, "fetch urls.txt", cpuwork.Event, 7, ""},
	{"fetch", `{"pool": "event", "workers": 3, "item_retries": 1, "task": {"urls": ["http://a/b"], "discard": true}}`, "fetch",
		cpuwork.Event, 3, ""},
	{"primes", `{"task": {"numbers": ["97", "1..100"], "first": true}}`, "primes 97", cpuwork.Goroutine, runtime.NumCPU(),
		`{"pool":"auto","task":{"numbers":["97","1..100"],"first":true}}`},
	{"primes", `{"pool": "event", "task": {"files": {"dir": "/d", "paths": ["n.txt"]}}}`, "primes n.txt", cpuwork.Event, 64, ""},
}

// What was left open is settled, and settled again comes to the same.
func TestParseSettles(t *testing.T) {
	for _, c := range plans {
		p, err := Parse(c.kind, []byte(c.spec))
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		if p.Name != c.name || p.Pool != c.pool || p.Workers() != c.workers {
			t.Errorf("%s: name %q, pool %s, %d workers", c.spec, p.Name, p.Pool, p.Workers())
		}
		if c.canonical != "" && string(p.Spec) != c.canonical {
			t.Errorf("%s: canonical\n%s, want\n%s", c.kind, p.Spec, c.canonical)
		}
		if p.Memory < baseMemory+int64(p.Workers()) {
			t.Errorf("%s: takes %d bytes", c.spec, p.Memory)
		}
		again, err := Parse(c.kind, p.Spec)
		if err != nil || string(again.Spec) != string(p.Spec) || again.Pool != p.Pool || again.Workers() != p.Workers() {
			t.Errorf("%s: parsed again %v", p.Spec, err)
		}
	}
	p, err := Parse("fetch", []byte(`{"item_retries": -1, "item_timeout_seconds": 2.5, "task": {"urls": ["http://a/b"], "discard": true}}`))
	if err != nil {
		t.Fatal(err)
	}
	if o := p.options(); o.Retries != 0 || o.Timeout.Seconds() != 2.5 || o.Args[1] != slotKind {
		t.Errorf("options are %+v", o)
	}
	if p, err = Parse("fetch", []byte(`{"task": {"urls": ["http://a/b"], "discard": true}}`)); err != nil || p.options().Retries != 4 {
		t.Errorf("%d retries (%v)", p.options().Retries, err)
	}
}

// Worker processes share no limits: each gets its part of them.
func TestLimitsAreDividedAmongProcesses(t *testing.T) {
	for pool, want := range map[string]string{"process": `"processes":3`, "event": `"processes":1`} {
		p, err := Parse("fetch", []byte(`{"pool": "`+pool+`", "workers": 3, "task": {"urls": ["http://a/b"], "discard": true, "rate": 30}}`))
		if err != nil {
			t.Fatal(err)
		}
		load, err := p.task.open()
		if err != nil {
			t.Fatal(err)
		}
		if _, params := load.Work(); !strings.Contains(string(params), want) {
			t.Errorf("%s: workers are told %s", pool, params)
		}
		if c, ok := load.(io.Closer); ok {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range plans {
		f.Add(c.kind, c.spec)
	}
	f.Add("sha256", `{"task": {"files": {"paths": [{"bytes": "/w=="}]}}}`)
	f.Fuzz(func(t *testing.T, kind, spec string) {
		p, err := Parse(kind, []byte(spec))
		if err != nil {
			if _, ok := errors.AsType[*SpecError](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		again, err := Parse(kind, p.Spec)
		if err != nil || string(again.Spec) != string(p.Spec) {
			t.Fatalf("%s, parsed again: %v", p.Spec, err)
		}
		if p.Memory <= 0 || p.Workers() < 1 || p.Workers() > maxWorkers {
			t.Fatalf("%s: %d workers in %d bytes", p.Spec, p.Workers(), p.Memory)
		}
	})
}
