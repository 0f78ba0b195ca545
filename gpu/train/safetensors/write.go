package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// Blob is a tensor to write. Exactly one of F32, I64 and Raw holds its values
// in row-major order; their number must be the shape's product.
type Blob struct {
	Name  string
	Shape []int // empty for a scalar

	F32 []float32
	I64 []int64
	Raw []byte // written as U8
}

// DType returns the type b is written as.
func (b *Blob) DType() DType {
	switch {
	case b.I64 != nil:
		return I64
	case b.Raw != nil:
		return U8
	default:
		return F32
	}
}

func (b *Blob) len() int { return len(b.F32) + len(b.I64) + len(b.Raw) }

// Write writes a container. Wider types come first, so that every tensor is
// aligned for readers that map the file, and blobs of one type stay in the
// given order: equal arguments give equal bytes.
func Write(w io.Writer, metadata map[string]string, blobs []Blob) error {
	sorted := slices.Clone(blobs)
	slices.SortStableFunc(sorted, func(a, b Blob) int { return b.DType().Size() - a.DType().Size() })
	header, err := marshalHeader(metadata, sorted)
	if err != nil {
		return err
	}
	var prefix [8]byte
	binary.LittleEndian.PutUint64(prefix[:], uint64(len(header)))
	if _, err := w.Write(append(prefix[:], header...)); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	buf := make([]byte, 0, 64<<10)
	for i := range sorted {
		if err := sorted[i].writeTo(w, buf); err != nil {
			return fmt.Errorf("write tensor %q: %w", sorted[i].Name, err)
		}
	}
	return nil
}

// marshalHeader returns the JSON header, padded with spaces so that the data
// starts at a multiple of 8.
func marshalHeader(metadata map[string]string, blobs []Blob) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(metadata) > 0 {
		b.WriteString(`"` + metadataKey + `":{`)
		for i, k := range slices.Sorted(maps.Keys(metadata)) {
			comma(&b, i)
			fmt.Fprintf(&b, "%s:%s", quote(k), quote(metadata[k]))
		}
		b.WriteByte('}')
	}
	seen := map[string]bool{metadataKey: true}
	var at int64
	for i := range blobs {
		t := &blobs[i]
		if seen[t.Name] {
			return nil, fmt.Errorf("write header: name %q is taken", t.Name)
		}
		seen[t.Name] = true
		elements := 1
		for _, d := range t.Shape {
			elements *= d
		}
		if elements != t.len() {
			return nil, fmt.Errorf("write header: tensor %q of shape %v has %d values", t.Name, t.Shape, t.len())
		}
		end := at + int64(elements*t.DType().Size())
		shape, _ := json.Marshal(append([]int{}, t.Shape...)) // ints cannot fail
		comma(&b, b.Len()-1)
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, quote(t.Name), t.DType(), shape, at, end)
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, fmt.Errorf("write header: %d bytes are over the limit of %d", b.Len(), maxHeader)
	}
	return b.Bytes(), nil
}

func comma(b *bytes.Buffer, before int) {
	if before > 0 {
		b.WriteByte(',')
	}
}

func quote(s string) []byte {
	js, _ := json.Marshal(s) // strings cannot fail
	return js
}

// writeTo writes the values in pieces through buf's capacity.
func (b *Blob) writeTo(w io.Writer, buf []byte) error {
	le := binary.LittleEndian
	switch b.DType() {
	case U8:
		_, err := w.Write(b.Raw)
		return err
	case I64:
		for part := range slices.Chunk(b.I64, cap(buf)/8) {
			out := buf[:0]
			for _, x := range part {
				out = le.AppendUint64(out, uint64(x))
			}
			if _, err := w.Write(out); err != nil {
				return err
			}
		}
	default:
		for part := range slices.Chunk(b.F32, cap(buf)/4) {
			out := buf[:0]
			for _, x := range part {
				out = le.AppendUint32(out, math.Float32bits(x))
			}
			if _, err := w.Write(out); err != nil {
				return err
			}
		}
	}
	return nil
}
