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
)

// journal is the result file, which is only ever appended to. The lines of an
// instant are written together: add is for one goroutine, sync for another.
type journal struct {
	file *os.File

	mu     sync.Mutex // guards the fields below
	buf    []byte     // lines that are not written yet
	length int64      // of the file, all of it whole lines
	err    error      // the first failure: nothing is written after it
}

// Sizes.
const (
	writeAt   = 64 << 10 // lines are written when they have come to this
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
	return &journal{file: file, length: length}, nil
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
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf = append(append(j.buf, text...), '\n')
	if len(j.buf) >= writeAt {
		j.write()
	}
	return j.err
}

// write writes what has come together. If that fails in the midst of a line, the
// file is cut back: it only ever holds whole lines. The caller holds mu.
func (j *journal) write() {
	if j.err != nil || len(j.buf) == 0 {
		return
	}
	n, err := j.file.Write(j.buf)
	whole := bytes.LastIndexByte(j.buf[:n], '\n') + 1
	j.length += int64(whole)
	j.buf = j.buf[:0]
	if err != nil {
		j.err = errors.Join(err, j.file.Truncate(j.length))
	}
}

// sync brings all lines to the disk.
func (j *journal) sync() error {
	j.mu.Lock()
	dirty := len(j.buf) > 0
	j.write()
	err := j.err
	j.mu.Unlock()
	if err != nil || !dirty {
		return err
	}
	return j.file.Sync() // without mu: items go on ending meanwhile
}

func (j *journal) close() error {
	j.mu.Lock()
	j.write()
	err := j.err
	j.mu.Unlock()
	if err != nil {
		return errors.Join(err, j.file.Close())
	}
	return errors.Join(j.file.Sync(), j.file.Close())
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
	e := &DiskError{What: what, Dir: dir, Err: err, Hint: "look at the permissions and the health of " + dir}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		e.Err, e.Hint = fmt.Errorf("the disk is full: %w", err), "free space on the disk of "+dir+" and run the job again: it goes on where it was"
	case errors.Is(err, syscall.EDQUOT):
		e.Err, e.Hint = fmt.Errorf("the disk quota is used up: %w", err), "free space or raise the quota for "+dir
	}
	return e
}
