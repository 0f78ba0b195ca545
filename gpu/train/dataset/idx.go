package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
)

// readIDX reads one file of the format that MNIST comes in
// (http://yann.lecun.com/exdb/mnist): two zero bytes, the element type, the
// number of dimensions, each dimension as a big-endian uint32, the elements.
// what is one row's name in messages. With scale, bytes become [0, 1].
func readIDX(in *input, what string, scale bool, lim limits) (*array, error) {
	var head [4]byte
	if _, err := io.ReadFull(in.r, head[:]); err != nil {
		return nil, idxCut(in, err)
	}
	e := idxElement(head[2], scale)
	if head[0] != 0 || head[1] != 0 || e == nil {
		return nil, bad("IDX files begin with two zero bytes and an element type; is this the right file?",
			"%s: not an IDX file: it begins with %x", in.name, head)
	}
	rank := int(head[3])
	if rank < 1 || rank > maxRank {
		return nil, bad("an IDX file for training has one to four dimensions, rows first",
			"%s: %d dimensions", in.name, rank)
	}
	dims := make([]byte, 4*rank)
	if _, err := io.ReadFull(in.r, dims); err != nil {
		return nil, idxCut(in, err)
	}
	a := &array{name: in.name, what: what, shape: make([]int64, rank)}
	for i := range a.shape {
		a.shape[i] = int64(binary.BigEndian.Uint32(dims[4*i:]))
	}
	return a, a.readElements(in, e, int64(4+4*rank), lim)
}

func idxCut(in *input, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return bad("the file is cut short: copy or download it again", "%s: ends in its header", in.name)
	}
	return err
}

// idxElement returns the element type of a code, nil for an unknown one.
func idxElement(code byte, scale bool) *element {
	var e element
	switch code {
	case 0x08:
		if e = uint8Element; scale {
			e = pixelElement
		}
	case 0x09:
		e = int8Element
	case 0x0b:
		e = int16Element
	case 0x0c:
		e = int32Element
	case 0x0d:
		e = float32Element
	case 0x0e:
		e = float64Element
	default:
		return nil
	}
	e.order = binary.BigEndian
	return &e
}

// loadIDX reads images and labels.
func (l *load) idx(spec *Spec, task Task) (*table, error) {
	return l.arrays(spec, task,
		func(in *input) (*array, error) { return readIDX(in, "image", true, l.lim) },
		func(in *input) (*array, error) { return readIDX(in, "label", false, l.lim) })
}

// arrays reads features and target from two files.
func (l *load) arrays(spec *Spec, task Task, readX, readY func(*input) (*array, error)) (*table, error) {
	if spec.X == spec.Y {
		return nil, bad("name a file of features and a file of targets",
			"features and target are both %s", clip(spec.X))
	}
	x, err := readFile(l, spec.X, readX)
	if err != nil {
		return nil, err
	}
	y, err := readFile(l, spec.Y, readY)
	if err != nil {
		return nil, err
	}
	return arrayTable(x, y, task, l.lim)
}

// readFile opens a file, reads it to the end with read, and closes it.
func readFile[T any](l *load, path string, read func(*input) (T, error)) (result T, err error) {
	in, err := openInput(l.ctx, path, l.lim, l.sum)
	if err != nil {
		return result, err
	}
	defer func() {
		if e := in.Close(); e != nil && err == nil {
			err = fmt.Errorf("close %s: %w", in.name, e)
		}
	}()
	if result, err = read(in); err != nil {
		return result, err
	}
	return result, in.finish()
}
