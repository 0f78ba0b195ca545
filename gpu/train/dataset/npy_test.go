package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// npyFile writes an NPY file of version 1 with a header as given.
func npyFile(header string, data []byte) []byte {
	b := []byte("\x93NUMPY\x01\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	return append(append(b, header...), data...)
}

func npyHeaderOf(descr string, fortran bool, shape ...int) string {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = fmt.Sprintf("%d,", d)
	}
	order := "False"
	if fortran {
		order = "True"
	}
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }\n", descr, order, strings.Join(dims, " "))
}

// The files are NumPy 1.24's own.
func TestNPYReadsNumPysFiles(t *testing.T) {
	ramp := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i) / 8
		}
		return values
	}
	for name, c := range map[string]struct {
		shape []int64
		data  []float32
	}{
		"f8":         {[]int64{4, 2, 3}, ramp(24)},
		"fortran_f4": {[]int64{4, 2, 3}, ramp(24)},
		"big_i2":     {[]int64{3, 2}, []float32{-3, -2, -1, 0, 1, 2}},
		"bool":       {[]int64{3}, []float32{1, 0, 1}},
		"half":       {[]int64{5}, []float32{1, -2, 65504, 0x1p-24, 0.3330078125}},
		"u8":         {[]int64{3}, []float32{0, 5, 1 << 40}},
		"v2":         {[]int64{4, 3}, []float32{0, .125, .25, .75, .875, 1, 1.5, 1.625, 1.75, 2.25, 2.375, 2.5}},
		"v3":         {[]int64{4, 3}, []float32{0, .125, .25, .75, .875, 1, 1.5, 1.625, 1.75, 2.25, 2.375, 2.5}},
	} {
		content, err := os.ReadFile(filepath.Join("testdata", name+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		a, err := readNPY(inputOf(t, name, content, defaultLimits()), defaultLimits())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		equal(t, name+": shape", a.shape, c.shape)
		equal(t, name+": data", a.data, c.data)
	}
}

func TestNPYSet(t *testing.T) {
	x := write(t, "x.npy", npyFile(npyHeaderOf("|u1", false, 3, 2, 2), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}))
	y := write(t, "y.npy", npyFile(npyHeaderOf("<i8", false, 3, 1), []byte{
		0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}))
	s := mustLoad(t, Spec{Source: SourceNPY, X: x, Y: y}, Classification)
	equal(t, "shape", s.Shape, []int{1, 2, 2})
	equal(t, "X", s.X, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	equal(t, "labels", s.Labels, []int32{0, 2, 1})
	wide := write(t, "y2.npy", npyFile(npyHeaderOf("|i1", false, 3, 2), []byte{1, 2, 3, 4, 5, 0xff}))
	s = mustLoad(t, Spec{Source: SourceNPY, X: x, Y: wide, Shape: []int{4}}, Regression)
	equal(t, "targets", s.Targets, []float32{1, 2, 3, 4, 5, -1})
	if s.TargetWidth != 2 || len(s.Shape) != 1 {
		t.Errorf("width %d, shape %v", s.TargetWidth, s.Shape)
	}
	_, err := Load(t.Context(), &Spec{Source: SourceNPY, X: x, Y: wide, Shape: []int{1, 8, 8}}, Regression)
	wantFault(t, err, "x.npy: shape [1 8 8] holds 64 numbers, a row has 4", "the shape's product must be 4")
}

func TestNPYFaults(t *testing.T) {
	const again = "write it again with numpy.save"
	object, _ := os.ReadFile("testdata/object.npy")
	structured, _ := os.ReadFile("testdata/struct.npy")
	for _, c := range []struct {
		name          string
		content       []byte
		message, hint string
	}{
		{"objects", object, "x.npy: holds Python objects",
			"save numbers: numpy.save(f, a.astype('float32')); objects would need unpickling"},
		{"structured", structured, "x.npy: header: it has named fields (a structured array)", again},
		{"zip", []byte("PK\x03\x04 and so on"), "x.npy: not a NumPy array",
			"an .npz holds several arrays: load it and save each with numpy.save"},
		{"text", []byte("1,2,3\n4,5,6\n"), "x.npy: not a NumPy array", "write it with numpy.save"},
		{"short magic", []byte("\x93NUM"), "x.npy: not a NumPy array", "write it with numpy.save"},
		{"version", []byte("\x93NUMPY\x04\x00\x00\x00"), "x.npy: NPY version 4 is not known", again},
		{"in its header", []byte("\x93NUMPY\x01\x00\x10\x00{}"), "x.npy: ends in its header",
			"the file is cut short: copy or download it again"},
		{"header size", []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"),
			"x.npy: a header of 4294967295 bytes is over the limit of 4096", again},
		{"type", npyFile(npyHeaderOf("<c8", false, 1), make([]byte, 8)), `x.npy: elements of type "<c8" cannot be read`,
			"save numbers: numpy.save(f, a.astype('float32'))"},
		{"text type", npyFile(npyHeaderOf("<U3", false, 1), make([]byte, 12)),
			`x.npy: elements of type "<U3" cannot be read`,
			"save numbers: numpy.save(f, a.astype('float32'))"},
		{"scalar", npyFile(npyHeaderOf("<f4", false), make([]byte, 4)), "x.npy: an array of 0 dimensions",
			"an array for training has one to four dimensions, rows first"},
		{"five dimensions", npyFile(npyHeaderOf("<f4", false, 1, 1, 1, 1, 1), make([]byte, 4)),
			"x.npy: an array of 5 dimensions",
			"an array for training has one to four dimensions, rows first"},
		{"cut", npyFile(npyHeaderOf("<f4", false, 3, 2), make([]byte, 17)), "x.npy: announces 3 rows, holds 2",
			"the file is cut short: copy or download it again"},
		{"trailing", npyFile(npyHeaderOf("<f4", false, 3, 2), make([]byte, 25)), "x.npy: announces 3 rows, holds more",
			"check whether the program that wrote it ended well; one file holds one array"},
		{"huge", npyFile(npyHeaderOf("<f4", false, 999999999999999999, 999999999999999999), nil),
			"x.npy: announces 999999999999999999 rows, holds 0", "the file is cut short: copy or download it again"},
		{"columns", npyFile(npyHeaderOf("|u1", false, 1, 65), make([]byte, 65)), "x.npy: 65 numbers a row, the limit is 64",
			"use fewer columns or a smaller shape"},
		{"dimension", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), }", nil),
			"x.npy: header: a dimension is too large", again},
		{"negative", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", nil),
			"x.npy: header: no number where one is due", again},
		{"expression", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (2**9,), }", nil),
			"x.npy: header: no comma in the shape", again},
		{"call", npyFile("__import__('os').system('id')", nil), "x.npy: header: no '{' where one is due", again},
		{"twice", npyFile("{'descr': '<f4', 'descr': '<f4'}", nil), `x.npy: header: key "descr" twice`, again},
		{"unknown key", npyFile("{'desc': '<f4'}", nil), `x.npy: header: key "desc" is not known`, again},
		{"missing key", npyFile("{'descr': '<f4'}", nil), "x.npy: header: descr, fortran_order and shape are needed",
			again},
		{"boolean", npyFile("{'fortran_order': 0}", nil), "x.npy: header: no True or False where one is due", again},
		{"open string", npyFile("{'descr", nil), "x.npy: header: a string is not closed", again},
		{"escape", npyFile(`{'de\'scr'`, nil), "x.npy: header: an escape in a string", again},
		{"more text", npyFile("{'descr': '<f4', 'fortran_order': True, 'shape': (1,)} 1", nil),
			"x.npy: header: text after the dictionary", again},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readNPY(inputOf(t, "x.npy", c.content, tinyLimits()), tinyLimits())
			wantFault(t, err, c.message, c.hint)
		})
	}
}

func TestTargetArrayFaults(t *testing.T) {
	lim := tinyLimits()
	const labels = "labels are whole numbers from 0 to the number of classes less one; to predict numbers use loss: mse"
	for _, c := range []struct {
		shape         []int64
		data          []float32
		task          Task
		message, hint string
	}{
		{[]int64{2}, []float32{0, 0.5}, Classification, "y.npy: row 1: label 0.5 is not a whole number", labels},
		{[]int64{1}, []float32{50}, Classification, "y.npy: row 0: label 50 is over the limit of 50 classes", labels},
		{[]int64{1, 1, 1}, []float32{1}, Regression, "y.npy: a target of shape [1 1 1]",
			"the target has one row of numbers for each row of features"},
	} {
		a := &array{name: "y.npy", shape: c.shape, data: c.data}
		_, err := a.target(c.task, lim)
		wantFault(t, err, c.message, c.hint)
	}
}

// Every element type, byte order and memory order gives the numbers back.
func TestNPYRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(1, 5), 1, 4).Draw(t, "shape")
		want := rapid.SliceOfN(rapid.Int8(), size(shape), size(shape)).Draw(t, "values")
		kind := rapid.SampledFrom([]string{"i1", "i2", "i4", "i8", "f4", "f8"}).Draw(t, "type")
		fortran := rapid.Bool().Draw(t, "fortran")
		var order binary.ByteOrder = binary.LittleEndian
		sign := "<"
		if rapid.Bool().Draw(t, "big") {
			order, sign = binary.BigEndian, ">"
		}
		stored := want
		if fortran {
			stored = columnMajor(want, shape)
		}
		var b bytes.Buffer
		for _, v := range stored {
			numbers := map[string]any{"i1": v, "i2": int16(v), "i4": int32(v), "i8": int64(v), "f4": float32(v),
				"f8": float64(v)}
			binary.Write(&b, order, numbers[kind]) // to memory: cannot fail
		}
		content := npyFile(npyHeaderOf(sign+kind, fortran, shape...), b.Bytes())
		a, err := readNPY(inputOf(t, "x", content, defaultLimits()), defaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range want {
			if a.data[i] != float32(v) {
				t.Fatalf("value %d is %v, want %v", i, a.data[i], v)
			}
		}
	})
}

// columnMajor lays row-major values out with the first index fastest.
func columnMajor(values []int8, shape []int) []int8 {
	out := make([]int8, len(values))
	for i, v := range values {
		index, rest := make([]int, len(shape)), i
		for d := len(shape) - 1; d >= 0; d-- {
			index[d], rest = rest%shape[d], rest/shape[d]
		}
		at, stride := 0, 1
		for d := range shape {
			at += index[d] * stride
			stride *= shape[d]
		}
		out[at] = v
	}
	return out
}
