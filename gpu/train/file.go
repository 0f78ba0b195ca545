package train

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// replaceFile makes path hold what write writes, durably and all or nothing: a
// crash at any instant leaves the old file or the new one. The temporary file
// is path + ".tmp"; one writer per path at a time.
func replaceFile(path string, write func(io.Writer) error) error {
	temporary := path + ".tmp"
	if err := writeSynced(temporary, write); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 256<<10)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// diskFault says in a job owner's words that a file could not be written.
func diskFault(what, path string, err error) *Fault {
	f := &Fault{
		Code:    "disk",
		Message: fmt.Sprintf("cannot write the %s %s: %v", what, path, err),
		Hint:    fmt.Sprintf("look at the permissions and the health of %s", filepath.Dir(path)),
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		f.Message = fmt.Sprintf("cannot write the %s %s: the disk is full", what, path)
		f.Hint = fmt.Sprintf("free space on the disk of %s, then weft retry", filepath.Dir(path))
	case errors.Is(err, syscall.EDQUOT):
		f.Message = fmt.Sprintf("cannot write the %s %s: the disk quota is used up", what, path)
		f.Hint = fmt.Sprintf("free space or raise the quota on the disk of %s, then weft retry", filepath.Dir(path))
	}
	return f
}
