package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Limits of what is read. The format allows headers of 100 MB; one of 16 MiB
// already names a hundred thousand tensors.
const (
	maxHeader   = 16 << 20
	maxRank     = 16
	metadataKey = "__metadata__"
)

// Tensor is one tensor's entry in a header.
type Tensor struct {
	Name  string
	DType DType
	Shape []int // empty for a scalar
	// Offset and Size are in bytes, from the start of the data.
	Offset, Size int64
}

// Elements returns the number of values, 1 for a scalar.
func (t *Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// entry is a tensor as the header's JSON has it. Pointers tell what is absent.
type entry struct {
	DType   *DType   `json:"dtype"`
	Shape   *[]int64 `json:"shape"`
	Offsets *[]int64 `json:"data_offsets"`
}

// parseHeader reads a header's JSON and checks it against the data's size.
// The tensors are returned in the order of their data.
func parseHeader(js []byte, dataSize int64) ([]Tensor, map[string]string, error) {
	if !utf8.Valid(js) {
		return nil, nil, fmt.Errorf("header is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(js))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, fmt.Errorf("header is not a JSON object")
	}
	var tensors []Tensor
	var metadata map[string]string
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("header is not JSON: %w", err)
		}
		name, _ := t.(string) // keys of an object are strings, or Token fails
		if seen[name] {
			return nil, nil, fmt.Errorf("header names %q twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("%s is not an object of strings: %w", metadataKey, err)
			}
			continue
		}
		var e entry
		if err := d.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensor, err := e.check(name, dataSize)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, tensor)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("header is not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("header goes on after its JSON object")
	}
	return tensors, metadata, checkCover(tensors, dataSize)
}

func (e *entry) check(name string, dataSize int64) (Tensor, error) {
	if e.DType == nil || e.Shape == nil || e.Offsets == nil {
		return Tensor{}, fmt.Errorf("dtype, shape or data_offsets is missing")
	}
	t := Tensor{Name: name, DType: *e.DType, Shape: make([]int, 0, min(len(*e.Shape), maxRank))}
	size := int64(t.DType.Size())
	if size == 0 {
		return t, fmt.Errorf("type %q is not supported; those that are: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL",
			t.DType)
	}
	if len(*e.Shape) > maxRank {
		return t, fmt.Errorf("%d dimensions are over the limit of %d", len(*e.Shape), maxRank)
	}
	empty := slices.Contains(*e.Shape, 0)
	for _, n := range *e.Shape {
		if n < 0 || (!empty && n > dataSize/size) || n > 1<<48 {
			return t, fmt.Errorf("shape %v does not fit the file's %d bytes of data", *e.Shape, dataSize)
		}
		size *= n // at most dataSize, by the check above, or 0 in the end
		if empty {
			size = 0
		}
		t.Shape = append(t.Shape, int(n))
	}
	if len(*e.Offsets) != 2 {
		return t, fmt.Errorf("data_offsets has %d numbers instead of 2", len(*e.Offsets))
	}
	begin, end := (*e.Offsets)[0], (*e.Offsets)[1]
	if begin < 0 || end < begin || end > dataSize {
		return t, fmt.Errorf("bytes %d to %d are not in the file's %d bytes of data", begin, end, dataSize)
	}
	if end-begin != size {
		return t, fmt.Errorf("shape %v of %s needs %d bytes, data_offsets give %d", t.Shape, t.DType, size, end-begin)
	}
	t.Offset, t.Size = begin, size
	return t, nil
}

// checkCover sorts tensors by place and refuses overlaps, holes and left-over
// bytes, where something could hide.
func checkCover(tensors []Tensor, dataSize int64) error {
	slices.SortStableFunc(tensors, func(a, b Tensor) int {
		if a.Offset != b.Offset {
			return int(min(max(a.Offset-b.Offset, -1), 1))
		}
		return int(min(max(a.Size-b.Size, -1), 1)) // empty ones first
	})
	var at int64
	for _, t := range tensors {
		switch {
		case t.Offset < at:
			return fmt.Errorf("tensor %q overlaps the one before it", t.Name)
		case t.Offset > at:
			return fmt.Errorf("%d bytes before tensor %q belong to no tensor", t.Offset-at, t.Name)
		}
		at += t.Size
	}
	if at != dataSize {
		return fmt.Errorf("%d bytes at the end belong to no tensor", dataSize-at)
	}
	return nil
}
