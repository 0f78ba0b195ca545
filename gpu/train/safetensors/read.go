package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
)

// File is an open container. Its methods may be called concurrently, Close
// excepted.
type File struct {
	// Tensors are in the order of their data.
	Tensors []Tensor
	// Metadata is the header's map of strings, nil when it has none.
	Metadata map[string]string

	byName map[string]int
	data   io.ReaderAt
	start  int64 // of the data
	closer io.Closer
}

// Open opens a file and checks its header against its size. Errors say what is
// wrong with the file; the caller adds which file it is unless opening failed.
func Open(path string) (*File, error) {
	o, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := o.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file")
	}
	if err != nil {
		o.Close()
		return nil, err
	}
	f, err := NewReader(o, info.Size())
	if err != nil {
		o.Close()
		return nil, err
	}
	f.closer = o
	return f, nil
}

// NewReader reads the container of that many bytes in r. Tensors are read from
// r when asked for.
func NewReader(r io.ReaderAt, size int64) (*File, error) {
	if size < 8 {
		return nil, fmt.Errorf("not a safetensors file: %d bytes are too few", size)
	}
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("read header length: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return nil, fmt.Errorf("not a safetensors file: a header of %d bytes is over the limit of %d", length, maxHeader)
	}
	if int64(length) > size-8 {
		return nil, fmt.Errorf("file is cut short: the header needs %d bytes, %d are there", length, size-8)
	}
	js := make([]byte, length)
	if _, err := r.ReadAt(js, 8); err != nil && (err != io.EOF || length != 0) {
		return nil, fmt.Errorf("read header: %w", err)
	}
	start := 8 + int64(length)
	tensors, metadata, err := parseHeader(js, size-start)
	if err != nil {
		return nil, fmt.Errorf("not a valid safetensors file: %w", err)
	}
	f := &File{Tensors: tensors, Metadata: metadata, data: r, start: start, byName: make(map[string]int, len(tensors))}
	for i, t := range tensors {
		f.byName[t.Name] = i
	}
	return f, nil
}

// Close closes the file that [Open] opened.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Lookup returns the tensor of that name.
func (f *File) Lookup(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// Float32s returns a tensor's values in row-major order as float32, whatever
// its type. F32, F16, BF16 and small integers convert exactly, bit for bit;
// F64 and wide integers are rounded to nearest.
func (f *File) Float32s(name string) ([]float32, error) {
	t, err := f.find(name)
	if err != nil {
		return nil, err
	}
	dst := make([]float32, t.Elements())
	return dst, f.ReadFloat32s(name, dst)
}

// ReadFloat32s is Float32s into dst, which must have the tensor's length.
func (f *File) ReadFloat32s(name string, dst []float32) error {
	t, err := f.find(name)
	if err != nil {
		return err
	}
	if len(dst) != t.Elements() {
		return fmt.Errorf("tensor %q has %d values, want %d", name, t.Elements(), len(dst))
	}
	return f.chunks(t, func(first int, b []byte) {
		n := len(b) / t.DType.Size()
		t.DType.float32s(dst[first:first+n], b)
	})
}

// Int64s returns the values of a tensor of integers or booleans in row-major
// order; other types are refused rather than rounded.
func (f *File) Int64s(name string) ([]int64, error) {
	t, err := f.find(name)
	if err != nil {
		return nil, err
	}
	if !t.DType.integer() {
		return nil, fmt.Errorf("tensor %q holds %s, not integers", name, t.DType)
	}
	dst := make([]int64, t.Elements())
	err = f.chunks(t, func(first int, b []byte) {
		for i := range len(b) / t.DType.Size() {
			dst[first+i] = t.DType.int64(b, i)
		}
	})
	return dst, err
}

// Bytes returns a tensor's little-endian bytes.
func (f *File) Bytes(name string) ([]byte, error) {
	t, err := f.find(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, t.Size)
	if err := f.readAt(t, b, 0); err != nil {
		return nil, err
	}
	return b, nil
}

func (f *File) find(name string) (*Tensor, error) {
	if i, ok := f.byName[name]; ok {
		return &f.Tensors[i], nil
	}
	names := make([]string, 0, 8)
	for _, t := range f.Tensors[:min(len(f.Tensors), 8)] {
		names = append(names, t.Name)
	}
	return nil, fmt.Errorf("no tensor %q in the file; it has: %s", name, strings.Join(names, ", "))
}

// chunks hands over a tensor's bytes in pieces of whole elements, with the
// index of each piece's first element.
func (f *File) chunks(t *Tensor, use func(first int, b []byte)) error {
	const chunk = 256 << 10 // a multiple of every element size
	buf := make([]byte, min(t.Size, chunk))
	for at := int64(0); at < t.Size; at += chunk {
		b := buf[:min(t.Size-at, chunk)]
		if err := f.readAt(t, b, at); err != nil {
			return err
		}
		use(int(at)/t.DType.Size(), b)
	}
	return nil
}

func (f *File) readAt(t *Tensor, b []byte, at int64) error {
	if n, err := f.data.ReadAt(b, f.start+t.Offset+at); n < len(b) {
		return fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	return nil
}
