package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/fetch/fetchtest"
	"weft/cpuwork/files/durable/durabletest"
	"weft/cpuwork/jpeg"
)

// lifeVar names a file with a [life] for this test binary to be, instead of testing.
const lifeVar = "JOBS_TEST_LIFE"

// A life of a job ends with a power cut of the disk that its outputs go to.
type life struct {
	Kind string
	Spec json.RawMessage
	Dir  string // of the job: on another disk, which loses nothing that was written
	Disk string
	Busy bool // another program makes names durable all the time
	Cut  int  // after so many answers; 0: when the job has said that it is done
}

// live runs a job until the power is cut.
func live(path string) error {
	var l life
	text, err := os.ReadFile(path)
	if err := errors.Join(err, json.Unmarshal(text, &l)); err != nil {
		return err
	}
	plan, err := Parse(l.Kind, l.Spec)
	if err != nil {
		return err
	}
	load, err := plan.Load()
	if err != nil {
		return err
	}
	if l.Busy {
		go commit(filepath.Join(l.Disk, "busy")) // ended with the process
	}
	o := plan.Options()
	o.Dir = l.Dir
	if _, err = batch.Run(context.Background(), &mortal{load, l}, o); err != nil {
		return err
	}
	return durabletest.Cut(l.Disk)
}

// commit is another program on the disk, which asks for its own file to be
// durable all the time: names that were given meanwhile become durable with it.
func commit(path string) {
	f, err := os.Create(path)
	for err == nil {
		_, err = f.WriteAt([]byte("x"), 0)
		err = errors.Join(err, f.Chmod(0o600), f.Sync())
	}
}

// mortal is a load in whose midst the power is cut.
type mortal struct {
	batch.Load
	life
}

func (m *mortal) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	line, err := m.Load.Answer(item, r)
	if m.Cut--; m.Cut == 0 {
		if err := durabletest.Cut(m.Disk); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(3)
	}
	return line, err
}

// Whenever the power is cut, each line of the journal speaks of a file that is on
// the disk, each file that has its name is whole, and the next life makes good
// what is missing. When a job has said that it is done, all is on the disk.
func TestPowerCut(t *testing.T) {
	for _, c := range []struct {
		kind  string
		items int
		make  func(t *testing.T, items int, out string) (spec any, content map[string][]byte)
	}{{"jpeg", 2500, pictures}, {"fetch", 6000, downloads}} {
		t.Run(c.kind, func(t *testing.T) {
			disk := durabletest.New(t)
			out := filepath.Join(disk.Dir, "out", "deep")
			spec, want := c.make(t, c.items, out)
			raw, err := json.Marshal(map[string]any{"pool": "goroutine", "workers": 8, "task": spec})
			if err != nil {
				t.Fatal(err)
			}
			l := life{Kind: c.kind, Spec: raw, Dir: t.TempDir(), Disk: disk.Dir}
			done := 0
			for i := 0; i < 4 && c.items-done > 100; i++ { // some are done after the cut was asked for
				l.Busy = i%2 == 0
				l.Cut = 1 + rand.N((c.items-done)*2/3)
				t.Logf("%d items are done; the power is cut after %d more (busy: %v)", done, l.Cut, l.Busy)
				l.be(t, 3)
				disk.Mount(t)
				done = checkDisk(t, l.Dir, out, want)
			}
			l.Cut, l.Busy = 0, false
			l.be(t, 0)
			disk.Mount(t)
			if done = checkDisk(t, l.Dir, out, want); done != c.items {
				t.Errorf("%d of %d items are done at the end", done, c.items)
			}
			if _, err := os.Stat(filepath.Join(l.Dir, batch.SummaryFile)); err != nil {
				t.Error(err)
			}
		})
	}
}

// be runs a life and checks how it ended.
func (l life) be(t *testing.T, code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "life")
	text, err := json.Marshal(l)
	if err := errors.Join(err, os.WriteFile(path, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), lifeVar+"="+path)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("the life ended with %v, want code %d: %s", err, code, out)
	}
}

// checkDisk checks lines and files, and returns how many items are done.
func checkDisk(t *testing.T, dir, out string, want map[string][]byte) int {
	t.Helper()
	there := map[string]bool{}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") { // files that have their own name
			return err
		}
		content, err := os.ReadFile(path)
		if !bytes.Equal(content, want[d.Name()]) {
			t.Errorf("%s has %d bytes, which are not the %d that it should", path, len(content), len(want[d.Name()]))
		}
		there[path] = true
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, batch.ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if len(text) == 0 {
		return 0
	}
	for _, text := range lines {
		var line batch.Line
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatal(err)
		}
		path, _ := line.Output["output"].(string)
		if path == "" {
			path, _ = line.Output["path"].(string)
		}
		if !line.OK || !there[path] {
			t.Errorf("the file is not there that is spoken of by %s", text)
		}
	}
	return len(lines)
}

// pictures are items that are converted, of a few different ones.
func pictures(t *testing.T, items int, out string) (spec any, content map[string][]byte) {
	in, content := t.TempDir(), map[string][]byte{}
	var source, result [4][]byte
	c, err := jpeg.NewConverter(jpeg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range source {
		m := image.NewGray(image.Rect(0, 0, 100+10*i, 100))
		for at := range m.Pix {
			m.SetGray(at%m.Rect.Dx(), at/m.Rect.Dx(), color.Gray{Y: uint8(rand.N(256))}) // #nosec G115 -- below 256
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		source[i] = b.Bytes()
		if result[i], _, err = c.Convert(t.Context(), source[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range items {
		name := fmt.Sprintf("%05d", i)
		if err := os.WriteFile(filepath.Join(in, name+".png"), source[i%len(source)], 0o600); err != nil {
			t.Fatal(err)
		}
		content[name+".jpg"] = result[i%len(source)]
	}
	return map[string]any{"files": map[string]any{"dir": in, "paths": []string{"."}, "recursive": true}, "output": out}, content
}

// downloads are items that are fetched.
func downloads(t *testing.T, items int, out string) (spec any, content map[string][]byte) {
	s, err := fetchtest.Start(fetchtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
	})
	content = map[string][]byte{}
	urls := make([]string, items)
	for i := range urls {
		name := fmt.Sprintf("f%05d", i)
		urls[i] = fmt.Sprintf("%s/ok/%d\t%d/%s", s.URL, 1000+i, i%7, name)
		content[name] = fetchtest.Body(int64(1000 + i))
	}
	return map[string]any{"urls": urls, "to": out, "allow_private": true}, content
}
