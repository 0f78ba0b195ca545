package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// thriftWalk passes over one struct of Thrift's compact protocol
// (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md),
// in which Parquet's footer and page headers are written. It checks what a
// decoder would allocate for before one is let near the bytes: every length
// and every list must be covered by bytes that are there.
type thriftWalk struct {
	b       []byte
	at      int
	maxList int
	path    []int16 // field ids from the outermost struct
	// see is called for each integer and boolean field. path is valid during the call.
	see func(path []int16, v int64)
}

// Types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

const maxThriftDepth = 16

var errThriftDepth = errors.New("metadata nested too deeply")

func (w *thriftWalk) skip(n int) error {
	if n < 0 || n > len(w.b)-w.at {
		return io.ErrUnexpectedEOF
	}
	w.at += n
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if w.at >= len(w.b) {
		return 0, io.ErrUnexpectedEOF
	}
	w.at++
	return w.b[w.at-1], nil
}

func (w *thriftWalk) uvarint() (uint64, error) {
	v, n := binary.Uvarint(w.b[w.at:])
	switch {
	case n == 0:
		return 0, io.ErrUnexpectedEOF
	case n < 0:
		return 0, errors.New("an integer is too long")
	}
	w.at += n
	return v, nil
}

// length reads a count of things that take a byte each at least.
func (w *thriftWalk) length() (int, error) {
	v, err := w.uvarint()
	if err != nil {
		return 0, err
	}
	if v > uint64(len(w.b)-w.at) {
		return 0, io.ErrUnexpectedEOF
	}
	return int(v), nil
}

// structure passes over the fields up to the stop byte.
func (w *thriftWalk) structure() error {
	if len(w.path) >= maxThriftDepth {
		return errThriftDepth
	}
	w.path = append(w.path, 0)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	id := int16(0)
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		kind := head & 0x0f
		if delta := int16(head >> 4); delta != 0 {
			id += delta
		} else {
			v, err := w.uvarint()
			if err != nil {
				return err
			}
			id = int16(zigzag(v))
		}
		w.path[len(w.path)-1] = id
		if kind == thriftTrue || kind == thriftFalse {
			w.found(2 - int64(kind)) // a boolean field's type is its value
			continue
		}
		if err := w.value(kind); err != nil {
			return err
		}
	}
}

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func (w *thriftWalk) found(v int64) {
	if w.see != nil {
		w.see(w.path, v)
	}
}

// value passes over one value outside of a boolean field.
func (w *thriftWalk) value(kind byte) error {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		v, err := w.uvarint()
		if err == nil {
			w.found(zigzag(v))
		}
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftUUID:
		return w.skip(16)
	case thriftBinary:
		n, err := w.length()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList, thriftSet:
		return w.list()
	case thriftMap:
		return w.mapping()
	case thriftStruct:
		return w.structure()
	}
	return fmt.Errorf("metadata of unknown type %d", kind)
}

func (w *thriftWalk) list() error {
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := int(head >> 4)
	if n == 15 {
		if n, err = w.length(); err != nil {
			return err
		}
	}
	if n > w.maxList {
		return fmt.Errorf("a list of %d entries in its metadata is over the limit of %d", n, w.maxList)
	}
	if len(w.path) >= maxThriftDepth {
		return errThriftDepth
	}
	w.path = append(w.path, -1) // so that a list's integers are not taken for a field's
	defer func() { w.path = w.path[:len(w.path)-1] }()
	for range n {
		if err := w.value(head & 0x0f); err != nil {
			return err
		}
	}
	return nil
}

func (w *thriftWalk) mapping() error {
	n, err := w.length()
	if err != nil || n == 0 {
		return err
	}
	if n > w.maxList {
		return fmt.Errorf("a map of %d entries in its metadata is over the limit of %d", n, w.maxList)
	}
	types, err := w.byte()
	if err != nil {
		return err
	}
	if len(w.path) >= maxThriftDepth {
		return errThriftDepth
	}
	w.path = append(w.path, -1)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	for range n {
		if err := w.value(types >> 4); err != nil {
			return err
		}
		if err := w.value(types & 0x0f); err != nil {
			return err
		}
	}
	return nil
}
