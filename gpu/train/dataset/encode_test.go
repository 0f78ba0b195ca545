package dataset

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func genSet(t *rapid.T) *Set {
	rows := rapid.IntRange(1, 20).Draw(t, "rows")
	s := &Set{Info: Info{
		Rows: rows, Shape: rapid.SliceOfN(rapid.IntRange(1, 4), 1, 3).Draw(t, "shape"),
		Task: string(rapid.SampledFrom([]Task{Classification, Binary, Regression}).Draw(t, "task")),
		Hash: "ab", MaxLabel: -1, TargetColumn: rapid.IntRange(-1, 3).Draw(t, "column"),
		Features: rapid.SliceOfN(rapid.StringMatching("[a-z\"ä]{1,5}"), 1, 4).Draw(t, "features"),
	}}
	s.ValRows = rapid.IntRange(0, rows-1).Draw(t, "validation")
	s.TrainRows = rows - s.ValRows
	s.X = rapid.SliceOfN(rapid.Float32(), rows*size(s.Shape), rows*size(s.Shape)).Draw(t, "x")
	if s.Task == string(Classification) {
		s.MaxLabel, s.Labels = 7, rapid.SliceOfN(rapid.Int32Range(0, 7), rows, rows).Draw(t, "labels")
	} else {
		s.TargetWidth = rapid.IntRange(1, 3).Draw(t, "width")
		s.Targets = rapid.SliceOfN(rapid.Float32(), rows*s.TargetWidth, rows*s.TargetWidth).Draw(t, "targets")
	}
	if rapid.Bool().Draw(t, "standardized") {
		n, _ := groups(s.Shape)
		s.Mean = rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "mean")
		s.Deviation = rapid.SliceOfN(rapid.Float32Range(0.1, 9), n, n).Draw(t, "deviation")
	}
	var err error
	if s.Bytes, err = EncodedSize(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSet(t)
		b, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(b)) != s.Bytes {
			t.Fatalf("%d bytes, announced %d", len(b), s.Bytes)
		}
		v, err := View(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, v); d != "" {
			t.Fatal(d)
		}
		if &b[binary.LittleEndian.Uint64(b[24:])] != &bytesOf(v.X)[0] {
			t.Fatal("View copied")
		}
		dirty := bytes.Repeat([]byte{0xee}, len(b))
		if err := EncodeTo(dirty, s); err != nil || !bytes.Equal(dirty, b) {
			t.Fatalf("encoding into used memory differs (%v)", err)
		}
	})
}

func TestEncodeLoadedSet(t *testing.T) {
	s := mustLoad(t, Spec{Source: SourceDigits, Standardize: true, Split: Split{Validation: 0.2, Stratify: true}},
		Classification)
	b, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := View(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, v); d != "" {
		t.Error(d)
	}
	if err := EncodeTo(b[1:], s); err == nil {
		t.Error("no error for memory of the wrong size")
	}
}

func TestViewRefuses(t *testing.T) {
	s := mustLoad(t, Spec{Source: SourceIris}, Classification)
	good, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	field := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
	}
	json := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) || len(old) != len(new) {
				t.Fatalf("%q is not in the info", old)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		}
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"empty":      {func([]byte) []byte { return nil }, "not an encoded data set"},
		"magic":      {func(b []byte) []byte { b[0] = 'w'; return b }, "not an encoded data set"},
		"cut":        {func(b []byte) []byte { return b[:len(b)-64] }, "header announces"},
		"total":      {field(8, 1<<63), "header announces"},
		"info":       {field(16, 1<<40), "header announces"},
		"json":       {field(16, 5), "unexpected end of JSON input"},
		"x":          {field(24, 1<<62), "600 numbers at 4611686018427387904 do not fit"},
		"x odd":      {field(24, 65), "600 numbers at 65 do not fit"},
		"x in head":  {field(24, 8), "600 numbers at 8 do not fit"},
		"no labels":  {field(32, 0), "150 numbers at 0 do not fit"},
		"rows":       {json(`"rows":150`, `"rows":-15`), "-15 rows"},
		"parts":      {json(`"val_rows":0`, `"val_rows":1`), "parts of 150, 1 and 0 rows in 150"},
		"shape":      {json(`"shape":[4]`, `"shape":[0]`), "shape [0]"},
		"task":       {json(`"classification"`, `"clossification"`), "target width 0 for clossification"},
		"width":      {json(`"target_width":0`, `"target_width":9`), "target width 9 for classification"},
		"high label": {json(`"max_label":2`, `"max_label":1`), "label 2 in row 100 is out of range"},
		"misaligned": {func(b []byte) []byte { return append([]byte{0}, b...)[1:] }, "memory is not aligned"},
	} {
		t.Run(name, func(t *testing.T) {
			b := bytesOf(make([]float32, len(good)/4+1))[:len(good)]
			copy(b, good)
			_, err := View(c.change(b))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	s.Mean, s.Deviation = []float32{1, 2, 3, 4}, []float32{1, 0, 1, 1}
	if b, err := Encode(s); err != nil {
		t.Fatal(err)
	} else if _, err := View(b); err == nil || err.Error() != "view data set: mean 2 and deviation 0 of group 1" {
		t.Errorf("error %v", err)
	}
}
