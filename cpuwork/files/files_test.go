package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree makes files (and directories, whose names end with a slash) in a new
// directory; "a -> b" is a symbolic link.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, link)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(target, path))
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(path, 0o700))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(name), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list returns the names, each with the code of its error if it has one. Every
// path without is opened.
func list(t *testing.T, s Spec) []string {
	t.Helper()
	got := []string{}
	for e := range s.All(t.Context()) {
		if e.Err != nil {
			got = append(got, e.Name+": "+e.Err.Code)
			continue
		}
		if _, err := os.Stat(e.Path); err != nil {
			t.Error(err)
		}
		got = append(got, e.Name)
	}
	return got
}

func TestAll(t *testing.T) {
	dir := tree(t, "b", "a", ".hidden", "sub/z", "sub/.h", "sub/deep/y", "sub/deep/new\nline", "sub/\xff",
		"sub/to -> ../a", "sub/loop -> .", "sub/deep/up -> ..", "sub/dangling -> nowhere", "sub/self -> self", "empty/", "we[ir]d*", ".dot/x",
		"link -> sub/deep")
	if err := unix.Mkfifo(filepath.Join(dir, "sub", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		spec Spec
		want []string
	}{
		{"arguments in order", Spec{Paths: []Name{"b", "a", "b", ".hidden"}}, []string{"b", "a", "b", ".hidden"}},
		{"missing", Spec{Paths: []Name{"absent", "a/x", "", "a\x00b", Name(strings.Repeat("x", 5000)), Name(strings.Repeat("y", 300))}}, []string{
			"absent: not_found", "a/x: unreadable", ": bad_name", "a\x00b: bad_name", strings.Repeat("x", 5000) + ": bad_name",
			strings.Repeat("y", 300) + ": bad_name",
		}},
		{"directory", Spec{Paths: []Name{"sub", "a"}}, []string{"sub: is_directory", "a"}},
		{"recursive", Spec{Paths: []Name{"sub", "empty", "a"}, Recursive: true}, []string{
			"sub/deep/new\nline", "sub/deep/y", "sub/z", "sub/\xff", "a",
		}},
		{"hidden", Spec{Paths: []Name{"sub/"}, Recursive: true, Hidden: true}, []string{
			"sub/.h", "sub/deep/new\nline", "sub/deep/y", "sub/z", "sub/\xff",
		}},
		{"follow", Spec{Paths: []Name{"sub"}, Recursive: true, Follow: true}, []string{
			"sub/dangling: not_found", "sub/deep/new\nline", "sub/deep/up: loop", "sub/deep/y", "sub/loop: loop",
			"sub/self: loop", "sub/to", "sub/z", "sub/\xff",
		}},
		{"a link that is given", Spec{Paths: []Name{"link"}, Recursive: true}, []string{"link/new\nline", "link/y"}},
		{"globs", Spec{Globs: []Name{"*", "sub/?", "no*", "[", `we\[*`, ".h*", "./b*"}}, []string{
			"a", "b", "empty: is_directory", "link: is_directory", "sub: is_directory", "we[ir]d*",
			"sub/z", "sub/\xff", "no*: no_match", "[: bad_pattern", "we[ir]d*", ".hidden", "b",
		}},
		{"globs, hidden", Spec{Globs: []Name{"*den"}, Hidden: true}, []string{".hidden"}},
		{"an absolute glob", Spec{Globs: []Name{Name(quoteMeta(dir) + "/sub/d*/y")}}, []string{dir + "/sub/deep/y"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.spec.Dir = dir
			for range 2 { // the same when asked again
				if d := cmp.Diff(test.want, list(t, test.spec)); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestDirWithMetaCharacters(t *testing.T) {
	dir := filepath.Join(tree(t, `a*[b]\c/one`, "axb/two"), `a*[b]\c`)
	if d := cmp.Diff([]string{"one"}, list(t, Spec{Dir: dir, Globs: []Name{"*"}})); d != "" {
		t.Error(d)
	}
}

func TestLists(t *testing.T) {
	dir := tree(t, "a", "b", "new\nline", " blank ", "sub/x")
	for name, content := range map[string]string{
		"lines": "b\n\na\nabsent\n blank \nsub", "zeros": "new\nline\x00a\x00", "long": strings.Repeat("n", 200_000) + "\na",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := list(t, Spec{Dir: dir, Lists: []Name{"lines", "absent", "sub", "fifo"}, Recursive: true})
	want := []string{"b", "a", "absent: not_found", " blank ", "sub/x", "absent: not_found", "sub: is_directory", "fifo: not_regular"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got = list(t, Spec{Dir: dir, Lists: []Name{"zeros"}, Zero: true})
	if d := cmp.Diff([]string{"new\nline", "a"}, got); d != "" {
		t.Error(d)
	}
	got = list(t, Spec{Dir: dir, Lists: []Name{"long"}})
	if len(got) != 2 || !strings.HasSuffix(got[0], ": bad_name") || len(got[0]) > 5000 || got[1] != "a" {
		t.Errorf("a name that is too long: %.50q", got)
	}
}

// TestUnreadableDirectory needs a directory that cannot be read even by root.
func TestUnreadableDirectory(t *testing.T) {
	dir := tree(t, "before", "shut/x", "then")
	if err := os.Chmod(filepath.Join(dir, "shut"), 0); err != nil {
		t.Fatal(err)
	}
	want := []string{"./before", "./shut: permission_denied", "./then"}
	if os.Geteuid() == 0 { // who may read it all the same
		want[1] = "./shut/x"
	}
	if d := cmp.Diff(want, list(t, Spec{Dir: dir, Paths: []Name{"."}, Recursive: true})); d != "" {
		t.Error(d)
	}
	if err := os.Chmod(filepath.Join(dir, "shut"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The kernel refuses to list this one while its process is there to be asked.
	got := list(t, Spec{Paths: []Name{"/proc/self/fd/absent", "/proc/self/cmdline/x"}, Recursive: true})
	if d := cmp.Diff([]string{"/proc/self/fd/absent: not_found", "/proc/self/cmdline/x: unreadable"}, got); d != "" {
		t.Error(d)
	}
}

func TestVanishing(t *testing.T) {
	dir := tree(t, "d/a/1", "d/b/1", "d/c/1")
	var got []string
	for e := range (&Spec{Dir: dir, Paths: []Name{"d"}, Recursive: true}).All(t.Context()) {
		if err := os.RemoveAll(filepath.Join(dir, "d", "b")); err != nil {
			t.Fatal(err)
		}
		if e.Err != nil {
			e.Name += ": " + e.Err.Code
		}
		got = append(got, e.Name)
	}
	if d := cmp.Diff([]string{"d/a/1", "d/b: not_found", "d/c/1"}, got); d != "" {
		t.Error(d)
	}
}

func TestStops(t *testing.T) {
	dir := tree(t, "d/a", "d/b", "d/c", "e")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := Spec{Dir: dir, Paths: []Name{"d", "e"}, Globs: []Name{"*"}, Recursive: true}
	count := 0
	for range s.All(ctx) {
		if count++; count == 2 {
			cancel()
		}
	}
	if count != 2 {
		t.Errorf("%d entries came, 2 were wanted before ctx ended", count)
	}
	for range s.All(t.Context()) {
		break
	}
	for e := range s.All(ctx) {
		t.Errorf("%v came after ctx ended", e)
	}
}

// TestOrder: a directory of any names comes out once each, in order of bytes.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n names
		want := rapid.SliceOf(rapid.StringN(1, 20, 40)).Draw(t, "names")
		for i, name := range want {
			if err := n.add(byte(i%3), name); err != nil {
				t.Fatal(err)
			}
		}
		n.sort()
		got := []string{}
		for _, s := range n.places {
			got = append(got, string(n.text[s.start+1:s.end]))
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestNameInJSON(t *testing.T) {
	for _, name := range []Name{"", "a", "ünï\n", "\xff\x00\xfe", `{"bytes":""}`} {
		text, err := json.Marshal(Spec{Paths: []Name{name}})
		if err != nil {
			t.Fatal(err)
		}
		var s Spec
		if err := json.Unmarshal(text, &s); err != nil || s.Paths[0] != name {
			t.Errorf("%q became %s became %q, %v", name, text, s.Paths, err)
		}
	}
	var n Name
	if err := json.Unmarshal([]byte("7"), &n); err == nil || !strings.Contains(err.Error(), "want a string or") {
		t.Errorf("a number as a name: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for want, s := range map[string]Spec{
		"check files: none given\ntry: name files, or directories with --recursive": {},
		`check files: directory "here" is not absolute`:                             {Dir: "here", Paths: []Name{"x"}},
	} {
		if err := s.Check(); err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestNamesTellsErrors(t *testing.T) {
	bad := errors.New("bad sector")
	var got []string
	for name, err := range Names(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(bad)), false) {
		got = append(got, fmt.Sprint(name, err))
	}
	if d := cmp.Diff([]string{"a<nil>", "b<nil>", "bad sector"}, got); d != "" {
		t.Error(d)
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte("a\nb\n"), true)
	f.Add([]byte("a\x00\x00b"), true)
	f.Add(bytes.Repeat([]byte("x"), 70_000), false)
	f.Fuzz(func(t *testing.T, data []byte, zero bool) {
		end := "\n"
		if zero {
			end = "\x00"
		}
		var want, got []string
		for _, name := range strings.Split(string(data), end) {
			if name != "" {
				want = append(want, name[:min(len(name), maxName)])
			}
		}
		for name, err := range Names(bytes.NewReader(data), zero) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// BenchmarkDirectory is a directory of 20,000 files; B/op over that is what an
// entry costs.
func BenchmarkDirectory(b *testing.B) {
	dir := b.TempDir()
	for i := range 20_000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("image-%06d.jpg", i)), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	s := Spec{Paths: []Name{Name(dir)}, Recursive: true}
	b.ReportAllocs()
	for b.Loop() {
		for range s.All(b.Context()) {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20_000, "ns/file")
}
