package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"weft/gpu/train/safetensors"
)

// Rows are rows to predict for, prepared as the model's data set was.
type Rows struct {
	N int
	X []float32 // (N, prod(Info.Shape))
}

// LoadRows reads rows for a model that was trained on a data set described by
// info: CSV or Parquet with the same columns, IDX, NPY or safetensors (tensor
// "x", or the only one) with rows of the same size; the content says which.
// Columns with names are found by them, in any order, and others are left
// out; columns without names must be as many as the model's, with or without
// the target. The rows are standardized with info's mean and deviation. What
// is wrong with the file is a [*Fault].
func LoadRows(ctx context.Context, file string, info *Info) (*Rows, error) {
	if _, err := info.check(); err != nil {
		return nil, fmt.Errorf("load rows: model's data set: %w", err)
	}
	l := &load{ctx: ctx, lim: defaultLimits(), sum: sha256.New()}
	t, err := l.rows(file, info)
	if err != nil {
		return nil, err
	}
	if size(t.shape) != size(info.Shape) {
		return nil, bad("give rows like those that the model was trained on",
			"%s: rows of %s, the model takes %d", t.name, count(int64(size(t.shape)), "number"), size(info.Shape))
	}
	if info.Mean != nil {
		if err := standardize(ctx, t.name, t.x, info.Shape, info.Mean, info.Deviation); err != nil {
			return nil, err
		}
	}
	return &Rows{N: t.rows, X: t.x}, nil
}

// rows reads a file of features in whichever format it is.
func (l *load) rows(path string, info *Info) (*table, error) {
	f, stat, err := openFile(path, l.lim)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	name, length := filepath.Base(path), stat.Size()
	switch fileFormat(f, length) {
	case SourceParquet:
		return l.parquetRows(name, f, length, info)
	case SourceSafetensors:
		return l.tensorRows(name, f, length)
	}
	return readFile(l, path, func(in *input) (*table, error) {
		start, err := in.r.Peek(8)
		if err != nil && err != io.EOF {
			return nil, err
		}
		switch {
		case bytes.HasPrefix(start, []byte("\x93NUMPY")):
			return featureTable(readNPY(in, l.lim))
		case isIDX(start):
			return featureTable(readIDX(in, "image", true, l.lim))
		}
		return csvRows(in, info, l.lim)
	})
}

// fileFormat tells the formats that are read by jumping in the file; "" for
// the others.
func fileFormat(f *os.File, length int64) Source {
	var start [9]byte
	n, _ := f.ReadAt(start[:], 0) // what cannot be read is reported by the reader that follows
	switch {
	case n >= 4 && (string(start[:4]) == "PAR1" || string(start[:4]) == "PARE"):
		return SourceParquet
	case n == 9 && start[8] == '{' && start[6] == 0 && start[7] == 0:
		return SourceSafetensors // a little-endian length, then JSON
	}
	return ""
}

func isIDX(start []byte) bool {
	return len(start) >= 4 && start[0] == 0 && start[1] == 0 && idxElement(start[2], false) != nil &&
		start[3] >= 1 && start[3] <= maxRank
}

// featureTable makes a table without a target of an array.
func featureTable(a *array, err error) (*table, error) {
	if err != nil {
		return nil, err
	}
	shape, err := a.sampleShape()
	if err != nil {
		return nil, err
	}
	if err := a.finite(); err != nil {
		return nil, err
	}
	return &table{name: a.name, rows: int(a.shape[0]), shape: shape, x: a.data}, nil
}

func (l *load) tensorRows(name string, r io.ReaderAt, length int64) (*table, error) {
	f, err := safetensors.NewReader(r, length)
	if err != nil {
		return nil, bad("is this the right file?", "%s: %v", name, err)
	}
	tensor := "x"
	if len(f.Tensors) == 1 {
		tensor = f.Tensors[0].Name
	}
	return featureTable(readTensor(name, f, tensor, l.lim))
}

func (l *load) parquetRows(name string, r io.ReaderAt, length int64, info *Info) (t *table, err error) {
	defer recoverParquet(name, &err)
	f, err := l.openParquet(name, r, length)
	if err != nil {
		return nil, err
	}
	picks, err := featureColumns(name, f.names(), len(f.columns), info)
	if err != nil {
		return nil, err
	}
	t = &table{name: name, shape: []int{len(picks)}}
	t.x, t.rows, err = f.read(picks, -1, nil)
	return t, err
}

func csvRows(in *input, info *Info, lim limits) (*table, error) {
	// Any of the model's column names in the first line tells a header.
	known := ""
	if len(info.Features) > 0 {
		known = info.Features[0]
	}
	f, err := openCSV(in, known, lim)
	if err != nil {
		return nil, err
	}
	picks, err := featureColumns(in.name, f.header, f.width, info)
	if err != nil {
		return nil, err
	}
	t := &table{name: in.name, shape: []int{len(picks)}}
	t.x, t.rows, err = f.features(picks, -1, nil)
	return t, err
}

// featureColumns returns where the model's features lie among a table's
// columns.
func featureColumns(name string, header []string, width int, info *Info) ([]int, error) {
	if header != nil && len(info.Features) > 0 {
		picks := make([]int, len(info.Features))
		for i, feature := range info.Features {
			if picks[i] = slices.Index(header, feature); picks[i] < 0 {
				return nil, noColumn(name, feature, header)
			}
		}
		return picks, nil
	}
	want := size(info.Shape)
	switch {
	case width == want:
		return except(width, -1), nil
	case width == want+1 && info.TargetColumn >= 0 && info.TargetColumn < width:
		return except(width, info.TargetColumn), nil
	}
	return nil, bad("give the columns that the model was trained on; the target may be left out",
		"%s: %s, the model takes %d", name, count(int64(width), "column"), want)
}
