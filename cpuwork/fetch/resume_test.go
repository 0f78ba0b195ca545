package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weft/cpuwork/fetch/fetchtest"
)

// What an attempt got before it broke off is gone on with, or thrown away, so
// that the file is whole and right in either case.
func TestResume(t *testing.T) {
	const size = 3_000_000
	for _, c := range []struct {
		path    string
		resumed int64
	}{
		{"/flaky/3000000/2000000", 2000000},
		{"/flaky/3000000/1000", 1000},
		{"/norange/3000000", 0},
		{"/wrongrange/3000000", 0},
	} {
		t.Run(c.path, func(t *testing.T) {
			s := start(t, fetchtest.Config{})
			dir := t.TempDir()
			e := engineOf(t, local(into(dir)))
			if _, failed := get(t, e, s.URL+c.path+"\tf"); failed == nil || !failed.Retry {
				t.Fatalf("first attempt: %+v", failed)
			}
			if got := files(t, dir); len(got) != 2 || got["f"] != 0 {
				t.Fatalf("between the attempts: %v", got)
			}
			a := must(t, e, s.URL+c.path+"\tf")
			if a.Resumed != c.resumed || a.Bytes != size {
				t.Errorf("%+v", a)
			}
			got, _ := os.ReadFile(filepath.Join(dir, "f"))
			if !bytes.Equal(got, fetchtest.Body(size)) {
				t.Error("the file is not what the server has")
			}
			if left := names(files(t, dir)); len(left) != 1 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// No note, however wrong, makes a wrong file: the file is whole or fails.
func TestResumeFromWrongNotes(t *testing.T) {
	s := start(t, fetchtest.Config{})
	url := s.URL + "/ok/100000"
	good := note{URL: url, validators: validators{ETag: fetchtest.Version}, Total: 100000, Boot: boot()}
	change := func(f func(*note)) note {
		n := good
		f(&n)
		return n
	}
	for name, c := range map[string]struct {
		note any
		part int64
		ask  bool // the rest is asked for
	}{
		"good":          {good, 4000, true},
		"other version": {change(func(n *note) { n.ETag = `"v0"` }), 4000, true},
		"by date":       {change(func(n *note) { n.validators = validators{LastModified: "Thu, 29 Feb 2024 12:00:00 GMT"} }), 4000, true},
		"older date":    {change(func(n *note) { n.validators = validators{LastModified: "Wed, 28 Feb 2024 12:00:00 GMT"} }), 4000, true},
		"no version":    {change(func(n *note) { n.validators = validators{} }), 4000, false},
		"other URL":     {change(func(n *note) { n.URL += "?" }), 4000, false},
		"other length":  {change(func(n *note) { n.Total = 200000 }), 4000, true},
		"longer part":   {good, 200000, false},
		"whole part":    {good, 100000, false},
		"beyond":        {change(func(n *note) { n.Total = -1 }), 100000, true}, // 416
		"empty part":    {good, 0, false},
		"garbage":       {"}{", 4000, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data, err := json.Marshal(c.note)
			if err != nil {
				t.Fatal(err)
			}
			if text, is := c.note.(string); is {
				data = []byte(text)
			}
			for file, b := range map[string][]byte{partName("f"): fetchtest.Body(c.part), noteName("f"): data} {
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			e := engineOf(t, local(into(dir)))
			a := must(t, e, url+"\tf")
			got, _ := os.ReadFile(filepath.Join(dir, "f"))
			if !bytes.Equal(got, fetchtest.Body(100000)) {
				t.Errorf("a wrong file of %d bytes: %+v", len(got), a)
			}
			if left := names(files(t, dir)); len(left) != 1 {
				t.Errorf("left %v", left)
			}
			if resumed := a.Resumed > 0; resumed != (name == "good" || name == "by date") {
				t.Errorf("resumed %d bytes", a.Resumed)
			}
		})
	}
}

// After a power cut only what was on the disk is gone on with.
func TestResumeAfterPowerCut(t *testing.T) {
	s := start(t, fetchtest.Config{})
	url := s.URL + "/ok/100000"
	for _, c := range []struct{ durable, part, resumed int64 }{
		{3000, 4000, 3000}, {3000, 3000, 3000}, {0, 4000, 0}, {5000, 4000, 0}, {-1, 4000, 0}, {100000, 100000, 0},
	} {
		dir := t.TempDir()
		data, err := json.Marshal(note{URL: url, validators: validators{ETag: fetchtest.Version}, Total: 100000, Boot: "another", Durable: c.durable})
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, c.part) // with a hole
		copy(part[:max(0, min(c.durable, c.part))], fetchtest.Body(c.part))
		for file, b := range map[string][]byte{partName("f"): part, noteName("f"): data} {
			if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a := must(t, engineOf(t, local(into(dir))), url+"\tf")
		if got, _ := os.ReadFile(filepath.Join(dir, "f")); !bytes.Equal(got, fetchtest.Body(100000)) || a.Resumed != c.resumed {
			t.Errorf("%+v: a file of %d bytes: %+v", c, len(got), a)
		}
	}
}

// What an attempt leaves is on the disk, and its note says so.
func TestPartIsDurable(t *testing.T) {
	s := start(t, fetchtest.Config{})
	dir := t.TempDir()
	if _, failed := get(t, engineOf(t, local(into(dir))), s.URL+"/flaky/3000000/2000000\tf"); failed == nil {
		t.Fatal("it came at once")
	}
	text, err := os.ReadFile(filepath.Join(dir, noteName("f")))
	var n note
	if err := errors.Join(err, json.Unmarshal(text, &n)); err != nil || n.Durable != 2000000 || n.Boot == "" || n.Boot != boot() {
		t.Errorf("note %s: %v", text, err)
	}
}

// A part of another version, which the server sends although it was told not
// to, is not put behind what there is.
func TestResumeRefusesAnotherVersion(t *testing.T) {
	var asked []string
	version := `"v1"`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		w.Header().Set("Etag", version)
		if len(asked) == 1 {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 500))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		r.Header.Del("If-Range")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytes.Repeat([]byte{7}, 1000)))
	}))
	defer s.Close()
	dir := t.TempDir()
	e := engineOf(t, local(into(dir)))
	if _, failed := get(t, e, s.URL+"\tf"); failed == nil || failed.Code != CodeLengthMismatch {
		t.Fatalf("%+v", failed)
	}
	version = `"v2"`
	must(t, e, s.URL+"\tf")
	if got, _ := os.ReadFile(filepath.Join(dir, "f")); !bytes.Equal(got, bytes.Repeat([]byte{7}, 1000)) {
		t.Error("two versions in one file")
	}
	if len(asked) != 3 || asked[1] != "bytes=500-" || asked[2] != "" {
		t.Errorf("asked for %q", asked)
	}
}

// A server that sends only some of what was asked for is not believed to have
// sent the rest.
func TestResumeRefusesHalfOfTheRest(t *testing.T) {
	for _, total := range []string{"1000", "*"} {
		requests := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			w.Header().Set("Etag", fetchtest.Version)
			switch {
			case requests == 1:
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write(fetchtest.Body(500))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case r.Header.Get("Range") != "":
				w.Header().Set("Content-Range", "bytes 500-599/"+total)
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(fetchtest.Body(600)[500:])
			default:
				_, _ = w.Write(fetchtest.Body(1000))
			}
		}))
		dir := t.TempDir()
		e := engineOf(t, local(into(dir)))
		if _, failed := get(t, e, s.URL+"\tf"); failed == nil || failed.Code != CodeLengthMismatch {
			t.Fatalf("%+v", failed)
		}
		must(t, e, s.URL+"\tf")
		if got, _ := os.ReadFile(filepath.Join(dir, "f")); !bytes.Equal(got, fetchtest.Body(1000)) {
			t.Errorf("total %s: a file of %d bytes", total, len(got))
		}
		e.close()
		s.Close()
	}
}

// What cannot be gone on with is not kept: the server names no version.
func TestNothingKeptWithoutVersion(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Etag", `W/"weak"`)
		_, _ = w.Write(make([]byte, 500))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	dir := t.TempDir()
	e := engineOf(t, local(into(dir)))
	if _, failed := get(t, e, s.URL+"\tf"); failed == nil || failed.Code != CodeLengthMismatch {
		t.Fatalf("%+v", failed)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left %v", names(left))
	}
}

func TestDiskFails(t *testing.T) {
	s := start(t, fetchtest.Config{})
	dir := t.TempDir()
	e := engineOf(t, local(func(sp *Spec) { into(dir)(sp) }))
	if _, failed := get(t, e, s.URL+"/ok/10\ta/b/c"); failed != nil {
		t.Errorf("directories are made: %+v", failed)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, failed := get(t, e, s.URL+"/ok/10\tx"); failed == nil || failed.Code != CodeWriteFailed || failed.Retry {
		t.Errorf("the directory is gone: %+v", failed)
	}
}
