package dataset

import (
	"encoding/binary"
	"io"
)

// readNPY reads one array as numpy.save writes it, format versions 1 to 3
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
// Arrays of objects would need unpickling and are refused.
func readNPY(in *input, lim limits) (*array, error) {
	text, offset, err := npyHeaderText(in, lim)
	if err != nil {
		return nil, err
	}
	h, err := parseNPYHeader(text)
	if err != nil {
		return nil, bad("write it again with numpy.save", "%s: header: %v", in.name, err)
	}
	e, err := npyElement(in.name, h.descr)
	if err != nil {
		return nil, err
	}
	if len(h.shape) < 1 || len(h.shape) > maxRank {
		return nil, bad("an array for training has one to four dimensions, rows first",
			"%s: an array of %s", in.name, count(int64(len(h.shape)), "dimension"))
	}
	a := &array{name: in.name, shape: h.shape}
	if err := a.readElements(in, e, offset, lim); err != nil {
		return nil, err
	}
	if h.fortran && len(h.shape) > 1 {
		a.data = rowMajor(a.data, h.shape)
	}
	return a, nil
}

// npyHeaderText returns the header's text and where the elements start.
func npyHeaderText(in *input, lim limits) (string, int64, error) {
	const magic = "\x93NUMPY"
	var head [8]byte
	n, err := io.ReadFull(in.r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", 0, err
	}
	if string(head[:min(n, 6)]) != magic {
		hint := "write it with numpy.save"
		if string(head[:2]) == "PK" {
			hint = "an .npz holds several arrays: load it and save each with numpy.save"
		}
		return "", 0, bad(hint, "%s: not a NumPy array", in.name)
	}
	lengthBytes := int64(2)
	switch major := head[6]; {
	case n == 8 && (major == 2 || major == 3):
		lengthBytes = 4
	case n == 8 && major != 1:
		return "", 0, bad("write it again with numpy.save", "%s: NPY version %d is not known", in.name, major)
	}
	var length [4]byte
	if _, err := io.ReadFull(in.r, length[:lengthBytes]); err != nil {
		return "", 0, idxCut(in, err)
	}
	size := int64(binary.LittleEndian.Uint32(length[:])) // two-byte lengths leave zeros above
	if size > lim.headerBytes {
		return "", 0, bad("write it again with numpy.save",
			"%s: a header of %d bytes is over the limit of %d", in.name, size, lim.headerBytes)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(in.r, text); err != nil {
		return "", 0, idxCut(in, err)
	}
	return string(text), int64(len(head)) + lengthBytes + size, nil
}

// npyElement returns the element type of a NumPy type string such as "<f4".
func npyElement(name, descr string) (*element, error) {
	types := map[string]element{
		"f2": float16, "f4": float32Element, "f8": float64Element,
		"i1": int8Element, "i2": int16Element, "i4": int32Element, "i8": int64Element,
		"u1": uint8Element, "u2": uint16Element, "u4": uint32Element, "u8": uint64Element,
		"b1": boolElement,
	}
	if len(descr) > 1 {
		if e, ok := types[descr[1:]]; ok {
			switch descr[0] {
			case '<', '|', '=':
				e.order = binary.LittleEndian
				return &e, nil
			case '>':
				e.order = binary.BigEndian
				return &e, nil
			}
		}
		if descr[1] == 'O' {
			return nil, bad("save numbers: numpy.save(f, a.astype('float32')); objects would need unpickling",
				"%s: holds Python objects", name)
		}
	}
	return nil, bad("save numbers: numpy.save(f, a.astype('float32'))",
		"%s: elements of type %q cannot be read", name, clip(descr))
}

// rowMajor returns data, whose first dimension varies fastest, with the last
// dimension varying fastest.
func rowMajor(data []float32, shape []int64) []float32 {
	out := make([]float32, len(data))
	index := make([]int64, len(shape))
	stride := make([]int64, len(shape)) // in data
	for d, s := 0, int64(1); d < len(shape); d++ {
		stride[d] = s
		s *= shape[d]
	}
	from := int64(0)
	for i := range out {
		out[i] = data[from]
		for d := len(shape) - 1; d >= 0; d-- {
			index[d]++
			from += stride[d]
			if index[d] < shape[d] {
				break
			}
			from -= index[d] * stride[d]
			index[d] = 0
		}
	}
	return out
}

// npy reads features and target from two files.
func (l *load) npy(spec *Spec, task Task) (*table, error) {
	read := func(in *input) (*array, error) { return readNPY(in, l.lim) }
	return l.arrays(spec, task, read, read)
}
