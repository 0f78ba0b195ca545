package dataset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// An encoded Set is one flat piece of memory, little-endian, made to be mapped
// by another process:
//
//	0   8 bytes  "WEFTSET1"
//	8   uint64   bytes of the whole
//	16  uint64   bytes of the Info as JSON, which begins at 64
//	24  uint64   where X begins
//	32  uint64   where Labels begin, 0 for none
//	40  uint64   where Targets begin, 0 for none
//	48  16 zero bytes
//
// Arrays follow in this order, each on a multiple of 64 bytes.
const (
	setMagic    = "WEFTSET1"
	setHeader   = 64
	setAlign    = 64
	maxInfoJSON = 64 << 20 // class and column names
)

// layout is where the pieces of an encoded Set lie.
type layout struct {
	info               []byte
	x, labels, targets int64
	total              int64
}

func (s *Set) layout() (layout, error) {
	info := s.Info
	info.Bytes = 0 // its digits would change the size that they tell
	js, err := json.Marshal(info)
	if err != nil {
		return layout{}, fmt.Errorf("encode data set: %w", err)
	}
	l := layout{info: js}
	at := align(setHeader + int64(len(js)))
	l.x, at = at, align(at+4*int64(len(s.X)))
	if s.Labels != nil {
		l.labels, at = at, align(at+4*int64(len(s.Labels)))
	}
	if s.Targets != nil {
		l.targets, at = at, align(at+4*int64(len(s.Targets)))
	}
	l.total = at
	return l, nil
}

func align(n int64) int64 { return (n + setAlign - 1) &^ (setAlign - 1) }

// EncodedSize returns the bytes that [EncodeTo] needs for s.
func EncodedSize(s *Set) (int64, error) {
	l, err := s.layout()
	return l.total, err
}

// EncodeTo writes s to dst, which must have [EncodedSize] bytes.
func EncodeTo(dst []byte, s *Set) error {
	l, err := s.layout()
	if err != nil {
		return err
	}
	if int64(len(dst)) != l.total {
		return fmt.Errorf("encode data set: %d bytes given, %d needed", len(dst), l.total)
	}
	if err := littleEndian(); err != nil {
		return err
	}
	clear(dst[:l.x])
	copy(dst, setMagic)
	for i, v := range []int64{l.total, int64(len(l.info)), l.x, l.labels, l.targets} {
		binary.LittleEndian.PutUint64(dst[8+8*i:], uint64(v))
	}
	copy(dst[setHeader:], l.info)
	fill(dst, l.x, bytesOf(s.X))
	fill(dst, l.labels, bytesOf(s.Labels))
	fill(dst, l.targets, bytesOf(s.Targets))
	return nil
}

// fill copies src to dst at an offset and clears up to the next piece.
func fill(dst []byte, at int64, src []byte) {
	if len(src) == 0 {
		return
	}
	end := at + int64(copy(dst[at:], src))
	clear(dst[end:align(end)])
}

// Encode returns s in new memory that [View] takes.
func Encode(s *Set) ([]byte, error) {
	n, err := EncodedSize(s)
	if err != nil {
		return nil, err
	}
	dst := bytesOf(make([]float32, n/4)) // words, so that the arrays are aligned
	return dst, EncodeTo(dst, s)
}

// View returns the Set that lies encoded in b, without copying its numbers:
// the Set is valid as long as b is, and b must not change. Header, sizes and
// labels are checked, for b may come from another process. b must begin on a
// multiple of four bytes, as mapped memory does.
func View(b []byte) (*Set, error) {
	if len(b) < setHeader || string(b[:8]) != setMagic {
		return nil, errors.New("view data set: not an encoded data set")
	}
	if err := littleEndian(); err != nil {
		return nil, err
	}
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 != 0 {
		return nil, errors.New("view data set: memory is not aligned")
	}
	var field [5]uint64
	for i := range field {
		field[i] = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	total, infoBytes := field[0], field[1]
	if total != uint64(len(b)) || infoBytes > maxInfoJSON || infoBytes > total-setHeader {
		return nil, fmt.Errorf("view data set: header announces %d bytes, %d are there", total, len(b))
	}
	s := &Set{}
	if err := json.Unmarshal(b[setHeader:setHeader+infoBytes], &s.Info); err != nil {
		return nil, fmt.Errorf("view data set: %w", err)
	}
	s.Bytes = int64(total)
	width, err := s.Info.check()
	if err != nil {
		return nil, fmt.Errorf("view data set: %w", err)
	}
	if s.X, err = floats(b, field[2], int64(s.Rows)*width); err != nil {
		return nil, err
	}
	if s.TargetWidth > 0 {
		s.Targets, err = floats(b, field[4], int64(s.Rows)*int64(s.TargetWidth))
		return s, err
	}
	labels, err := floats(b, field[3], int64(s.Rows))
	if err != nil {
		return nil, err
	}
	s.Labels = unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(labels))), len(labels))
	for row, label := range s.Labels {
		if label < 0 || int(label) > s.MaxLabel {
			return nil, fmt.Errorf("view data set: label %d in row %d is out of range", label, row)
		}
	}
	return s, nil
}

// check says whether i can describe a Set, and how many numbers a row has.
func (i *Info) check() (width int64, err error) {
	lim := defaultLimits()
	shape := make([]int64, len(i.Shape))
	for d, n := range i.Shape {
		shape[d] = int64(n)
	}
	width, ok := product(shape)
	switch {
	case !ok || width < 1 || len(shape) < 1 || len(shape) > 3:
		return 0, fmt.Errorf("shape %v", i.Shape)
	case i.Rows < 1 || int64(i.Rows) > lim.rows:
		return 0, fmt.Errorf("%d rows", i.Rows)
	case i.TrainRows < 1 || i.ValRows < 0 || i.TestRows < 0 || i.TrainRows > i.Rows ||
		i.ValRows > i.Rows || i.TestRows > i.Rows || i.TrainRows+i.ValRows+i.TestRows != i.Rows:
		return 0, fmt.Errorf("parts of %d, %d and %d rows in %d", i.TrainRows, i.ValRows, i.TestRows, i.Rows)
	case width > lim.cells/int64(i.Rows):
		return 0, fmt.Errorf("%d rows of %d numbers", i.Rows, width)
	case (Task(i.Task) == Classification) != (i.TargetWidth == 0), i.TargetWidth < 0,
		int64(i.TargetWidth) > lim.cells/int64(i.Rows):
		return 0, fmt.Errorf("target width %d for %s", i.TargetWidth, clip(i.Task))
	case Task(i.Task) != Classification && Task(i.Task) != Binary && Task(i.Task) != Regression:
		return 0, fmt.Errorf("task %q", clip(i.Task))
	case i.MaxLabel < -1 || i.MaxLabel > math.MaxInt32:
		return 0, fmt.Errorf("highest label %d", i.MaxLabel)
	}
	return width, i.checkMoments()
}

func (i *Info) checkMoments() error {
	if i.Mean == nil && i.Deviation == nil {
		return nil
	}
	n, _ := groups(i.Shape)
	if len(i.Mean) != n || len(i.Deviation) != n {
		return fmt.Errorf("%d means and %d deviations for %d groups", len(i.Mean), len(i.Deviation), n)
	}
	for g, d := range i.Deviation {
		if !(d > 0) || d-d != 0 || i.Mean[g]-i.Mean[g] != 0 {
			return fmt.Errorf("mean %v and deviation %v of group %d", i.Mean[g], d, g)
		}
	}
	return nil
}

// floats returns the n float32 that lie in b at an offset.
func floats(b []byte, at uint64, n int64) ([]float32, error) {
	if at < setHeader || at%4 != 0 || at > uint64(len(b)) || uint64(n) > (uint64(len(b))-at)/4 || n == 0 {
		return nil, fmt.Errorf("view data set: %d numbers at %d do not fit %d bytes", n, at, len(b))
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[at])), n), nil
}

// bytesOf returns the memory of values.
func bytesOf[T float32 | int32](values []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
}

// littleEndian reports a machine whose numbers in memory are not those of the
// encoding.
func littleEndian() error {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return errors.New("encoded data sets need a little-endian machine")
	}
	return nil
}
