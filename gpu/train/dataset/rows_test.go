package dataset

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"strings"
	"testing"

	"weft/gpu/train/safetensors"
)

// tensorFile writes a safetensors file.
func tensorFile(t testing.TB, blobs ...safetensors.Blob) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, blobs); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSafetensors(t *testing.T) {
	content := tensorFile(t,
		safetensors.Blob{Name: "images", Shape: []int{2, 1, 2}, F32: []float32{1, 2, 3, 4}},
		safetensors.Blob{Name: "labels", Shape: []int{2}, I64: []int64{3, 0}},
		safetensors.Blob{Name: "scalar", Shape: []int{}, F32: []float32{1}})
	path := write(t, "set.safetensors", content)
	s := mustLoad(t, Spec{Source: SourceSafetensors, File: path, X: "images", Y: "labels"}, Classification)
	equal(t, "X", s.X, []float32{1, 2, 3, 4})
	equal(t, "shape", s.Shape, []int{1, 1, 2})
	equal(t, "labels", s.Labels, []int32{3, 0})
	for _, c := range []struct{ x, y, message, hint string }{
		{"image", "labels", `set.safetensors: no tensor "image"`, `did you mean "images"? tensors: labels, images, scalar`},
		{"images", "images", `features and target are both "images"`, "name a tensor of features and one of targets"},
		{"images", "scalar", `set.safetensors: tensor "scalar" has 0 dimensions`,
			"a tensor for training has one to four dimensions, rows first"},
	} {
		_, err := Load(t.Context(), &Spec{Source: SourceSafetensors, File: path, X: c.x, Y: c.y}, Classification)
		wantFault(t, err, c.message, c.hint)
	}
	cut := write(t, "cut.safetensors", content[:len(content)-1])
	_, err := Load(t.Context(), &Spec{Source: SourceSafetensors, File: cut, X: "images", Y: "labels"}, Classification)
	if err == nil || !strings.HasPrefix(err.Error(), "cut.safetensors: not a valid safetensors file") {
		t.Errorf("error %v", err)
	}
}

// houses is what a model of area and rooms knows of its data.
func houses() *Info {
	return &Info{Rows: 2, TrainRows: 2, Shape: []int{2}, Task: string(Regression), TargetWidth: 1, MaxLabel: -1,
		Features: []string{"area", "rooms"}, TargetNames: []string{"price"}, TargetColumn: 2}
}

func TestLoadRows(t *testing.T) {
	type row struct {
		Rooms int64   `parquet:"rooms"`
		Area  float64 `parquet:"area"`
	}
	var floats bytes.Buffer
	binary.Write(&floats, binary.LittleEndian, []float32{50, 2, 70, 3}) // to memory: cannot fail
	for name, content := range map[string][]byte{
		"same columns":      []byte("area,rooms,price\n50,2,100\n70,3,200\n"),
		"no target":         []byte("area,rooms\n50,2\n70,3\n"),
		"other order, more": []byte("id;rooms;area\n7;2;50\n8;3;70\n"),
		"no header":         []byte("50,2\n70,3\n"),
		"with target":       []byte("50,2,9\n70,3,9\n"),
		"empty target":      []byte("area,rooms,price\n50,2,\n70,3,\n"),
		"packed":            pack([]byte("area,rooms\n50,2\n70,3\n")),
		"npy":               npyFile(npyHeaderOf("<f4", false, 2, 2), floats.Bytes()),
		"packed npy":        pack(npyFile(npyHeaderOf("<f4", false, 2, 2), floats.Bytes())),
		"idx":               idxFile(9, []uint32{2, 2}, 50, 2, 70, 3),
		"parquet":           parquetOf(t, []row{{2, 50}, {3, 70}}),
		"safetensors":       tensorFile(t, safetensors.Blob{Name: "any", Shape: []int{2, 2}, F32: []float32{50, 2, 70, 3}}),
	} {
		t.Run(name, func(t *testing.T) {
			info := houses()
			r, err := LoadRows(t.Context(), write(t, "rows", content), info)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "X", r.X, []float32{50, 2, 70, 3})
			info.Mean, info.Deviation = []float32{50, 3}, []float32{10, 0.5}
			if r, err = LoadRows(t.Context(), write(t, "rows", content), info); err != nil {
				t.Fatal(err)
			}
			equal(t, "standardized X", r.X, []float32{0, -2, 2, 0})
			if r.N != 2 {
				t.Errorf("%d rows", r.N)
			}
		})
	}
}

// What a model is trained on and what it predicts for are prepared alike.
func TestLoadRowsAgreesWithLoad(t *testing.T) {
	content := []byte("a,b,y\n1,2,u\n3,5,v\n-7,0.5,u\n2,2,v\n")
	path := write(t, "x.csv", content)
	s := mustLoad(t, Spec{Source: SourceCSV, File: path, Standardize: true}, Classification)
	r, err := LoadRows(t.Context(), path, &s.Info)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "X", r.X, s.X)
}

func TestLoadRowsFaults(t *testing.T) {
	for _, c := range []struct{ content, message, hint string }{
		{"area,room\n1,2\n", `rows: no column "rooms"`, `did you mean "room"? columns: area, room`},
		{"1,2,3,4\n5,6,7,8\n", "rows: 4 columns, the model takes 2",
			"give the columns that the model was trained on; the target may be left out"},
		{"area,rooms\n1,\n", `rows:2: column "rooms": missing value`, "fill in missing values or drop their rows"},
		{"area,rooms\n", "rows: holds a header and no rows", "check whether the program that wrote it ended well"},
		{string(idxFile(9, []uint32{1, 3}, 1, 2, 3)), "rows: rows of 3 numbers, the model takes 2",
			"give rows like those that the model was trained on"},
		{string(npyFile(npyHeaderOf("<f2", false, 1, 2), []byte{0, 0x7c, 0, 0})),
			"rows: row 0, value 0 is infinite, or too large for float32", "drop the row, or fill in and scale the values"},
	} {
		_, err := LoadRows(t.Context(), write(t, "rows", []byte(c.content)), houses())
		wantFault(t, err, c.message, c.hint)
	}
	broken := houses()
	broken.Deviation = []float32{1}
	if _, err := LoadRows(t.Context(), os.DevNull, broken); err == nil {
		t.Error("no error for a broken info")
	}
}

func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{
		0: 0, 1: 0x1p-24, 0x03ff: 1023 * 0x1p-24, 0x0400: 0x1p-14, 0x3c00: 1, 0xc500: -5, 0x7bff: 65504,
	} {
		if got := half(bits); got != want {
			t.Errorf("half(%#x) = %v, want %v", bits, got, want)
		}
	}
	if !math.IsInf(float64(half(0xfc00)), -1) || half(0x7e00) == half(0x7e00) || !math.Signbit(float64(half(0x8000))) {
		t.Error("infinity, NaN or negative zero is wrong")
	}
}
