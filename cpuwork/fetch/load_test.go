package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/fetch/fetchtest"
)

// A whole job: names from lists, templates and URLs, failures among successes.
func TestJob(t *testing.T) {
	s := start(t, fetchtest.Config{})
	dir := t.TempDir()
	list := filepath.Join(t.TempDir(), "list")
	text := strings.Join([]string{
		"# what follows is read line by line",
		s.URL + "/ok/10",
		"",
		s.URL + "/ok/20\tsub/dir/twenty",
		s.URL + "/ok/10?again", // the same name
		"nonsense",
		s.URL + "/ok/5\t../escape",
		s.URL + "/status/404",
		s.URL + "/ok/100000\tlarge",
	}, "\n")
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := Spec{URLs: []string{s.URL + "/ok/7\tfirst"}, Lists: []string{list}, To: filepath.Join(dir, "made"), AllowPrivate: true}
	lines := runLoad(t, spec, 1)
	type end struct {
		OK    bool
		Code  string
		Bytes int64
	}
	var got []end
	for i, line := range lines {
		e := end{OK: line.OK, Bytes: line.Bytes}
		if line.Error != nil {
			e.Code = line.Error.Code
		}
		got = append(got, e)
		if line.Index != int64(i) {
			t.Errorf("line %d has index %d", i, line.Index)
		}
	}
	want := []end{
		{true, "", 7}, {true, "", 10}, {true, "", 20}, {false, CodeNameTaken, 0}, {false, CodeBadURL, 0},
		{false, CodeBadName, 0}, {false, "status_404", 0}, {true, "", 100000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	made := files(t, filepath.Join(dir, "made"))
	if diff := cmp.Diff(map[string]int64{"first": 7, "10": 10, "sub/dir/twenty": 20, "large": 100000}, made); diff != "" {
		t.Error(diff)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "made", "large")); !bytes.Equal(got, fetchtest.Body(100000)) {
		t.Error("large has other bytes")
	}
	if out := lines[2].Output; out["path"] != filepath.Join(dir, "made/sub/dir/twenty") || out["status"] != 200.0 || out["attempts"] != 1 {
		t.Errorf("output %v", out)
	}
	// Once more: nothing is asked of the server but what failed.
	before := s.Stats().Requests
	lines = runLoad(t, spec, 1)
	if n := s.Stats().Requests - before; n != 1 {
		t.Errorf("%d requests the second time", n)
	}
	if !lines[0].OK || lines[0].Output["skipped"] != true || lines[0].Bytes != 0 {
		t.Errorf("second time: %+v", lines[0])
	}
	if left := files(t, dir); len(left) != 4 {
		t.Errorf("files %v", names(left))
	}
}

func TestCount(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("http://a.test/1\n#\nhttp://a.test/2\x00http://a.test/3"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lists []string
		want  int64
	}{{nil, 1}, {[]string{list}, 4}, {[]string{list, list}, 7}, {[]string{"/nowhere/at/all"}, -1}, {[]string{"/dev/null"}, -1}} {
		l, err := New(local(func(s *Spec) { s.URLs, s.Lists = []string{"http://b.test"}, c.lists }))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Count(); got != c.want {
			t.Errorf("%v: %d, want %d", c.lists, got, c.want)
		}
	}
	l, err := New(local(func(s *Spec) { s.Lists = []string{"/nowhere/at/all"} }))
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range l.Items(t.Context()) {
		last = err
	}
	if !errors.Is(last, os.ErrNotExist) {
		t.Errorf("a list that is not there: %v", last)
	}
}

func TestExisting(t *testing.T) {
	s := start(t, fetchtest.Config{})
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	line := s.URL + "/ok/50\tf"
	write := func() {
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(existing string) *engine {
		return engineOf(t, local(func(s *Spec) { into(dir)(s); s.Existing = existing }))
	}
	write()
	if a := must(t, with(ExistingSkip), line); !a.Skipped || a.Bytes != 3 || s.Stats().Requests != 0 {
		t.Errorf("skip: %+v", a)
	}
	if a := must(t, with(ExistingOverwrite), line); a.Skipped || a.Bytes != 50 || files(t, dir)["f"] != 50 {
		t.Errorf("overwrite: %+v", a)
	}
	write() // newer than what the server has
	if a := must(t, with(ExistingUpdate), line); !a.NotModified || a.Status != 304 || files(t, dir)["f"] != 3 {
		t.Errorf("update of what is newer: %+v", a)
	}
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if a := must(t, with(ExistingUpdate), line); a.NotModified || a.Bytes != 50 || files(t, dir)["f"] != 50 {
		t.Errorf("update of what is older: %+v", a)
	}
	if a := must(t, with(ExistingUpdate), line); !a.NotModified {
		t.Errorf("updated twice: %+v", a)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, existing := range []string{ExistingSkip, ExistingUpdate, ExistingOverwrite} {
		if _, failed := get(t, with(existing), s.URL+"/ok/1\td"); failed == nil || failed.Code != CodeWriteFailed {
			t.Errorf("%s onto a directory: %+v", existing, failed)
		}
		if _, failed := get(t, with(existing), s.URL+"/ok/1\tf/below"); failed == nil || failed.Code != CodeWriteFailed {
			t.Errorf("%s below a file: %+v", existing, failed)
		}
	}
	if left := names(files(t, dir)); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// No link in the directory leads a file out of it.
func TestLinksStayInside(t *testing.T) {
	s := start(t, fetchtest.Config{})
	dir, outside := t.TempDir(), t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"out": outside, ".f.weft-part": victim} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	e := engineOf(t, local(into(dir)))
	for _, name := range []string{"out/x", "f"} {
		if _, failed := get(t, e, s.URL+"/ok/10\t"+name); failed == nil {
			t.Errorf("%s was written", name)
		}
	}
	if left := files(t, outside); len(left) != 1 || left["victim"] != 8 {
		t.Errorf("outside: %v", left)
	}
}

func TestHead(t *testing.T) {
	s := start(t, fetchtest.Config{})
	spec := local(func(sp *Spec) { sp.Discard, sp.Method, sp.URLs = false, "head", []string{s.URL + "/ok/5000"} })
	lines := runLoad(t, spec, 1)
	if !lines[0].OK || lines[0].Bytes != 0 || lines[0].Output["length"] != 5000.0 {
		t.Errorf("%+v", lines[0])
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	s := start(t, fetchtest.Config{})
	with := strings.Replace(s.URL, "http://", "http://me:secret@", 1)
	lines := runLoad(t, local(func(sp *Spec) {
		sp.URLs = []string{with + "/status/404", with + "/hops/1", with + "/\x01bad", with + ":x/%zz", with + "/to?http://"}
	}), 1)
	text, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("secret")) {
		t.Errorf("shown: %s", text)
	}
}

func TestSpecs(t *testing.T) {
	good := func(change func(*Spec)) Spec {
		s := Spec{URLs: []string{"http://a.test"}, To: "/tmp/x"}
		change(&s)
		return s
	}
	for field, s := range map[string]Spec{
		"urls":             {To: "/tmp/x"},
		"lists":            good(func(s *Spec) { s.Lists = []string{"relative"} }),
		"to":               good(func(s *Spec) { s.To = "relative" }),
		"name":             good(func(s *Spec) { s.Name = "{nothing}" }),
		"existing":         good(func(s *Spec) { s.Existing = "keep" }),
		"method":           good(func(s *Spec) { s.Method = "DELETE" }),
		"headers":          good(func(s *Spec) { s.Headers = map[string]string{"A": "b\r\nC: d"} }),
		"user_agent":       good(func(s *Spec) { s.UserAgent = "a\nb" }),
		"rate":             good(func(s *Spec) { s.Rate = -1 }),
		"concurrency":      good(func(s *Spec) { s.Concurrency = 1 << 20 }),
		"total_timeout":    good(func(s *Spec) { s.TotalTimeout = 1e300 }),
		"max_redirects":    good(func(s *Spec) { s.MaxRedirects = -2 }),
		"max_bytes":        good(func(s *Spec) { s.MaxBytes = -1 }),
		"host_concurrency": good(func(s *Spec) { s.HostConcurrency = -1 }),
	} {
		var bad *SpecError
		if err := s.Check(); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, name := range []string{"Range", "host", "accept-encoding", "bad name", ""} {
		s := good(func(s *Spec) { s.Headers = map[string]string{name: "x"} })
		if s.Check() == nil {
			t.Errorf("header %q was taken", name)
		}
	}
	s := good(func(*Spec) {})
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	again := s
	if err := again.Check(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("checked twice: %s", diff)
	}
	shared := params{Spec: good(func(s *Spec) { s.Processes, s.Rate, s.Concurrency = 4, 1000, 64 })}
	if err := shared.Check(); err != nil {
		t.Fatal(err)
	}
	if p := shared.share(); p.Rate != 250 || p.Concurrency != 16 || p.Burst != 3 || p.HostConcurrency != 4 {
		t.Errorf("a quarter: %+v", p.Spec)
	}
}

// Workers of one job in one process share an engine; other jobs have their own.
func TestWorkersShare(t *testing.T) {
	job := func() []byte {
		l, err := New(local(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, params := l.Work()
		return params
	}
	one, two := job(), job()
	a, err := shared(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := shared(one)
	if err != nil {
		t.Fatal(err)
	}
	c, err := shared(two)
	if err != nil {
		t.Fatal(err)
	}
	if a != b || a == c {
		t.Error("shared wrongly")
	}
	if _, err := Work.New([]byte("{")); err == nil {
		t.Error("took parameters that are none")
	}
}

// What was given out and never answered leaves nothing behind when the job is
// closed, unless another job is writing it.
func TestCloseRemovesPartials(t *testing.T) {
	s := start(t, fetchtest.Config{})
	for _, keep := range []bool{false, true} {
		dir := t.TempDir()
		l, err := New(local(func(sp *Spec) {
			into(dir)(sp)
			sp.KeepPartial, sp.URLs = keep, []string{s.URL + "/flaky/5000/3000\ta", s.URL + "/ok/1\tb", s.URL + "/ok/1\tc"}
		}))
		if err != nil {
			t.Fatal(err)
		}
		work, params := l.Work()
		f, err := work.New(params)
		if err != nil {
			t.Fatal(err)
		}
		var items []batch.Item
		for it := range l.Items(t.Context()) {
			items = append(items, it)
		}
		_, err = f(t.Context(), items[0].Data, nil)
		var failed *cpuwork.ItemError
		if !errors.As(err, &failed) || !failed.Retry {
			t.Fatalf("flaky: %v", err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		other, err := openPartial(root, "b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f(t.Context(), items[1].Data, nil); !errors.As(err, &failed) || failed.Code != CodeBusy || !failed.Retry {
			t.Errorf("written by two: %v", err)
		}
		if err := l.(*load).Close(); err != nil {
			t.Fatal(err)
		}
		want := []string{".b.weft-part"}
		if keep {
			want = []string{".a.weft-note", ".a.weft-part", ".b.weft-part"}
		}
		if diff := cmp.Diff(want, names(files(t, dir))); diff != "" {
			t.Errorf("keep %v: %s", keep, diff)
		}
		if err := errors.Join(other.drop(), root.Close()); err != nil {
			t.Error(err)
		}
	}
}
