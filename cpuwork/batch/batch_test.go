package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"weft/cpuwork"
)

func TestJob(t *testing.T) {
	for _, kind := range []cpuwork.Kind{"", cpuwork.Sequential, cpuwork.Event} {
		t.Run(string(kind), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made", "by the job")
			var last Progress
			l := &numbers{n: 100}
			s, err := Run(t.Context(), l, Options{Kind: kind, Dir: dir, Progress: func(p Progress) { last = p }})
			if err != nil {
				t.Fatal(err)
			}
			if s.Items != 100 || s.OK != 80 || s.Failed != 20 || s.Bytes != 1000 || len(s.FirstFailed) != 20 || l.finished != 1 {
				t.Errorf("%+v", s)
			}
			if last.Items != 100 || last.Total != 100 || last.OK != 80 || last.Left != 0 || !strings.Contains(last.LastError, "ends in 3") && !strings.Contains(last.LastError, "not for us") {
				t.Errorf("%+v", last)
			}
			checkLines(t, dir, 100)
			var kept Summary
			if there, err := readJSON(filepath.Join(dir, SummaryFile), &kept); !there || err != nil {
				t.Fatal(there, err)
			}
			if diff := cmp.Diff(*s, kept); diff != "" {
				t.Errorf("the file is not what was returned:\n%s", diff)
			}
			again := &numbers{n: 100}
			s2, err := Run(t.Context(), again, Options{Kind: kind, Dir: dir})
			if diff := cmp.Diff(s, s2, cmpopts.EquateEmpty()); err != nil || diff != "" || len(again.done) > 0 || again.finished > 0 {
				t.Errorf("a job that is over was run again: %v %v\n%s", err, again.done, diff)
			}
		})
	}
}

// checkLines checks that the result file has one line, the right one, for each of
// n items.
func checkLines(t *testing.T, dir string, n int64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, s := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		var line Line
		if err := json.Unmarshal([]byte(s), &line); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if seen[line.Index] {
			t.Errorf("item %d has two lines", line.Index)
		}
		seen[line.Index] = true
		code := ""
		switch line.Index % 10 {
		case 3:
			code = "three"
		case 4:
			code = "four"
		}
		if line.OK != (code == "") || !line.OK && line.Error.Code != code {
			t.Errorf("%s", s)
		}
	}
	if int64(len(seen)) != n {
		t.Errorf("%d lines for %d items", len(seen), n)
	}
}

// Killed again and again, a job is done once, and each item has one line.
func TestKilledJobGoesOn(t *testing.T) {
	dir := t.TempDir()
	for life := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVar+"="+dir)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if life < 5 {
			timer := time.AfterFunc(50*time.Millisecond+rand.N(300*time.Millisecond), func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait() // killed, or done before
			timer.Stop()
			continue
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	checkLines(t, dir, 2000)
	var s Summary
	if there, err := readJSON(filepath.Join(dir, SummaryFile), &s); !there || err != nil {
		t.Fatal(there, err)
	}
	if s.Items != 2000 || s.Failed != 400 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d of 2000 items were done by earlier lives", s.Resumed)
}

// However a journal was cut, the job goes on with the lines that are whole.
func TestTornJournal(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	if _, err := Run(t.Context(), &numbers{n: 60}, Options{Dir: whole, Kind: cpuwork.Sequential}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(whole, ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "job")
		if err != nil {
			rt.Fatal(err)
		}
		cut := rapid.IntRange(0, len(text)).Draw(rt, "cut")
		tail := rapid.SampledFrom([]string{"", "{", "\x00\x00\x00\n", "{}\n", "garbage\n{\"index\":1}\n"}).Draw(rt, "tail")
		if err := os.WriteFile(filepath.Join(dir, ResultsFile), append(text[:cut:cut], tail...), 0o600); err != nil {
			rt.Fatal(err)
		}
		l := &numbers{n: 60}
		s, err := Run(context.Background(), l, Options{Dir: dir})
		kept := bytes.Count(text[:cut], []byte("\n"))
		if err != nil || s.Items != 60 || s.OK != 48 || l.resumed != kept || len(l.done) != 60-kept || s.Resumed != int64(kept) {
			rt.Fatalf("%v: %+v; %d resumed, %d done", err, s, l.resumed, len(l.done))
		}
		checkLines(t, dir, 60)
	})
}

func TestBrokenInput(t *testing.T) {
	dir, broken := t.TempDir(), errors.New("the list is torn")
	s, err := Run(t.Context(), &numbers{n: 10, broken: broken}, Options{Dir: dir})
	if !errors.Is(err, broken) || s.Items != 10 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Stat(filepath.Join(dir, SummaryFile)); err == nil {
		t.Error("a job that failed has a summary")
	}
	l := &numbers{n: 12}
	if s, err := Run(t.Context(), l, Options{Dir: dir}); err != nil || s.Items != 12 || len(l.done) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A job that stops at its first success is over then, also after a crash that
// came before its summary.
func TestStopsEarly(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Options: cpuwork.Options{Stop: cpuwork.StopOnSuccess}}
	s, err := Run(t.Context(), &numbers{n: 1_000_000}, o)
	if err != nil || !s.Stopped || s.OK != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := os.Remove(filepath.Join(dir, SummaryFile)); err != nil {
		t.Fatal(err)
	}
	l := &numbers{n: 1_000_000}
	if s, err = Run(t.Context(), l, o); err != nil || !s.Stopped || s.OK != 1 || len(l.done) > 0 || l.finished != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// A full disk stops the job with words, and spoils nothing: with room again it
// goes on.
func TestDiskFull(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size=256k"); errors.Is(err, unix.EPERM) {
		t.Skip("mounting a small file system needs root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	_, err := Run(t.Context(), &numbers{n: 100, long: 8 << 10}, Options{Dir: dir})
	var disk *DiskError
	if !errors.As(err, &disk) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%v", err)
	}
	want := "cannot write the results in " + dir + ": the disk is full: write " + filepath.Join(dir, ResultsFile) + ": no space left on device"
	if disk.Error() != want {
		t.Errorf("got  %s\nwant %s", disk, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, ResultsFile))
	if err != nil || len(text) == 0 || text[len(text)-1] != '\n' {
		t.Fatalf("the result file is %d bytes: %v", len(text), err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	l := &numbers{n: 100, long: 8 << 10}
	if s, err := Run(t.Context(), l, Options{Dir: dir}); err != nil || s.Items != 100 || s.Resumed == 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	checkLines(t, dir, 100)
}

func TestTwiceInJournalIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat(`{"index":5,"item":"n5","ok":true}`+"\n", 2)
	if err := os.WriteFile(filepath.Join(dir, ResultsFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), &numbers{n: 10}, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "item 5 is in results.jsonl twice") {
		t.Error(err)
	}
}

func TestMeterAndLeft(t *testing.T) {
	at := time.Unix(1000, 0)
	m := newMeter(at, 50, 500)
	var perS, bytesPerS float64
	for i := 1; i <= 40; i++ {
		perS, bytesPerS = m.add(at.Add(time.Duration(i)*time.Second), 50+int64(min(i, 20))*10, 500+int64(min(i, 20))*100)
		if i == 20 && (perS != 10 || bytesPerS != 100) {
			t.Errorf("after 20 s: %v items/s, %v bytes/s", perS, bytesPerS)
		}
	}
	if perS != 0 || bytesPerS != 0 || len(m.samples) > 12 {
		t.Errorf("after standing still for 20 s: %v items/s; %d samples", perS, len(m.samples))
	}
	for _, c := range []struct {
		p    Progress
		want time.Duration
	}{
		{Progress{Items: 5, Total: -1, ItemsPerS: 1}, -1},
		{Progress{Items: 5, Total: 5}, 0},
		{Progress{Items: 5, Total: 25, ItemsPerS: 10}, 2 * time.Second},
		{Progress{Items: 5, Total: 25}, -1},
		{Progress{Total: 1 << 62, ItemsPerS: 1e-9}, -1},
	} {
		if got := left(c.p); got != c.want {
			t.Errorf("%+v: %v left, want %v", c.p, got, c.want)
		}
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"index":5,"item":"n5","ok":true}` + "\n" + `{"index":6,"ok":false,"error":{"code":"x"}}` + "\n{"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := 0
		length, err := readJournal(bytes.NewReader(text), func(l *Line) error {
			lines++
			if l.Index < 0 || l.Index > maxIndex {
				t.Fatalf("index %d", l.Index)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(text[:length], []byte("\n")); got != lines {
			t.Fatalf("%d lines of %d bytes, which have %d", lines, length, got)
		}
	})
}
