package pools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Setup says where and how large a case is measured.
type Setup struct {
	Dir    string // of the benchmark: what is made lies in it, and is removed with it
	Self   string // the path of this program
	Items  int
	Size   int    // bytes of an item, for cases whose items have a size
	Python string // the interpreter of scripts; "": there is none
	Cores  int    // workers of peers that may have any number
}

// Bench is a case whose input is there. It measures one contestant at a time.
type Bench struct {
	Case Case
	Setup
	dir   string // of this case
	input string // file; "": none
	files string // directory; "": none
	peers string // directory of their programs
	runs  int    // so far
}

// A CannotError is why a case cannot be measured here.
type CannotError struct{ Reason string }

func (e *CannotError) Error() string { return e.Reason }

// Prepare makes a case's input. It returns a [CannotError] where there is no room.
func Prepare(ctx context.Context, c Case, s Setup) (*Bench, error) {
	if s.Items < 1 || s.Items > math.MaxInt32 || c.Size > 0 && s.Size < 1 {
		return nil, fmt.Errorf("prepare %s: %d items of %d bytes cannot be", c.Name, s.Items, s.Size)
	}
	b := &Bench{Case: c, Setup: s, dir: filepath.Join(s.Dir, c.Name)}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", c.Name, err)
	}
	b.peers = b.dir
	if err := writeScripts(b.peers); err != nil {
		return nil, err
	}
	if c.Name == SHA256Files {
		b.files = filepath.Join(b.dir, "files")
		if err := b.checkRoom(); err != nil {
			return nil, err
		}
		return b, b.writeFiles(ctx)
	}
	if c.Size > 0 || c.width > 0 || c.Group == "primes" {
		b.input = filepath.Join(b.dir, "input")
		return b, writeInput(c, b.input, s.Items, s.Size)
	}
	return b, nil
}

// checkRoom refuses to fill more than half of what is free.
func (b *Bench) checkRoom() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(b.dir, &fs); err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	free := int64(fs.Bavail) * fs.Bsize // #nosec G115 -- bytes of a disk
	if want := int64(b.Items) * int64(b.Size); free/2 < want {
		return &CannotError{fmt.Sprintf("%d MB of files would take more than half of the %d MB that are free in %s",
			want/1e6, free/1e6, os.TempDir())}
	}
	return nil
}

// writeFiles writes the files, and waits until the disk has them: it is not to be
// busy with them later.
func (b *Bench) writeFiles(ctx context.Context) error {
	if err := writeFiles(b.files, b.Items, b.Size); err != nil {
		return err
	}
	d, err := os.Open(b.files)
	if err != nil {
		return fmt.Errorf("sync files: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil { // #nosec G115 -- a descriptor
		return fmt.Errorf("sync files: %w", err)
	}
	return ctx.Err()
}

// Close removes the case's files.
func (b *Bench) Close() error {
	if err := os.RemoveAll(b.dir); err != nil {
		return fmt.Errorf("remove input: %w", err)
	}
	return nil
}

// task is what a contestant is told.
func (b *Bench) task(a Arm) Task {
	b.runs++
	return Task{Case: b.Case.Name, Arm: a, Items: b.Items, Size: b.Size, Input: b.input, Files: b.files,
		Width: b.Case.width, Height: b.Case.height, Rate: b.Case.rate, Burst: b.Case.burst,
		Scratch: fmt.Sprintf("weft-bench-%d-%s-%d", os.Getpid(), b.Case.Name, b.runs)}
}

// Arm measures an arm once.
func (b *Bench) Arm(ctx context.Context, a Arm) (*Answer, error) {
	return b.serving(ctx, b.task(a), func(t Task) (*Answer, error) {
		return b.ask(ctx, t, b.Self, workerVerb, armKind)
	})
}

// serving runs do beside the server that the case needs, if it needs one.
func (b *Bench) serving(ctx context.Context, t Task, do func(Task) (*Answer, error)) (a *Answer, err error) {
	if b.Case.Group != "fetch" {
		return do(t)
	}
	s, err := startServer(ctx, b.Self, b.Case.rate, b.Case.burst)
	if err != nil {
		return nil, err
	}
	t.URL = s.url + "/ok/5"
	if b.Case.rate > 0 {
		t.URL = s.url + "/limited"
	}
	a, err = do(t)
	refused, stopped := s.stop()
	if err = errors.Join(err, stopped); err != nil {
		return nil, err
	}
	a.Refused = refused
	return a, nil
}

// ask runs a program, tells it the task, and reads its answer.
func (b *Bench) ask(ctx context.Context, t Task, argv ...string) (*Answer, error) {
	told, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("tell task: %w", err)
	}
	p, err := start(ctx, b.dir, argv)
	if err != nil {
		return nil, err
	}
	_, _ = p.in.Write(append(told, '\n')) // a program that takes arguments instead may have ended by now
	out, err := p.wait(ctx)
	if err = errors.Join(err, os.RemoveAll(filepath.Join("/dev/shm", t.Scratch))); err != nil {
		return nil, err
	}
	a := &Answer{}
	if err := json.Unmarshal([]byte(lastLine(out)), a); err != nil {
		return nil, fmt.Errorf("its answer is no JSON: %.100q", lastLine(out))
	}
	a.Peak = max(a.Peak, p.peak)
	return a, b.check(a)
}

// check refuses what no run can have come to.
func (b *Bench) check(a *Answer) error {
	switch {
	case a.Skip != "" || a.Runtime != "" && a.Wall == 0: // of a probe
		return nil
	case !(a.Wall > 0) || math.IsInf(a.Wall, 0):
		return fmt.Errorf("its answer has no time: wall_seconds is %g", a.Wall)
	case a.Items != b.Items:
		return fmt.Errorf("it did %d of %d items", a.Items, b.Items)
	}
	return nil
}
