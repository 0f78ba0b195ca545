package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"weft/cpuwork/files/durable"
)

// journal is the result file, which is only ever appended to. The lines of an
// instant are written together: add is for one goroutine, sync for any.
//
// A line that speaks of an output is not even written before the output is
// durable: what is written, the system may bring to the disk when it likes.
//
// Lock order: turn before mu.
type journal struct {
	file    file
	outputs outputs

	turn sync.Mutex // held by who makes outputs durable and then writes of them

	mu     sync.Mutex // guards the fields below
	buf    []byte     // lines that are not written yet
	hold   bool       // some of the job's lines speak of outputs: all wait for sync, for their order
	length int64      // of the file, all of it whole lines
	dirty  bool       // it has lines that may not be on the disk
	err    error      // the first failure: nothing is written after it
}

// file is the part of *os.File that a journal is written by.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// outputs are the files that items leave: *durable.Systems.
type outputs interface {
	Note(path string) // there is an output
	Sync() error      // makes durable those that were noted before it is called
	Close() error
}

var (
	_ file    = (*os.File)(nil)
	_ outputs = (*durable.Systems)(nil)
)

// Sizes.
const (
	writeAt   = 64 << 10 // lines are written when they have come to this
	syncAt    = 1 << 20  // lines that wait for their outputs are written when they have come to this
	longLine  = 16 << 20 // no line is as long as this
	readAhead = 256 << 10
)

// openJournal opens the file, calls each with every line that it holds, and cuts
// off what follows the last good one.
func openJournal(path string, each func(*Line) error) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	length, err := readJournal(file, each)
	if err == nil {
		err = errors.Join(file.Truncate(length), syncDir(filepath.Dir(path)))
	}
	if err == nil {
		_, err = file.Seek(length, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read results: %w", err), file.Close())
	}
	return &journal{file: file, outputs: &durable.Systems{}, length: length}, nil
}

// readJournal calls each with every line up to the first that is not one, and
// returns how many bytes they are. Its error is each's, or of the reading.
func readJournal(from io.Reader, each func(*Line) error) (int64, error) {
	var length int64
	r := bufio.NewReaderSize(from, readAhead)
	for {
		text, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return length, nil
		}
		if err != nil {
			return length, err
		}
		line, ok := parseLine(text)
		if !ok {
			return length, nil
		}
		if err := each(line); err != nil {
			return length, err
		}
		length += int64(len(text))
	}
}

// readLine returns the next line with its end. One without an end, or that is
// too long, is io.EOF: nothing is to be read after it.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		if err == nil && line == nil {
			return piece, nil
		}
		line = append(line, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longLine {
			return nil, io.EOF
		}
	}
}

// parseLine reads a line as [journal.add] writes it.
func parseLine(text []byte) (*Line, bool) {
	line := Line{Index: -1}
	if err := json.Unmarshal(text, &line); err != nil || line.Index < 0 || line.Index > maxIndex {
		return nil, false
	}
	return &line, bytes.HasSuffix(text, []byte("\n"))
}

// add appends a line. It is in the file at the next sync.
func (j *journal) add(line *Line) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("item %d: %w", line.Index, err)
	}
	if len(text) >= longLine {
		return fmt.Errorf("item %d: its line of %d bytes is too long", line.Index, len(text))
	}
	if line.Wrote != "" {
		j.outputs.Note(line.Wrote) // before a sync can take its line
	}
	j.mu.Lock()
	j.hold = j.hold || line.Wrote != ""
	j.buf = append(append(j.buf, text...), '\n')
	if !j.hold && len(j.buf) >= writeAt {
		j.buf = j.write(j.buf)
	}
	err, full := j.err, len(j.buf) >= syncAt
	j.mu.Unlock()
	if err == nil && full {
		return j.sync() // the disk is behind: who adds waits for it
	}
	return err
}

// write writes lines, and returns their memory to be used again. If that fails in
// the midst of a line, the file is cut back: it only ever holds whole lines. The
// caller holds mu.
func (j *journal) write(lines []byte) []byte {
	if j.err != nil || len(lines) == 0 {
		return lines[:0]
	}
	n, err := j.file.Write(lines)
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	j.length += int64(whole)
	j.dirty = true
	if err != nil {
		j.err = errors.Join(err, j.file.Truncate(j.length))
	}
	return lines[:0]
}

// sync brings all lines to the disk, and before them what they speak of. Items go
// on ending meanwhile.
func (j *journal) sync() error {
	j.turn.Lock()
	defer j.turn.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.buf
	j.buf = nil
	if j.hold && j.err == nil && len(lines) > 0 {
		j.unlocked(j.outputs.Sync)
	}
	lines = j.write(lines)
	if j.buf == nil {
		j.buf = lines
	}
	if j.dirty && j.err == nil {
		j.dirty = false
		j.unlocked(j.file.Sync)
	}
	return j.err
}

// unlocked calls f without mu, which the caller holds, and keeps its error.
func (j *journal) unlocked(f func() error) {
	err := func() error {
		j.mu.Unlock()
		defer j.mu.Lock()
		return f()
	}()
	if j.err == nil {
		j.err = err
	}
}

func (j *journal) close() error {
	return errors.Join(j.sync(), j.outputs.Close(), j.file.Close())
}

// writeJSON makes path hold v, all or nothing; durably, if asked.
func writeJSON(path string, v any, durable bool) (err error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if durable {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

// syncDir makes it durable which files are in dir.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the job's own
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// DiskError says that a file of the job could not be written.
type DiskError struct {
	What string // what was to be done
	Dir  string
	Hint string // what to try
	Err  error
}

func (e *DiskError) Error() string { return fmt.Sprintf("cannot %s in %s: %v", e.What, e.Dir, e.Err) }

// Unwrap returns Err.
func (e *DiskError) Unwrap() error { return e.Err }

func diskError(what, dir string, err error) error {
	if s, ok := errors.AsType[*durable.SyncError](err); ok {
		what, dir, err = "make the outputs durable", s.Dir, s.Err
	}
	e := &DiskError{What: what, Dir: dir, Err: err, Hint: "look at the permissions and the health of " + dir}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		e.Err, e.Hint = fmt.Errorf("the disk is full: %w", err), "free space on the disk of "+dir+" and run the job again: it goes on where it was"
	case errors.Is(err, syscall.EDQUOT):
		e.Err, e.Hint = fmt.Errorf("the disk quota is used up: %w", err), "free space or raise the quota for "+dir
	}
	return e
}
