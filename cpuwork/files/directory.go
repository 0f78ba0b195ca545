package files

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"weft/cpuwork"
)

// What an entry of a directory is, as far as the directory itself knows.
const (
	kindFile byte = iota
	kindDirectory
	kindLink
)

// names are a directory's entries without one object each: text has a kind byte
// and the name for each of the places.
type names struct {
	text   []byte
	places []span
}

type span struct{ start, end uint32 }

func (n *names) add(kind byte, name string) error {
	if len(n.text)+len(name) >= 1<<32 {
		return errors.New("the directory is too large")
	}
	start := len(n.text)
	n.text = append(append(n.text, kind), name...)
	n.places = append(n.places, span{uint32(start), uint32(len(n.text))}) // #nosec G115 -- checked above
	return nil
}

func (n *names) sort() {
	slices.SortFunc(n.places, func(a, b span) int {
		return bytes.Compare(n.text[a.start+1:a.end], n.text[b.start+1:b.end])
	})
}

// directory yields what is in a directory, in order of the names' bytes. Sockets,
// pipes and devices are no files that a tree is asked for, and left out.
func (w *walk) directory(name string, info os.FileInfo) bool {
	if slices.ContainsFunc(w.above, func(d os.FileInfo) bool { return os.SameFile(d, info) }) {
		return w.fail(name, cpuwork.Failf("loop", "", "a symbolic link leads back to a directory above it"))
	}
	w.above = append(w.above, info)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	content, failed := w.read(name)
	for _, place := range content.places {
		kind, base := content.text[place.start], string(content.text[place.start+1:place.end])
		below := strings.TrimSuffix(name, "/") + "/" + base
		if !w.below(kind, below) {
			return false
		}
	}
	// What could be read of it was yielded; the rest is told.
	return failed == nil || w.fail(name, Error("read directory", failed))
}

// below yields an entry of a directory.
func (w *walk) below(kind byte, name string) bool {
	if kind == kindFile {
		return w.yield(Entry{Name: name, Path: w.Resolve(name)})
	}
	info, err := os.Stat(w.Resolve(name))
	switch {
	case err != nil:
		return w.fail(name, Error("read", err))
	case info.IsDir():
		return w.directory(name, info)
	case info.Mode().IsRegular():
		return w.yield(Entry{Name: name, Path: w.Resolve(name)})
	}
	return true
}

// read reads a directory, in pieces, and sorts it.
func (w *walk) read(name string) (content names, err error) {
	f, err := os.Open(w.Resolve(name))
	if err != nil {
		return content, err
	}
	defer func() { _ = f.Close() }() // only read
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			kind, take := w.wants(e)
			if !take {
				continue
			}
			if err := content.add(kind, e.Name()); err != nil {
				return content, err
			}
		}
		if err != nil {
			content.sort()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return content, err
		}
	}
}

func (w *walk) wants(e fs.DirEntry) (kind byte, take bool) {
	if !w.Hidden && strings.HasPrefix(e.Name(), ".") {
		return 0, false
	}
	switch e.Type() {
	case 0:
		return kindFile, true
	case fs.ModeDir:
		return kindDirectory, true
	case fs.ModeSymlink:
		return kindLink, w.Follow
	}
	return 0, false
}

// glob yields what a pattern matches.
func (w *walk) glob(pattern string) bool {
	if err := checkName(pattern); err != nil {
		return w.fail(pattern, err)
	}
	prefix := ""
	if w.Dir != "" && !filepath.IsAbs(pattern) {
		prefix = strings.TrimSuffix(w.Dir, "/") + "/"
	}
	matches, err := filepath.Glob(quoteMeta(prefix) + pattern)
	if err != nil {
		return w.fail(pattern, cpuwork.Failf("bad_pattern", `a bracket is written \[`, "the pattern is malformed"))
	}
	found := false
	for _, match := range matches {
		name := strings.TrimPrefix(match, prefix)
		if !w.Hidden && hiddenIn(name, pattern) {
			continue
		}
		found = true
		if !w.argument(name) {
			return false
		}
	}
	return found || w.fail(pattern, cpuwork.Failf("no_match", "", "the pattern matches no file"))
}

// quoteMeta returns a pattern that matches the path only.
func quoteMeta(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// hiddenIn says whether a part of the name begins with a dot where the pattern's
// part does not, as shells ask for.
func hiddenIn(name, pattern string) bool {
	parts, wanted := strings.Split(name, "/"), strings.Split(filepath.Clean(pattern), "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ".") && i < len(wanted) && !strings.HasPrefix(strings.TrimPrefix(wanted[i], `\`), ".") {
			return true
		}
	}
	return false
}
