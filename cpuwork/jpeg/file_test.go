package jpeg

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/files"
)

// tree writes files into a new directory: contents by path, "=name" for a picture
// of testdata.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, contents := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := []byte(contents)
		if from, found := strings.CutPrefix(contents, "="); found {
			data = read(t, from)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runLoad does a job's items one after the other, and answers its lines and summary.
func runLoad(t *testing.T, spec Spec) ([]batch.Line, batch.Summary) {
	t.Helper()
	l, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	work, params := l.Work()
	do, err := work.New(params)
	if err != nil {
		t.Fatal(err)
	}
	var lines []batch.Line
	for item, err := range l.Items(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r := cpuwork.Result{Index: int64(len(lines)), Err: item.Failed, Attempts: 1}
		if r.Err == nil {
			r.Output, r.Err = do(t.Context(), item.Data, nil)
		}
		line, err := l.Answer(batch.Named{Index: r.Index, Name: item.Name}, r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if l.Count() >= 0 && l.Count() != int64(len(lines)) {
		t.Errorf("count is %d, and there were %d items", l.Count(), len(lines))
	}
	var s batch.Summary
	if err := l.Finish(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	return lines, s
}

func code(l batch.Line) string {
	if l.Error == nil {
		return ""
	}
	return l.Error.Code
}

// leftovers are files of a tree that have temporary names.
func leftovers(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), ".") && path != dir {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLoadKeepsTree(t *testing.T) {
	dir := tree(t, map[string]string{
		"in/a.png": "=rgb.png", "in/sub/b.webp": "=lossy.webp", "in/new\nline.tif": "=rgb.tif", "other.bmp": "=rgb.bmp", "in/bad.png": "no picture",
	})
	paths := []string{"in/a.png", "in/sub/b.webp", "in/new\nline.tif", "other.bmp", "in/bad.png", "in/absent.png", "in/sub"}
	for i := range paths {
		paths[i] = filepath.Join(dir, paths[i])
	}
	out := filepath.Join(dir, "out", "deep")
	lines, s := runLoad(t, Spec{Paths: paths, Root: filepath.Join(dir, "in"), Output: out})
	for i, want := range []string{"a.jpg", "sub/b.jpg", "new\nline.jpg", "other.jpg"} {
		if !lines[i].OK || lines[i].Output["output"] != filepath.Join(out, want) {
			t.Errorf("line %d: %+v", i, lines[i])
		}
		data, err := os.ReadFile(filepath.Join(out, want))
		if err != nil {
			t.Fatal(err)
		}
		if h, err := readHeader(data, Limits{MaxPixels: 1e5}); err != nil || h.format != "jpeg" || h.size != (size{48, 32}) {
			t.Errorf("%s: %+v, %v", want, h, err)
		}
	}
	for i, want := range []string{CodeNotImage, CodeUnreadable, CodeUnreadable} {
		if code(lines[4+i]) != want {
			t.Errorf("line %d: %+v, want %s", 4+i, lines[4+i].Error, want)
		}
	}
	if found := leftovers(t, dir); found != nil {
		t.Error("left over:", found)
	}
	if s.Kind["skipped"] != int64(0) || s.Kind["bytes_out"].(int64) < 1000 {
		t.Errorf("summary: %v", s.Kind)
	}
}

func TestLoadLists(t *testing.T) {
	dir := tree(t, map[string]string{"in/a.png": "=rgb.png", "in/sub/a.png": "=gray.png"})
	list := files.Spec{Dir: dir, Paths: []files.Name{"in", "absent.png"}, Recursive: true}
	for root, want := range map[string][]string{"": {"in/a.jpg", "in/sub/a.jpg"}, filepath.Join(dir, "in"): {"a.jpg", "sub/a.jpg"}} {
		out := t.TempDir()
		lines, _ := runLoad(t, Spec{Files: &list, Root: root, Output: out})
		if len(lines) != 3 || lines[2].Error == nil || lines[2].Error.Code != "not_found" {
			t.Fatalf("%+v", lines)
		}
		for i, name := range want {
			if !lines[i].OK || lines[i].Output["output"] != filepath.Join(out, name) {
				t.Errorf("%+v", lines[i])
			}
		}
	}
}

func TestLoadProtectsOriginals(t *testing.T) {
	originals := map[string]string{"a.jpg": "=rgb.jpg", "a.png": "=rgb.png", "b.png": "=gray.png", "b.bmp": "=rgb.bmp", "c.webp": "=lossy.webp", "c.jpg": "mine"}
	for _, force := range []bool{false, true} {
		dir := tree(t, originals)
		var paths []string
		for _, name := range []string{"a.png", "a.jpg", "b.png", "b.bmp", "c.webp"} {
			paths = append(paths, filepath.Join(dir, name))
		}
		lines, _ := runLoad(t, Spec{Paths: paths, Options: Options{Force: force, Existing: ExistingRefuse}})
		want := []string{CodeIsInput, CodeIsInput, "", CodeSameOutput, CodeExists}
		if force {
			want = []string{CodeIsInput, "", "", CodeSameOutput, ""}
		}
		for i, line := range lines {
			if code(line) != want[i] {
				t.Errorf("force %v, %s: %+v, want %q", force, line.Item, line.Error, want[i])
			}
		}
		if e := lines[3].Error; e == nil || !strings.Contains(e.Message, paths[2]) {
			t.Errorf("the first input is not named: %+v", e)
		}
		for name, contents := range originals {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			before := []byte(contents)
			if from, found := strings.CutPrefix(contents, "="); found {
				before = read(t, from)
			}
			if same := bytes.Equal(got, before); same == (force && filepath.Ext(name) == ".jpg") {
				t.Errorf("force %v: %s is unchanged: %v", force, name, same)
			}
		}
		if found := leftovers(t, dir); found != nil {
			t.Error("left over:", found)
		}
	}
}

func TestLoadSeesThroughLinks(t *testing.T) {
	dir := tree(t, map[string]string{"in/a.png": "=rgb.png", "in/a.jpg": "=rgb.jpg"})
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "in"), link); err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(dir, "in", "a.png"), filepath.Join(dir, "in", "a.jpg")}
	lines, _ := runLoad(t, Spec{Paths: paths, Output: link, Options: Options{Force: true}})
	if code(lines[0]) != CodeIsInput || !lines[1].OK {
		t.Errorf("%+v", lines)
	}
}

func TestLoadSkipsExisting(t *testing.T) {
	dir := tree(t, map[string]string{"a.png": "=rgb.png"})
	spec := Spec{Paths: []string{filepath.Join(dir, "a.png")}, Output: filepath.Join(dir, "out")}
	first, _ := runLoad(t, spec)
	again, s := runLoad(t, spec)
	if !first[0].OK || first[0].Output["skipped"] != nil || !again[0].OK || again[0].Output["skipped"] != true || s.Kind["skipped"] != int64(1) {
		t.Errorf("first %+v\nagain %+v\n%v", first, again, s.Kind)
	}
}

func TestConvertFileLimits(t *testing.T) {
	dir := tree(t, map[string]string{"a.png": "=rgb.png"})
	in, out := filepath.Join(dir, "a.png"), filepath.Join(dir, "out.jpg")
	c := converter(t, Options{Limits: Limits{MaxFileBytes: 100}})
	var item *cpuwork.ItemError
	if _, err := c.ConvertFile(t.Context(), in, out); !errors.As(err, &item) || item.Code != CodeFileSize {
		t.Errorf("error is %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ConvertFile(t.Context(), pipe, out); !errors.As(err, &item) || item.Code != CodeUnreadable {
		t.Errorf("error is %v", err)
	}
	if _, err := converter(t, Options{}).ConvertFile(t.Context(), in, filepath.Join(in, "below", "a.jpg")); !errors.As(err, &item) || item.Code != CodeUnwritable {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written:", err)
	}
}

func TestConvertFileKeepsTime(t *testing.T) {
	dir := tree(t, map[string]string{"a.png": "=rgb.png"})
	in, out := filepath.Join(dir, "a.png"), filepath.Join(dir, "out.jpg")
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(in, at, at); err != nil {
		t.Fatal(err)
	}
	if _, err := converter(t, Options{KeepTime: true}).ConvertFile(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || !info.ModTime().Equal(at) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
}

// TestWriteFile holds for files without a name and for those with a temporary one.
func TestWriteFile(t *testing.T) {
	for name, write := range map[string]func(string, []byte, time.Time, bool) error{"nameless": writeFile, "named": writeNamed} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.jpg")
		for _, step := range []struct {
			data    string
			replace bool
			err     error
			want    string
		}{{"one", false, nil, "one"}, {"two", false, fs.ErrExist, "one"}, {"three", true, nil, "three"}} {
			if err := write(path, []byte(step.data), time.Time{}, step.replace); !errors.Is(err, step.err) {
				t.Errorf("%s: %s: %v", name, step.data, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != step.want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if found := leftovers(t, dir); found != nil {
			t.Error("left over:", found)
		}
	}
}
