package program

import "weft/gpu/train"

// vector is how one of the model's flat vectors lies on the device: its tensors
// in order, each aligned.
type vector struct {
	tensors []train.Tensor
	at      []int64 // byte offset of each tensor
	bytes   int64   // with all gaps
}

func newVector(tensors []train.Tensor) vector {
	v := vector{tensors: tensors, at: make([]int64, len(tensors))}
	for i := range tensors {
		v.at[i] = v.bytes
		v.bytes += align(int64(tensors[i].Size) * sizeFloat)
	}
	return v
}

// elements counts what a kernel that walks over the vector walks over.
func (v *vector) elements() int64 { return v.bytes / sizeFloat }

// gap is memory behind a tensor that belongs to none.
type gap struct{ at, bytes int64 }

func (v *vector) gaps() []gap {
	var gaps []gap
	for i, at := range v.at {
		end := at + int64(v.tensors[i].Size)*sizeFloat
		if next := align(end); next > end {
			gaps = append(gaps, gap{end, next - end})
		}
	}
	return gaps
}

// write sets to, which is v.bytes long, from the flat vector; nil is all zeros.
func (v *vector) write(to []byte, flat []float32) {
	clear(to)
	if flat == nil {
		return
	}
	for i, at := range v.at {
		t := &v.tensors[i]
		copy(to[at:], raw(flat[t.Offset:t.Offset+t.Size]))
	}
}

// read is write's inverse.
func (v *vector) read(flat []float32, from []byte) {
	for i, at := range v.at {
		t := &v.tensors[i]
		copy(raw(flat[t.Offset:t.Offset+t.Size]), from[at:])
	}
}
