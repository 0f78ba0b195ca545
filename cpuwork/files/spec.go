package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"weft/cpuwork"
)

// maxName is how long a path may be on Linux, its end included (PATH_MAX).
const maxName = 4096

// A Name is a path as the system knows it: any bytes but zero. In JSON it is a
// string or, where it is not UTF-8, {"bytes": base64}.
type Name string

// MarshalJSON implements [json.Marshaler].
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(rawName{[]byte(n)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Name) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*n = Name(text)
		return nil
	}
	var raw rawName
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("parse file name: want a string or {\"bytes\": base64}: %w", err)
	}
	*n = Name(raw.Bytes)
	return nil
}

type rawName struct {
	Bytes []byte `json:"bytes"`
}

// A Spec says which files a job reads.
type Spec struct {
	Dir   string `json:"dir,omitempty"`   // relative names are relative to it; absolute
	Paths []Name `json:"paths,omitempty"` // files and directories
	Globs []Name `json:"globs,omitempty"` // patterns of path/filepath.Match
	Lists []Name `json:"lists,omitempty"` // files with a name a line
	Zero  bool   `json:"zero,omitempty"`  // names in lists end with a zero byte

	Recursive bool `json:"recursive,omitempty"` // take directories for what is in them
	Follow    bool `json:"follow,omitempty"`    // also through symbolic links found in them
	Hidden    bool `json:"hidden,omitempty"`    // also what begins with a dot in them

	frozen string // path of the list as it was; "": it is made anew. See Freeze.
}

// Check says what is wrong with s, without looking at the files.
func (s *Spec) Check() error {
	if len(s.Paths)+len(s.Globs)+len(s.Lists) == 0 {
		return errors.New("check files: none given\ntry: name files, or directories with --recursive")
	}
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("check files: directory %q is not absolute", s.Dir)
	}
	return nil
}

// An Entry is one file of a list.
type Entry struct {
	Name string             // as given or, in a directory, below the name given
	Path string             // what to open
	Err  *cpuwork.ItemError // why it cannot be had; nil: nothing is known against it
}

// All yields the files. It ends early when ctx ends, which the caller sees by
// asking ctx.
func (s *Spec) All(ctx context.Context) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		w := &walk{Spec: s, yield: func(e Entry) bool { return ctx.Err() == nil && yield(e) }}
		if s.frozen != "" {
			w.thaw(s.frozen)
			return
		}
		for _, name := range s.Paths {
			if !w.argument(string(name)) {
				return
			}
		}
		for _, pattern := range s.Globs {
			if !w.glob(string(pattern)) {
				return
			}
		}
		for _, list := range s.Lists {
			if !w.list(string(list)) {
				return
			}
		}
	}
}

// A walk is one run over a list. Its methods report whether to go on.
type walk struct {
	*Spec
	yield func(Entry) bool
	above []os.FileInfo // directories that we are in
}

// Resolve returns the path to open for a name.
func (s *Spec) Resolve(name string) string {
	if s.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	// Not filepath.Join: with symbolic links, a/../b is not b.
	return strings.TrimSuffix(s.Dir, "/") + "/" + name
}

func (w *walk) fail(name string, err *cpuwork.ItemError) bool {
	return w.yield(Entry{Name: name, Path: w.Resolve(name), Err: err})
}

// argument yields a name that was given: the file, or what is in the directory.
func (w *walk) argument(name string) bool {
	if err := checkName(name); err != nil {
		return w.fail(name, err)
	}
	path := w.Resolve(name)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return w.fail(name, Error("read", err))
	case !info.IsDir():
		return w.yield(Entry{Name: name, Path: path})
	case !w.Recursive:
		return w.fail(name, cpuwork.Failf("is_directory", "--recursive takes the files in it", "it is a directory"))
	}
	return w.directory(name, info)
}

func checkName(name string) *cpuwork.ItemError {
	switch {
	case name == "":
		return cpuwork.Failf("bad_name", "", "the name is empty")
	case strings.IndexByte(name, 0) >= 0:
		return cpuwork.Failf("bad_name", "lists made by find -print0 need --null", "the name has a zero byte in it")
	case len(name) >= maxName:
		return cpuwork.Failf("bad_name", "", "the name is longer than %d bytes", maxName-1)
	}
	return nil
}

// Open opens a regular file to be read, and nothing that would have to be waited
// for.
func Open(path string) (*os.File, *cpuwork.ItemError) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Error("open", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		_ = f.Close() // the first error is told
		return nil, Error("open", err)
	case info.IsDir():
		_ = f.Close() // only opened
		return nil, cpuwork.Failf("is_directory", "", "it is a directory")
	case !info.Mode().IsRegular():
		_ = f.Close() // only opened
		return nil, cpuwork.Failf("not_regular", "name a file with the same content", "it is a pipe or a device")
	}
	return f, nil
}

// Error is the item's error for a failed operation on a file. The path is left
// out of its message: the item has it for a name.
func Error(verb string, err error) *cpuwork.ItemError {
	var cause error = err
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		cause = pathError.Err
	}
	code := "unreadable"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = "not_found"
	case errors.Is(err, fs.ErrPermission):
		code = "permission_denied"
	case errors.Is(err, syscall.ELOOP):
		code = "loop"
	case errors.Is(err, syscall.ENAMETOOLONG):
		code = "bad_name"
	}
	return cpuwork.Failf(code, "", "%s: %v", verb, cause)
}
