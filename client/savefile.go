package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"weft/daemon/api"
)

// saveFile writes what fill writes to a file that appears whole or not at all:
// under a temporary name beside it, fsynced, then renamed. An existing file
// is left alone unless force is set.
func saveFile(name string, force bool, fill func(io.Writer) error) (err error) {
	if err := mayCreate(name, force); err != nil {
		return err
	}
	tmp, err := createBeside(name)
	if err != nil {
		return saveError("create", name, err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := fill(tmp); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return saveError("write", name, err)
	}
	if err := tmp.Close(); err != nil {
		return saveError("write", name, err)
	}
	if force {
		err = os.Rename(tmp.Name(), name)
	} else {
		// A hard link, unlike a rename, fails where somebody made the name
		// meanwhile.
		if err = os.Link(tmp.Name(), name); err == nil {
			os.Remove(tmp.Name())
		} else if !errors.Is(err, fs.ErrExist) {
			err = os.Rename(tmp.Name(), name) // a file system without links
		}
	}
	if err != nil {
		return saveError("write", name, err)
	}
	return syncDir(filepath.Dir(name))
}

// createBeside creates a file next to name, with the permissions that the
// user's umask leaves, which os.CreateTemp would not.
func createBeside(name string) (*os.File, error) {
	for {
		tmp := fmt.Sprintf("%s/.%s.%08x", filepath.Dir(name), filepath.Base(name),
			rand.Uint32()) // #nosec G404 -- O_EXCL guards
		// #nosec G302 -- the user's own file, as the umask has it
		f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// mayCreate finds out before the work is done that it could not be kept.
func mayCreate(name string, force bool) error {
	fi, err := os.Stat(name)
	switch {
	case err == nil && fi.IsDir():
		return usagef("name a file in it", "%s is a directory", name)
	case err == nil && !force:
		return &exitError{code: exitFailed, message: name + " exists already", hint: "--force replaces it"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return saveError("create", name, err)
	}
	return nil
}

func saveError(verb, name string, err error) error {
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	} else if errors.As(err, &linkErr) {
		err = linkErr.Err
	}
	return fmt.Errorf("%s %s: %w", verb, name, err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// copyBody copies an answer of known size (-1: unknown) and notices when it
// ended early.
func copyBody(w io.Writer, body io.Reader, size int64) error {
	n, err := io.Copy(w, body)
	if errors.Is(err, io.ErrUnexpectedEOF) || (err == nil && size >= 0 && n != size) {
		return &api.Error{Code: api.CodeUnavailable,
			Message: fmt.Sprintf("the daemon's answer broke off after %d bytes", n),
			Hint:    "the same command once more"}
	}
	if err != nil {
		return fmt.Errorf("copy answer: %w", err)
	}
	return nil
}
