package dataset

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"weft/gpu/train/safetensors"
)

// safetensors reads the tensors X and Y of one file.
func (l *load) safetensors(spec *Spec, task Task) (t *table, err error) {
	err = l.randomAccess(spec.File, func(name string, f *os.File, size int64) error {
		t, err = readSafetensors(name, f, size, spec.X, spec.Y, task, l.lim)
		return err
	})
	return t, err
}

func readSafetensors(name string, r io.ReaderAt, size int64, x, y string, task Task, lim limits) (*table, error) {
	if x == y {
		return nil, bad("name a tensor of features and one of targets", "features and target are both %q", clip(x))
	}
	f, err := safetensors.NewReader(r, size)
	if err != nil {
		return nil, bad("write it again with safetensors.torch.save_file or safetensors.numpy.save_file",
			"%s: %v", name, err)
	}
	ax, err := readTensor(name, f, x, lim)
	if err != nil {
		return nil, err
	}
	ay, err := readTensor(name, f, y, lim)
	if err != nil {
		return nil, err
	}
	return arrayTable(ax, ay, task, lim)
}

func readTensor(name string, f *safetensors.File, tensor string, lim limits) (*array, error) {
	t, ok := f.Lookup(tensor)
	if !ok {
		names := make([]string, len(f.Tensors))
		for i, t := range f.Tensors {
			names[i] = t.Name
		}
		hint := "tensors: " + list(names)
		if n := nearest(tensor, names); n != "" {
			hint = fmt.Sprintf("did you mean %q? %s", n, hint)
		}
		return nil, bad(hint, "%s: no tensor %q", name, clip(tensor))
	}
	a := &array{name: fmt.Sprintf("%s: tensor %q", name, clip(tensor)), shape: make([]int64, len(t.Shape))}
	for d, n := range t.Shape {
		a.shape[d] = int64(n)
	}
	if len(a.shape) < 1 || len(a.shape) > maxRank {
		return nil, bad("a tensor for training has one to four dimensions, rows first",
			"%s has %s", a.name, count(int64(len(a.shape)), "dimension"))
	}
	rowSize, ok := product(a.shape[1:])
	if !ok {
		rowSize = 1 << 62
	}
	if err := lim.cellsFit(a.name, a.shape[0], rowSize); err != nil {
		return nil, err
	}
	var err error
	if a.data, err = f.Float32s(tensor); err != nil {
		return nil, readFault(name, err)
	}
	return a, nil
}

// randomAccess opens a file for a reader that jumps in it. The whole file goes
// into the data set's hash before, so that it is checked for changes after.
func (l *load) randomAccess(path string, use func(name string, f *os.File, size int64) error) error {
	f, info, err := openFile(path, l.lim)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written
	name := filepath.Base(path)
	raw := &rawReader{ctx: l.ctx, name: name, r: f, sum: l.sum}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return err
	}
	if err := use(name, f, info.Size()); err != nil {
		return err
	}
	return unchanged(name, f, info)
}
