package files

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"strings"
)

// list yields the names in a list file.
func (w *walk) list(name string) bool {
	if err := checkName(name); err != nil {
		return w.fail(name, err)
	}
	f, problem := Open(w.Resolve(name))
	if problem != nil {
		return w.fail(name, problem)
	}
	defer func() { _ = f.Close() }() // only read
	for entry, err := range Names(f, w.Zero) {
		if err != nil {
			return w.fail(name, Error("read list", err))
		}
		if !w.argument(entry) {
			return false
		}
	}
	return true
}

// Names yields the names in a list that end with a newline, or with a zero byte;
// the last may do without. Empty ones are left out. Of a name longer than a path
// can be, its first 4096 bytes are yielded. An error of r ends the list.
func Names(r io.Reader, zero bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		end := byte('\n')
		if zero {
			end = 0
		}
		in := bufio.NewReaderSize(r, 64<<10)
		for {
			name, err := readName(in, end)
			if name != "" && !yield(name, nil) {
				return
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
		}
	}
}

// readName reads up to the end byte, keeping maxName bytes at most.
func readName(in *bufio.Reader, end byte) (string, error) {
	var name strings.Builder
	for {
		piece, err := in.ReadSlice(end)
		if err == nil {
			piece = piece[:len(piece)-1]
		}
		name.Write(piece[:min(len(piece), maxName-name.Len())])
		if !errors.Is(err, bufio.ErrBufferFull) {
			return name.String(), err
		}
	}
}
