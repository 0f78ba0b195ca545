package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork/files/durable"
)

// A file is written under a dot-name beside its own and renamed when it is
// complete. The note says of what version the part is, so that a later attempt
// can ask for the rest.
const (
	partSuffix = ".weft-part"
	noteSuffix = ".weft-note"
	noteAfter  = 1 << 20   // bytes, from which a note is written at once and not only at an error
	settleAt   = 256 << 20 // bytes, of which a power cut may cost as many
	dirMode    = 0o755
	fileMode   = 0o644
)

var errBusy = errors.New("another job writes this file")

func partName(name string) string { return path.Join(path.Dir(name), "."+path.Base(name)+partSuffix) }
func noteName(name string) string { return path.Join(path.Dir(name), "."+path.Base(name)+noteSuffix) }

// note says what a partial file is a part of.
type note struct {
	URL string `json:"url"` // as listed
	validators
	Total int64 `json:"total"` // bytes; -1: unknown

	Boot    string `json:"boot"`    // of the machine, as the note was written
	Durable int64  `json:"durable"` // bytes that were on the disk by then
}

// boot is the machine's present run; "" if that cannot be told.
var boot = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // "" says it
	return strings.TrimSpace(string(id))
})

// have is how many bytes of a part of that size are what was written to it. A power
// cut may leave holes where the disk had not come to.
func (n *note) have(size int64) int64 {
	switch {
	case n.Boot == boot() && n.Boot != "":
		return size
	case size < n.Durable:
		return 0
	}
	return n.Durable
}

// partial is a file that is being written. Its descriptor is locked, so that no
// other job writes to it.
type partial struct {
	dir   *os.Root
	name  string
	file  *os.File
	size  int64
	note  note
	noted bool // there is a note on disk
}

// openPartial opens or makes the partial file of a name, at its end.
func openPartial(dir *os.Root, name string) (*partial, error) {
	for range 3 {
		f, err := openBeside(dir, partName(name))
		if err != nil {
			return nil, fmt.Errorf("open partial file: %w", err)
		}
		p := &partial{dir: dir, name: name, file: f}
		current, err := p.lock()
		if err == nil && current {
			return p, nil
		}
		_ = f.Close() // nothing was written
		if err != nil {
			return nil, err
		}
		// Its writer renamed or removed it between our opening and locking.
	}
	return nil, errBusy
}

// openBeside opens a file for writing, and makes the directories it is in.
func openBeside(dir *os.Root, name string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	f, err := dir.OpenFile(name, flags, fileMode)
	if errors.Is(err, fs.ErrNotExist) && path.Dir(name) != "." {
		if err = dir.MkdirAll(path.Dir(name), dirMode); err == nil {
			f, err = dir.OpenFile(name, flags, fileMode)
		}
	}
	return f, err
}

// lock takes the file for this process, and reports whether it still is what
// its name means.
func (p *partial) lock() (bool, error) {
	if err := unix.Flock(int(p.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, errBusy
		}
		return false, fmt.Errorf("lock partial file: %w", err)
	}
	mine, err := p.file.Stat()
	if err != nil {
		return false, fmt.Errorf("look at partial file: %w", err)
	}
	named, err := p.dir.Lstat(partName(p.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look at partial file: %w", err)
	}
	if err != nil || !os.SameFile(mine, named) {
		return false, nil
	}
	if !mine.Mode().IsRegular() {
		return false, errors.New("the partial file is no regular file")
	}
	p.size = mine.Size()
	_, err = p.file.Seek(0, io.SeekEnd)
	return true, err
}

// openNoted opens the partial file of a name if one can be gone on with; nil if
// there is none.
func openNoted(dir *os.Root, name, url string, limit int64) (*partial, error) {
	data, err := readNote(dir, name)
	if err != nil || data == nil {
		return nil, err
	}
	p, err := openPartial(dir, name)
	if err != nil {
		return nil, err
	}
	p.noted = true
	var n note
	err = json.Unmarshal(data, &n)
	have := n.have(p.size)
	if err != nil || n.URL != url || n.condition() == "" || have <= 0 || have > limit || n.Total >= 0 && have >= n.Total {
		return p, p.restart()
	}
	p.note = n
	if err := p.shorten(have); err != nil || n.Boot == boot() {
		return p, err
	}
	return p, p.writeNote() // what comes now is of this run
}

func readNote(dir *os.Root, name string) ([]byte, error) {
	f, err := dir.Open(noteName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open note: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxLine))
	if err != nil {
		return nil, fmt.Errorf("read note: %w", err)
	}
	return data, nil
}

// restart empties the file: what was in it is of no use.
func (p *partial) restart() error {
	p.note = note{}
	if p.noted {
		p.noted = false
		if err := p.forgetNote(); err != nil {
			return err
		}
	}
	return p.shorten(0)
}

// forgetNote removes the note for good: it is not to be found after a power cut,
// beside a part of another version.
func (p *partial) forgetNote() error {
	if err := p.dir.Remove(noteName(p.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove note: %w", err)
	}
	dir, err := p.dir.Open(path.Dir(p.name))
	if err != nil {
		return fmt.Errorf("remove note: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("remove note: %w", err)
	}
	return nil
}

// shorten leaves the first bytes of the file.
func (p *partial) shorten(size int64) error {
	if p.size == size {
		return nil
	}
	p.size = size
	if err := p.file.Truncate(size); err != nil {
		return fmt.Errorf("shorten partial file: %w", err)
	}
	if _, err := p.file.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("shorten partial file: %w", err)
	}
	return nil
}

// Write adds to the file.
func (p *partial) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.size += int64(n)
	switch {
	case err != nil || p.note.condition() == "":
	case p.size-p.note.Durable >= settleAt:
		err = p.settle()
	case !p.noted && p.size >= noteAfter:
		err = p.writeNote()
	}
	return n, err
}

// settle makes what there is durable, and notes that.
func (p *partial) settle() error {
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("sync partial file: %w", err)
	}
	p.note.Durable = p.size
	return p.writeNote()
}

func (p *partial) writeNote() error {
	p.note.Boot = boot()
	data, err := json.Marshal(p.note)
	if err != nil {
		return fmt.Errorf("encode note: %w", err)
	}
	// A note that is cut off does not decode, and then the file starts again.
	if err := p.dir.WriteFile(noteName(p.name), data, fileMode); err != nil {
		return fmt.Errorf("write note: %w", err)
	}
	p.noted = true
	return nil
}

// commit gives the complete file its name.
func (p *partial) commit(fsync bool, modified time.Time) (err error) {
	defer func() {
		if closed := p.file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			p.remove()
		}
	}()
	settle := durable.Settle
	if fsync {
		settle = (*os.File).Sync
	}
	if err := settle(p.file); err != nil { // a name is of a whole file, whatever happens
		return fmt.Errorf("sync file: %w", err)
	}
	if !modified.IsZero() {
		if err := p.dir.Chtimes(partName(p.name), time.Time{}, modified); err != nil {
			return fmt.Errorf("set time of file: %w", err)
		}
	}
	if err := p.dir.Rename(partName(p.name), p.name); err != nil {
		return fmt.Errorf("rename file: %w", err)
	}
	if p.noted {
		// The file is there: a note that stays says nothing wrong.
		_ = p.dir.Remove(noteName(p.name))
	}
	return nil
}

// keep closes the file for another attempt to go on with, if one can.
func (p *partial) keep() error {
	if p.size == 0 || p.note.condition() == "" {
		return p.drop()
	}
	err := p.settle()
	if closed := p.file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		p.remove()
	}
	return err
}

// drop closes the file and removes it.
func (p *partial) drop() error {
	p.remove()
	return p.file.Close()
}

func (p *partial) remove() { removePartial(p.dir, p.name) }

// removePartial removes what is left of a name that was not finished.
func removePartial(dir *os.Root, name string) {
	_ = dir.Remove(partName(name)) // most often there is none
	_ = dir.Remove(noteName(name))
}

// clearPartial removes what is left of a name that nobody is writing.
func clearPartial(dir *os.Root, name string) {
	f, err := dir.OpenFile(partName(name), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			_ = dir.Remove(noteName(name)) // most often there is none
		}
		return
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		removePartial(dir, name)
	}
	_ = f.Close() // nothing was written
}
