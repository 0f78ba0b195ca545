package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weft/cpuwork/fetch/fetchtest"
)

// An outcome is what a command wrote and how it ended.
type outcome struct {
	stdout, stderr string
	code           int
}

// command runs a program in a directory, weft with this daemon for its own.
func (s *served) command(dir, name string, args ...string) outcome {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WEFT_HOST=unix://"+filepath.Join(s.dir, "weft.sock"), "LC_ALL=C", "NO_COLOR=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		s.t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func (s *served) weft(dir string, args ...string) outcome {
	s.t.Helper()
	return s.command(dir, weft, args...)
}

// put writes files below a directory.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// sha256's digests and verdicts are sha256sum's own, byte for byte, with names that
// are hard to write, and each file that cannot be read is told of.
func TestSHA256IsSHA256Sum(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("there is no sha256sum")
	}
	dir := t.TempDir()
	s := serve(t, t.TempDir())
	put(t, dir, map[string]string{"in/a": strings.Repeat("a", 100_000), "in/empty": "", "in/sub/b c": "b", "in/new\nline": "n", `in/back\slash`: "s",
		"in/\xff\xfe": "raw", "in/sub/.hidden": "h"})
	for link, to := range map[string]string{"in/sub/loop": "..", "in/gone": "nowhere", "in/a2": "a"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"in/a", "in/empty", "in/new\nline", `in/back\slash`, "in/\xff\xfe", "in/sub/b c", "in/gone"}
	want := s.command(dir, "sha256sum", names...)
	got := s.weft(dir, append([]string{"cpu", "sha256", "--wait"}, names...)...)
	if got.stdout != want.stdout || got.code != want.code || got.code != 1 || !strings.Contains(got.stderr, "no such file or directory") {
		t.Errorf("weft: %+v\nsha256sum: %+v", got, want)
	}
	for _, flag := range []string{"--tag", "--zero"} {
		want := s.command(dir, "sha256sum", append([]string{flag}, names[:6]...)...)
		if got := s.weft(dir, append([]string{"cpu", "sha256", "--wait", flag}, names[:6]...)...); got.stdout != want.stdout || got.code != 0 {
			t.Errorf("%s: weft %+v\nsha256sum %+v", flag, got, want)
		}
	}
	// The tree: a loop is not walked in, also where links are followed.
	for _, flags := range [][]string{{"-r"}, {"-r", "--follow-links"}} {
		got := s.weft(dir, append(append([]string{"cpu", "sha256", "--wait", "--out", "SUMS"}, flags...), "in")...)
		loop := len(flags) > 1
		if (got.code == 1) != loop || loop && !strings.Contains(got.stderr, "loop") {
			t.Errorf("%v: %+v", flags, got)
		}
	}
	if got := s.command(dir, "sha256sum", "-c", "--quiet", "SUMS"); got.code != 0 {
		t.Errorf("sha256sum does not agree: %+v", got)
	}
	put(t, dir, map[string]string{"in/a": "changed", "OTHER": "no digest at all\n" + s.command(dir, "cat", "SUMS").stdout})
	if err := os.Remove(filepath.Join(dir, "in/empty")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"SUMS"}, {"--quiet", "SUMS"}, {"OTHER"}, {"--ignore-missing", "SUMS"}, {"--strict", "OTHER"}} {
		want := s.command(dir, "sha256sum", append([]string{"-c"}, args...)...)
		got := s.weft(dir, append([]string{"cpu", "sha256", "--wait", "-c"}, args...)...)
		if got.stdout != want.stdout || got.code != want.code {
			t.Errorf("%v: weft %+v\nsha256sum %+v", args, got, want)
		}
		for line := range strings.Lines(want.stderr) {
			if _, warning, found := strings.Cut(line, "WARNING: "); found && !strings.Contains(got.stderr, "weft: WARNING: "+warning) {
				t.Errorf("%v: %q is not told: %s", args, warning, got.stderr)
			}
		}
	}
	s.stop()
}

// A tree of pictures, of which some are broken, is converted but for those; each of
// them is told of, and nothing half-written is left.
func TestJPEGTree(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, t.TempDir())
	for _, name := range []string{"rgb.png", "palette.png", "rgb.tif", "lossy.webp", "rgb.bmp", "turned6.jpg"} {
		data, err := os.ReadFile(filepath.Join("cpuwork/jpeg/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		stem := strings.ReplaceAll(name, ".", "-") + filepath.Ext(name) // rgb.png and rgb.tif would have one result
		put(t, dir, map[string]string{"in/sub/good-" + stem: string(data), "in/cut-" + stem: string(data[:len(data)/2])})
	}
	twin, err := os.ReadFile(filepath.Join(dir, "in/sub/good-rgb-png.png"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, map[string]string{"in/sub/good-rgb-tif.png": string(twin)}) // the result of good-rgb-tif.tif, too
	// A picture that says it has 2^31 pixels on a side, and what is none.
	bomb := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\x00\x00\x00\x00\x00\x00\x00"
	put(t, dir, map[string]string{"in/bomb.png": bomb, "in/text.png": "hello", "in/empty.jpg": ""})
	if err := os.Symlink("nowhere", filepath.Join(dir, "in/vanished.png")); err != nil {
		t.Fatal(err)
	}
	got := s.weft(dir, "cpu", "jpeg", "-r", "in", "--to", "out", "--max-width", "16", "--wait")
	if got.code != 1 || !strings.Contains(got.stderr, "weft results 1 --failed lists them") {
		t.Errorf("convert: %+v", got)
	}
	failed := s.weft(dir, "results", "1", "--failed", "-o", "jsonl")
	for name, code := range map[string]string{"cut-rgb-png.png": "broken_image", "cut-turned6-jpg.jpg": "broken_image", "bomb.png": "too_many_pixels",
		"text.png": "not_an_image", "empty.jpg": "not_an_image", "good-rgb-tif.tif": "same_output"} {
		line := ""
		for l := range strings.Lines(failed.stdout) {
			if strings.Contains(l, name+`","ok"`) {
				line = l
			}
		}
		if line == "" || !strings.Contains(line, code) {
			t.Errorf("%s: %q", name, line)
		}
	}
	good, bad := 0, 0
	err = filepath.WalkDir(filepath.Join(dir, "out"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if c, err := jpeg.DecodeConfig(f); err != nil || c.Width > 16 || !strings.HasPrefix(d.Name(), "good-") {
			bad++
			t.Errorf("%s: %+v (%v)", path, c, err)
		}
		good++
		return nil
	})
	if err != nil || good != 6 {
		t.Errorf("%d pictures are converted, %d of them badly (%v)\n%s", good, bad, err, failed.stdout)
	}
	if again := s.weft(dir, "cpu", "jpeg", "in/sub/good-rgb-bmp.bmp", "in/sub/good-palette-png.png", "--wait"); again.code != 0 ||
		!strings.Contains(again.stderr, "2 items") {
		t.Errorf("beside their inputs: %+v", again)
	}
	if kept := s.weft(dir, "cpu", "jpeg", "in/sub/good-turned6-jpg.jpg", "--wait"); kept.code == 0 {
		t.Errorf("an original was replaced without --force: %+v", kept)
	}
	s.stop()
}

// Servers that stall, lie, refuse and redirect in a circle: a message an item, and
// no half file.
func TestFetchFromBadServers(t *testing.T) {
	server, err := fetchtest.Start(fetchtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	s := serve(t, t.TempDir())
	lines := []string{"# good ones", server.URL + "/ok/1000\tgood", server.URL + "/flaky/500/2\tflaky", server.URL + "/hops/3\thops"}
	for name, path := range map[string]string{"lies": "/lie/100/50", "reset": "/reset/10", "circle": "/circle/3", "refused": "/status/404",
		"stalls": "/stall/10", "garbage": "/garbage"} {
		lines = append(lines, server.URL+path+"\t"+name)
	}
	put(t, dir, map[string]string{"urls.txt": strings.Join(lines, "\n") + "\n"})
	if got := s.weft(dir, "cpu", "fetch", "--list", "urls.txt", "--to", "private", "--wait"); got.code != 1 || !strings.Contains(got.stderr, "9 failed") ||
		!strings.Contains(got.stderr, "--allow-private") && !strings.Contains(s.weft(dir, "results", "1", "--failed").stdout, "allow-private") {
		t.Errorf("private addresses: %+v", got)
	}
	got := s.weft(dir, "cpu", "fetch", "--list", "urls.txt", "--to", "out", "--allow-private", "--item-retries", "2", "--idle-timeout", "1s", "--wait")
	if got.code != 1 || !strings.Contains(got.stderr, "6 failed") {
		t.Errorf("fetch: %+v", got)
	}
	failed := s.weft(dir, "results", "2", "--failed", "-o", "jsonl").stdout
	for _, code := range []string{"length_mismatch", "reset", "redirect_loop", "status_404", "stalled"} {
		if !strings.Contains(failed, `"code":"`+code+`"`) {
			t.Errorf("no item has failed with %s:\n%s", code, failed)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "out"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || fmt.Sprint(names) != "[flaky good hops]" {
		t.Errorf("files are %v (%v)", names, err)
	}
	s.stop()
}

// The textbook's numbers, a range and a search, and what is no number.
func TestPrimes(t *testing.T) {
	s := serve(t, t.TempDir())
	dir := t.TempDir()
	got := s.weft(dir, "cpu", "primes", "112272535095293", "112272535095291", "18446744073709551557", "1..1000000", "--wait")
	rows := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if got.code != 0 || len(rows) != 12 || !strings.Contains(rows[1], "yes") || !strings.Contains(rows[2], "no") || !strings.Contains(rows[3], "yes") ||
		!strings.Contains(got.stderr, "primes: 78,500") {
		t.Errorf("primes: %+v", got)
	}
	put(t, dir, map[string]string{"n.txt": "4 6\n8 10..14 99999999999999999999\n-5 nine 5..1\n"})
	got = s.weft(dir, "cpu", "primes", "--file", "n.txt", "--wait")
	if got.code != 1 || !strings.Contains(got.stderr, "4 failed") || !strings.Contains(got.stderr, "primes: 2") {
		t.Errorf("from a file: %+v", got)
	}
	got = s.weft(dir, "cpu", "primes", "4", "6", "8", "97", "1000000000..1000000000000", "--first", "--pool", "process", "--wait")
	if got.code != 0 || !strings.Contains(got.stderr, "first prime: ") || !strings.Contains(got.stderr, "ended early") {
		t.Errorf("the first: %+v", got)
	}
	if got := s.weft(dir, "cpu", "primes", "4", "6", "--first", "--wait"); got.code != 0 || !strings.Contains(got.stderr, "first prime: none") {
		t.Errorf("none: %+v", got)
	}
	s.stop()
}
