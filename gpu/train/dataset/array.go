package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// array is a tensor of a file, row-major, as float32.
type array struct {
	name  string  // of the file, for messages
	what  string  // "images" and such: what one row is called; "row" by default
	shape []int64 // rows first
	data  []float32
	whole bool // it was read from integers, so every number is finite
}

// rowSize returns the elements of one row.
func (a *array) rowSize() int64 {
	n, _ := product(a.shape[1:])
	return n
}

// element is a number type in a file.
type element struct {
	size   int
	float  bool
	order  binary.ByteOrder
	value  func(order binary.ByteOrder, b []byte) float32 // of the first element in b
	lookup *[256]float32                                  // for one-byte types, instead of value
}

// decode converts len(dst) elements of b.
func (e *element) decode(dst []float32, b []byte) {
	if e.lookup != nil {
		for i, v := range b[:len(dst)] {
			dst[i] = e.lookup[v]
		}
		return
	}
	for i := range dst {
		dst[i] = e.value(e.order, b[i*e.size:])
	}
}

// The number types. Wide integers and doubles are rounded to nearest.
var (
	float16 = element{size: 2, float: true, value: func(o binary.ByteOrder, b []byte) float32 {
		return half(o.Uint16(b))
	}}
	float32Element = element{size: 4, float: true, value: func(o binary.ByteOrder, b []byte) float32 {
		return math.Float32frombits(o.Uint32(b))
	}}
	float64Element = element{size: 8, float: true, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(math.Float64frombits(o.Uint64(b)))
	}}
	int16Element = element{size: 2, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(int16(o.Uint16(b)))
	}}
	int32Element = element{size: 4, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(int32(o.Uint32(b)))
	}}
	int64Element = element{size: 8, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(int64(o.Uint64(b)))
	}}
	uint16Element = element{size: 2, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(o.Uint16(b))
	}}
	uint32Element = element{size: 4, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(o.Uint32(b))
	}}
	uint64Element = element{size: 8, value: func(o binary.ByteOrder, b []byte) float32 {
		return float32(o.Uint64(b))
	}}

	uint8Element = byteElement(func(b byte) float32 { return float32(b) })
	int8Element  = byteElement(func(b byte) float32 { return float32(int8(b)) })
	boolElement  = byteElement(func(b byte) float32 {
		if b != 0 {
			return 1
		}
		return 0
	})
	// pixelElement maps 0..255 to [0, 1] as torchvision's ToTensor does.
	pixelElement = byteElement(func(b byte) float32 { return float32(b) / 255 })
)

func byteElement(value func(byte) float32) element {
	table := new([256]float32)
	for i := range table {
		table[i] = value(byte(i))
	}
	return element{size: 1, lookup: table}
}

// half converts an IEEE 754 binary16, exactly.
func half(h uint16) float32 {
	magnitude := h & 0x7fff
	sign := uint32(h&0x8000) << 16
	switch {
	case magnitude >= 0x7c00: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | uint32(magnitude&0x3ff)<<13)
	case magnitude < 0x400: // subnormal: multiples of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(magnitude)*0x1p-24))
	}
	return math.Float32frombits(sign | uint32(magnitude)<<13 + (127-15)<<23)
}

// readElements reads the numbers of a.shape, which the file announces, into
// a.data. Memory is taken as the data comes, or at once when the file is known
// to hold what it announces; nothing may follow the numbers. offset is where
// in the content they start.
func (a *array) readElements(in *input, e *element, offset int64, lim limits) error {
	total, ok := product(a.shape)
	if !ok || total > math.MaxInt64/int64(e.size) {
		total = math.MaxInt64 / int64(e.size) // no file holds that many: reported as such below
	}
	if in.size >= 0 && (in.size-offset) != total*int64(e.size) {
		return a.announced((in.size-offset)/int64(e.size), in.size-offset > total*int64(e.size))
	}
	rowSize, ok := product(a.shape[1:])
	if !ok {
		rowSize = math.MaxInt64
	}
	if err := lim.cellsFit(a.name, a.shape[0], rowSize); err != nil {
		return err
	}
	if in.size >= 0 {
		a.data = make([]float32, 0, total)
	}
	a.whole = !e.float
	buf := make([]byte, 64<<10/e.size*e.size)
	for int64(len(a.data)) < total {
		b := buf[:min(int64(len(buf)), (total-int64(len(a.data)))*int64(e.size))]
		n, err := io.ReadFull(in.r, b)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return a.announced(int64(len(a.data))+int64(n/e.size), false)
		}
		if err != nil {
			return err
		}
		at, more := len(a.data), n/e.size
		a.data = slices.Grow(a.data, more)[:at+more]
		e.decode(a.data[at:], b)
	}
	switch _, err := in.r.ReadByte(); {
	case err == nil:
		return a.announced(0, true)
	case err != io.EOF:
		return err
	}
	return nil
}

// announced is the fault of a file that holds fewer numbers than its header
// says, or more.
func (a *array) announced(held int64, more bool) error {
	what := a.what
	if what == "" {
		what = "row"
	}
	if more {
		return bad("check whether the program that wrote it ended well; one file holds one array",
			"%s: announces %s, holds more", a.name, count(a.shape[0], what))
	}
	if rowSize, ok := product(a.shape[1:]); ok && rowSize > 0 {
		held /= rowSize
	}
	return bad("the file is cut short: copy or download it again",
		"%s: announces %s, holds %d", a.name, count(a.shape[0], what), held)
}

// finite checks that no number is NaN or infinite.
func (a *array) finite() error {
	if a.whole {
		return nil
	}
	for i, v := range a.data {
		if v-v == 0 {
			continue
		}
		rowSize := int(a.rowSize())
		what := "NaN"
		if v == v {
			what = "infinite, or too large for float32"
		}
		return bad("drop the row, or fill in and scale the values",
			"%s: row %d, value %d is %s", a.name, i/rowSize, i%rowSize, what)
	}
	return nil
}

// sampleShape returns the shape of one row as models take it: a stack of
// matrices is a stack of images with one channel.
func (a *array) sampleShape() ([]int, error) {
	for _, d := range a.shape {
		if d == 0 {
			return nil, bad("check whether the program that wrote it ended well",
				"%s: holds no rows: its shape is %v", a.name, a.shape)
		}
	}
	switch s := a.shape[1:]; len(s) {
	case 0:
		return []int{1}, nil
	case 1:
		return []int{int(s[0])}, nil
	case 2:
		return []int{1, int(s[0]), int(s[1])}, nil
	default:
		return []int{int(s[0]), int(s[1]), int(s[2])}, nil
	}
}

// arrayTable joins features and target arrays to a table.
func arrayTable(x, y *array, task Task, lim limits) (*table, error) {
	shape, err := x.sampleShape()
	if err != nil {
		return nil, err
	}
	if _, err := y.sampleShape(); err != nil {
		return nil, err
	}
	if x.shape[0] != y.shape[0] {
		return nil, bad("both must hold the same rows in the same order; is one of another split?",
			"%s holds %s, %s holds %d", x.name, count(x.shape[0], "row"), y.name, y.shape[0])
	}
	if err := x.finite(); err != nil {
		return nil, err
	}
	t := &table{name: x.name, rows: int(x.shape[0]), shape: shape, x: x.data, targetColumn: -1}
	t.y, err = y.target(task, lim)
	return t, err
}

// target takes a target array as the task wants it: labels as they are, one a
// row; numbers one or more a row.
func (a *array) target(task Task, lim limits) (target, error) {
	if len(a.shape) > 2 {
		return target{}, bad("the target has one row of numbers for each row of features",
			"%s: a target of shape %v", a.name, a.shape)
	}
	width := int(a.rowSize())
	if task == Classification {
		if width != 1 {
			return target{}, bad("give one whole number a row, not one column a class: y.argmax(axis=1)",
				"%s: %d labels a row", a.name, width)
		}
		return a.labels(lim)
	}
	if err := a.finite(); err != nil {
		return target{}, err
	}
	if task == Binary {
		for i, v := range a.data {
			if v < 0 || v > 1 {
				return target{}, bad("bce_with_logits takes 0 and 1; for classes use loss: cross_entropy",
					"%s: row %d: %v is not between 0 and 1", a.name, i/width, v)
			}
		}
	}
	return target{values: a.data, width: width, max: -1}, nil
}

func (a *array) labels(lim limits) (target, error) {
	labels := make([]int32, len(a.data))
	for row, v := range a.data {
		var problem string
		switch {
		case v != v || v != float32(math.Trunc(float64(v))):
			problem = "is not a whole number"
		case v < 0:
			problem = "is negative"
		case v >= float32(lim.classes):
			problem = fmt.Sprintf("is over the limit of %d classes", lim.classes)
		default:
			labels[row] = int32(v)
			continue
		}
		return target{}, bad("labels are whole numbers from 0 to the number of classes less one; "+
			"to predict numbers use loss: mse", "%s: row %d: label %v %s", a.name, row, v, problem)
	}
	t := target{}
	t.setLabels(labels)
	return t, nil
}
