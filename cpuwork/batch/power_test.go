package batch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"weft/cpuwork/files/durable"
)

// A forgetful disk forgets what was not synced: outputs at once, while what is
// written to the journal may stay although it was not. So it is wrong to write a
// line of an output that is not durable.
type forgetful struct {
	t       *rapid.T
	journal []byte
	synced  int             // bytes of journal
	noted   map[string]bool // outputs that the next Sync makes durable
	durable map[string]bool
	during  func() // called in the midst of a Sync, when it has decided what it syncs
	noting  func() // called before something is noted
	broken  error  // of the outputs' Sync
	room    int    // bytes that the journal may have; -1: any
}

// Note implements outputs.
func (f *forgetful) Note(path string) {
	f.noting()
	f.noted[path] = true
}

// Close implements outputs and file.
func (f *forgetful) Close() error { return nil }

// Write implements file.
func (f *forgetful) Write(b []byte) (n int, err error) {
	if n = len(b); f.room >= 0 && len(f.journal)+n > f.room {
		n, err = max(0, f.room-len(f.journal)), unix.ENOSPC
	}
	f.journal = append(f.journal, b[:n]...)
	for _, name := range f.lines(b[:n]) {
		if strings.HasPrefix(name, "/") && !f.durable[name] {
			f.t.Fatalf("a line of %s is written, which is not durable", name)
		}
	}
	return n, err
}

// Truncate implements file.
func (f *forgetful) Truncate(size int64) error {
	f.journal = f.journal[:size]
	return nil
}

// lines are the items of a text's whole lines.
func (f *forgetful) lines(text []byte) []string {
	var names []string
	_, err := readJournal(bytes.NewReader(text), func(l *Line) error {
		names = append(names, l.Item)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

// journalFile is the journal on a forgetful disk, whose Sync is another.
type journalFile struct{ *forgetful }

// Sync implements file.
func (f journalFile) Sync() error {
	length := len(f.journal)
	f.during()
	f.synced = max(f.synced, length)
	return nil
}

// Sync implements outputs.
func (f *forgetful) Sync() error {
	noted := f.noted
	f.noted = map[string]bool{}
	f.during()
	if f.broken != nil {
		return f.broken
	}
	for path := range noted {
		f.durable[path] = true
	}
	return nil
}

// A logbook is a journal on a forgetful disk, and what is known of it.
type logbook struct {
	rt     *rapid.T
	disk   *forgetful
	j      *journal
	next   int64
	added  map[string]bool // the items whose lines were added
	failed error           // the first
	inside bool            // of a Sync

	checked int // bytes of the journal
}

func (b *logbook) fails(err error) {
	if b.failed == nil {
		b.failed = err
	}
}

// add adds a line, of an output perhaps, and perhaps of one that is long.
func (b *logbook) add(pads ...int) {
	line := Line{Index: b.next, Item: fmt.Sprint(b.next)}
	b.next++
	if rapid.Bool().Draw(b.rt, "output") {
		line.Item = "/" + line.Item
		line.Wrote = line.Item
	}
	if pad := rapid.SampledFrom(pads).Draw(b.rt, "pad"); pad > 0 {
		line.Output = map[string]any{"pad": strings.Repeat("x", pad)}
	}
	b.fails(b.j.add(&line))
	b.added[line.Item] = true
}

// sync is the keeper's: it can come at any time but in the midst of another.
func (b *logbook) sync() {
	want := len(b.added)
	b.fails(b.j.sync())
	if got := bytes.Count(b.disk.journal[:b.disk.synced], []byte("\n")); b.failed == nil && got < want {
		b.rt.Fatalf("a sync left %d of %d lines", got, want)
	}
}

// meanwhile is what happens in the midst of a sync: items end.
func (b *logbook) meanwhile() {
	b.inside = true
	for range rapid.IntRange(0, 3).Draw(b.rt, "meanwhile") {
		if len(b.j.buf) < syncAt/2 { // a full one would wait for this sync, here for ever
			b.add(0, writeAt)
		}
	}
	b.inside = false
}

func (b *logbook) check() {
	if b.failed == nil && len(b.j.buf) >= syncAt {
		b.rt.Fatalf("%d bytes wait for their outputs", len(b.j.buf))
	}
	if len(b.disk.journal) == b.checked {
		return
	}
	b.checked = len(b.disk.journal)
	seen := map[string]bool{}
	for _, name := range b.disk.lines(b.disk.journal) {
		if seen[name] {
			b.rt.Fatalf("two lines of %s", name)
		}
		seen[name] = true
		if !b.added[name] {
			b.rt.Fatalf("a line of %s, which nobody added", name)
		}
	}
	if n := len(b.disk.journal); n > 0 && b.disk.journal[n-1] != '\n' {
		b.rt.Fatal("the journal ends in the midst of a line")
	}
}

// However items end between and during syncs, no line of an output is written
// before the output is durable, a sync makes durable what was added before it, and
// after a failure nothing is written.
func TestLinesFollowOutputs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		disk := &forgetful{t: rt, noted: map[string]bool{}, durable: map[string]bool{}, room: -1}
		b := &logbook{rt: rt, disk: disk, added: map[string]bool{}}
		b.j = &journal{file: journalFile{disk}, outputs: disk}
		disk.during = b.meanwhile
		disk.noting = func() {
			if !b.inside && rapid.Bool().Draw(rt, "sync now") {
				b.sync()
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"add":               func(*rapid.T) { b.add(0, 0, 0, writeAt, syncAt/2) },
			"sync":              func(*rapid.T) { b.sync() },
			"break the outputs": func(*rapid.T) { disk.broken = unix.EIO },
			"fill the disk":     func(rt *rapid.T) { disk.room = len(disk.journal) + rapid.IntRange(0, 300).Draw(rt, "room") },
			"":                  func(*rapid.T) { b.check() },
		})
		before := len(disk.journal)
		disk.during = func() {}
		err := b.j.close()
		b.check()
		switch {
		case b.failed != nil && (err == nil || len(disk.journal) > before):
			rt.Fatalf("after %v: closed with %v and %d bytes more", b.failed, err, len(disk.journal)-before)
		case err == nil && len(disk.lines(disk.journal)) != len(b.added):
			rt.Fatalf("%d lines of %d items", len(disk.lines(disk.journal)), len(b.added))
		case err == nil && disk.synced != len(disk.journal):
			rt.Fatal("the end is not synced")
		}
	})
}

// A job whose outputs cannot be made durable says of which disk.
func TestOutputsThatCannotBeSynced(t *testing.T) {
	dir := t.TempDir()
	err := diskError("write the results", "/jobs/1", fmt.Errorf("add: %w", &durable.SyncError{Dir: dir, Err: unix.EIO}))
	want := "cannot make the outputs durable in " + dir + ": input/output error"
	if err.Error() != want || !errors.Is(err, unix.EIO) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// The running time is not synced: a power cut may leave any file of it.
func TestTimeThatWasLost(t *testing.T) {
	for _, text := range []string{"", "\x00\x00\x00", `{"Seconds": -5}`, `{"Seconds": "x"}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, timeFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Run(t.Context(), &numbers{n: 10}, Options{Dir: dir}); err != nil || s.Items != 10 || s.Seconds < 0 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}
