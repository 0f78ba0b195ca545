package proc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Seals: what nobody, in no process, can do to an arena any more.
const (
	sizeSeals  = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	writeSeals = sizeSeals | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
)

// Arena is memory that several processes map: an anonymous file (memfd) whose
// descriptor travels in a frame. Its size never changes, which is what keeps one
// process from faulting another by truncating it.
//
// An arena is written by whoever holds it, with no more order between processes
// than the frames they exchange, until one seals it. Its methods are not for
// concurrent use; its bytes are, as any memory.
type Arena struct {
	name   string
	file   *os.File
	mem    []byte // the mapping; nil after Close
	sealed bool   // mapped for reading, and nobody can write
}

// NewArena returns size bytes of shared memory, zeroed. The name is for people
// who look into /proc.
func NewArena(name string, size int64) (*Arena, error) {
	if size <= 0 || size > math.MaxInt {
		return nil, fmt.Errorf("make arena %s: %d bytes cannot be mapped", name, size)
	}
	file, err := memfd(name)
	if err != nil {
		return nil, err
	}
	a, err := fill(name, file, size)
	if err != nil {
		_ = file.Close() // the first error is returned
		return nil, err
	}
	return a, nil
}

func memfd(name string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("make arena %s: memfd: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "arena "+name), nil
}

// fill gives the empty file its size for good, and maps it.
func fill(name string, file *os.File, size int64) (*Arena, error) {
	if err := file.Truncate(size); err != nil {
		return nil, fmt.Errorf("make arena %s: %w", name, err)
	}
	a := &Arena{name: name, file: file}
	if err := a.addSeals(sizeSeals); err != nil {
		return nil, err
	}
	if err := a.mapAt(nil, size); err != nil {
		return nil, err
	}
	return a, nil
}

// OpenArena maps an arena received from another process and takes file over,
// also when it fails. A file whose size could still change is refused. Unless
// the arena is sealed the other side may change the bytes at any time: check
// what you copied, not what you are about to copy.
func OpenArena(file *os.File) (*Arena, error) {
	return openArena(file, sizeSeals)
}

// OpenSealed is OpenArena for an arena that must be immutable: one that was not
// sealed with [Arena.Seal] is refused.
func OpenSealed(file *os.File) (*Arena, error) {
	return openArena(file, writeSeals)
}

func openArena(file *os.File, demand int) (*Arena, error) {
	a, err := mapArena(file, demand)
	if err != nil {
		_ = file.Close() // the first error is returned
		return nil, fmt.Errorf("open arena: %w", err)
	}
	return a, nil
}

func mapArena(file *os.File, demand int) (*Arena, error) {
	a := &Arena{name: file.Name(), file: file}
	var seals int
	err := a.control(func(fd uintptr) (err error) {
		seals, err = unix.FcntlInt(fd, unix.F_GET_SEALS, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read seals (it must be a memfd): %w", err)
	}
	if missing := demand &^ seals; missing != 0 {
		return nil, fmt.Errorf("its owner could still change it: seals %#x are missing", missing)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() <= 0 || info.Size() > math.MaxInt {
		return nil, fmt.Errorf("%d bytes cannot be mapped", info.Size())
	}
	a.sealed = seals&unix.F_SEAL_WRITE != 0
	return a, a.mapAt(nil, info.Size())
}

// Bytes returns the memory; reading only if [Arena.Sealed]. The slice must not
// be used after Close: that would fault. Bytes itself panics then.
func (a *Arena) Bytes() []byte {
	if a.mem == nil {
		panic("proc: arena " + a.name + " used after Close")
	}
	return a.mem
}

// Size returns the length of the memory in bytes; 0 after Close.
func (a *Arena) Size() int64 { return int64(len(a.mem)) }

// File returns the arena's file, to be sent with a frame. It stays the arena's.
func (a *Arena) File() *os.File { return a.file }

// Sealed reports whether the bytes can no longer change.
func (a *Arena) Sealed() bool { return a.sealed }

// Seal makes the arena immutable for every process, for good. Slices of it stay
// valid for reading, and fault when written. It fails while another process has
// the arena mapped for writing.
func (a *Arena) Seal() error {
	if a.sealed {
		return nil
	}
	mem := a.Bytes()
	start := unsafe.Pointer(unsafe.SliceData(mem))
	// A write seal wants no writable mapping to exist. The new mapping replaces
	// the old one in place, so that no slice dangles for an instant.
	a.sealed = true
	err := a.mapAt(start, int64(len(mem)))
	if err == nil {
		if err = a.addSeals(writeSeals); err == nil {
			return nil
		}
	}
	a.sealed = false
	return errors.Join(fmt.Errorf("seal arena %s: %w", a.name, err), a.mapAt(start, int64(len(mem))))
}

// Close unmaps the memory and closes the file. Other processes keep theirs.
func (a *Arena) Close() error {
	if a.mem == nil {
		return nil
	}
	mem := a.mem
	a.mem = nil
	err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
	if err = errors.Join(err, a.file.Close()); err != nil {
		return fmt.Errorf("close arena %s: %w", a.name, err)
	}
	return nil
}

// mapAt maps the file, at the address start unless that is nil. A sealed arena
// is mapped privately: nobody can change the pages, and before Linux 6.7 a
// write seal forbids shared mappings even for reading.
func (a *Arena) mapAt(start unsafe.Pointer, size int64) error {
	prot, flags := unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED
	if a.sealed {
		prot, flags = unix.PROT_READ, unix.MAP_PRIVATE
	}
	if start != nil {
		flags |= unix.MAP_FIXED
	}
	return a.control(func(fd uintptr) error {
		p, err := unix.MmapPtr(int(fd), 0, start, uintptr(size), prot, flags)
		if err != nil {
			return fmt.Errorf("map %d bytes: %w", size, err)
		}
		a.mem = unsafe.Slice((*byte)(p), size)
		return nil
	})
}

func (a *Arena) addSeals(seals int) error {
	return a.control(func(fd uintptr) error {
		if _, err := unix.FcntlInt(fd, unix.F_ADD_SEALS, seals); err != nil {
			return fmt.Errorf("add seals %#x: %w", seals, err)
		}
		return nil
	})
}

// control runs f with the descriptor; [os.File.Fd] would change its mode.
func (a *Arena) control(f func(fd uintptr) error) error {
	raw, err := a.file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = f(fd) }); err != nil {
		return err
	}
	return result
}
