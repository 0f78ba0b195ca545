package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// container puts a header before data as the format does.
func container(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func open(b []byte) (*File, error) { return NewReader(bytes.NewReader(b), int64(len(b))) }

// The layout, byte for byte: wide types first, header padded to eight.
func TestWriteLayout(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, map[string]string{"format": "pt", "a": "<"}, []Blob{
		{Name: "raw", Shape: []int{3}, Raw: []byte("abc")},
		{Name: "w", Shape: []int{1, 2}, F32: []float32{1, -2}},
		{Name: "n", Shape: nil, I64: []int64{-1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"a":"\u003c","format":"pt"},` +
		`"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},` +
		`"w":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},` +
		`"raw":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := container(header, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x80\x3f\x00\x00\x00\xc0abc"))
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("file differs (-want +got):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String().Filter(func(s string) bool { return s != metadataKey }),
			0, 6, rapid.ID).Draw(t, "names")
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")
		var blobs []Blob
		for _, name := range names {
			blob := Blob{Name: name, Shape: rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")}
			n := 1
			for _, d := range blob.Shape {
				n *= d
			}
			if rapid.Bool().Draw(t, "float") {
				bits := rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "bits") // NaN payloads and -0 among them
				blob.F32 = make([]float32, n)
				for i, x := range bits {
					blob.F32[i] = math.Float32frombits(x)
				}
			} else {
				blob.I64 = append([]int64{}, rapid.SliceOfN(rapid.Int64(), n, n).Draw(t, "ints")...)
			}
			blobs = append(blobs, blob)
		}
		var b bytes.Buffer
		if err := Write(&b, metadata, blobs); err != nil {
			t.Fatal(err)
		}
		f, err := open(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(metadata) > 0 && !cmp.Equal(metadata, f.Metadata) {
			t.Fatalf("metadata: %s", cmp.Diff(metadata, f.Metadata))
		}
		for _, blob := range blobs {
			checkBlob(t, f, blob)
		}
	})
}

func checkBlob(t *rapid.T, f *File, want Blob) {
	tensor, ok := f.Lookup(want.Name)
	if !ok || !slices.Equal(tensor.Shape, want.Shape) || tensor.DType != want.DType() {
		t.Fatalf("%q: found %v, wrote %v %v", want.Name, tensor, want.DType(), want.Shape)
	}
	if want.I64 != nil {
		if got, err := f.Int64s(want.Name); err != nil || !slices.Equal(got, want.I64) {
			t.Fatalf("%q: %v, %v, want %v", want.Name, got, err, want.I64)
		}
		return
	}
	got, err := f.Float32s(want.Name)
	if err != nil || len(got) != len(want.F32) {
		t.Fatalf("%q: %v, %v", want.Name, got, err)
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want.F32[i]) {
			t.Fatalf("%q[%d]: %x, want %x", want.Name, i, math.Float32bits(got[i]), math.Float32bits(want.F32[i]))
		}
	}
}

func TestInvalidFiles(t *testing.T) {
	entry := func(name, dtype, shape, offsets string) string {
		return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}`, name, dtype, shape, offsets)
	}
	object := func(entries ...string) string { return "{" + strings.Join(entries, ",") + "}" }
	const invalid = "not a valid safetensors file: "
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not a safetensors file: 0 bytes are too few"},
		{"a zip", []byte("PK\x03\x04aaaaaaaa"),
			"not a safetensors file: a header of 7016996763726990160 bytes is over the limit of 16777216"},
		{"cut header", container(object(), nil)[:9], "file is cut short: the header needs 2 bytes, 1 are there"},
		{"no object", container("[]", nil), invalid + "header is not a JSON object"},
		{"empty header", container("", nil), invalid + "header is not a JSON object"},
		{"no UTF-8", container("{\"\xff\":1}", nil), invalid + "header is not UTF-8"},
		{"cut JSON", container("{", nil), invalid + "header is not JSON: EOF"},
		{"more JSON", container("{}{}", nil), invalid + "header goes on after its JSON object"},
		{"metadata", container(`{"__metadata__":{"a":1}}`, nil), invalid +
			"__metadata__ is not an object of strings: json: cannot unmarshal number into Go value of type string"},
		{"twice", container(object(entry("a", "U8", "[0]", "[0,0]"), entry("a", "U8", "[0]", "[0,0]")), nil),
			invalid + `header names "a" twice`},
		{"no dtype", container(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, []byte{0}),
			invalid + `tensor "a": dtype, shape or data_offsets is missing`},
		{"dtype", container(object(entry("a", "F8_E4M3", "[1]", "[0,1]")), []byte{0}), invalid +
			`tensor "a": type "F8_E4M3" is not supported; ` +
			"those that are: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"},
		{"rank", container(object(entry("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]")), []byte{0}),
			invalid + `tensor "a": 17 dimensions are over the limit of 16`},
		{"negative", container(object(entry("a", "U8", "[-1]", "[0,1]")), []byte{0}),
			invalid + `tensor "a": shape [-1] does not fit the file's 1 bytes of data`},
		{"overflow", container(object(entry("a", "F32", "[4294967296,4294967296]", "[0,0]")), nil),
			invalid + `tensor "a": shape [4294967296 4294967296] does not fit the file's 0 bytes of data`},
		{"offsets", container(object(entry("a", "U8", "[1]", "[0]")), []byte{0}),
			invalid + `tensor "a": data_offsets has 1 numbers instead of 2`},
		{"outside", container(object(entry("a", "U8", "[1]", "[1,2]")), []byte{0}),
			invalid + `tensor "a": bytes 1 to 2 are not in the file's 1 bytes of data`},
		{"size", container(object(entry("a", "F32", "[1]", "[0,3]")), []byte{0, 0, 0, 0}),
			invalid + `tensor "a": shape [1] of F32 needs 4 bytes, data_offsets give 3`},
		{"overlap", container(object(entry("a", "U8", "[2]", "[0,2]"), entry("b", "U8", "[1]", "[1,2]")), []byte{0, 0}),
			invalid + `tensor "b" overlaps the one before it`},
		{"hole", container(object(entry("a", "U8", "[1]", "[1,2]")), []byte{0, 0}),
			invalid + `1 bytes before tensor "a" belong to no tensor`},
		{"tail", container(object(entry("a", "U8", "[1]", "[0,1]")), []byte{0, 0}),
			invalid + "1 bytes at the end belong to no tensor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := open(c.file); err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestConversions(t *testing.T) {
	f16 := []uint16{0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x7c00, 0xfc00}
	want16 := []float32{0, float32(math.Copysign(0, -1)), 1, -2, 65504, 0x1p-24, 1023 * 0x1p-24,
		float32(math.Inf(1)), float32(math.Inf(-1))}
	var b []byte
	for _, x := range f16 {
		b = binary.LittleEndian.AppendUint16(b, x)
	}
	got := make([]float32, len(f16))
	F16.float32s(got, b)
	if !slices.EqualFunc(got, want16, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		t.Errorf("F16: %v, want %v", got, want16)
	}
	if x := half(0x7e01); x == x {
		t.Error("an F16 NaN became a number")
	}
	for _, c := range []struct {
		dtype DType
		bytes []byte
		want  float32
	}{
		{F64, binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1)), 0.1},
		{BF16, []byte{0xc0, 0xbf}, -1.5},
		{I64, []byte{0xfe, 255, 255, 255, 255, 255, 255, 255}, -2},
		{I32, []byte{0xfe, 255, 255, 255}, -2},
		{I16, []byte{0xfe, 255}, -2},
		{I8, []byte{0xfe}, -2},
		{U8, []byte{0xfe}, 254},
		{Bool, []byte{1}, 1},
	} {
		header := fmt.Sprintf(`{"x":{"dtype":"%s","shape":[1],"data_offsets":[0,%d]}}`, c.dtype, len(c.bytes))
		f, err := open(container(header, c.bytes))
		if err != nil {
			t.Fatal(err)
		}
		x, err := f.Float32s("x")
		if err != nil || x[0] != c.want {
			t.Errorf("%s: %v, %v, want %v", c.dtype, x, err, c.want)
		}
		ints, err := f.Int64s("x")
		switch {
		case c.dtype.integer() && (err != nil || ints[0] != int64(c.want)):
			t.Errorf("%s: %v, %v, want %v", c.dtype, ints, err, int64(c.want))
		case !c.dtype.integer() && (err == nil || err.Error() != fmt.Sprintf(`tensor "x" holds %s, not integers`, c.dtype)):
			t.Errorf("%s: %v", c.dtype, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	f, err := open(container(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, []byte{1, 2}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Float32s("b"); err == nil || err.Error() != `no tensor "b" in the file; it has: a` {
		t.Error(err)
	}
	if err := f.ReadFloat32s("a", make([]float32, 3)); err == nil || err.Error() != `tensor "a" has 2 values, want 3` {
		t.Error(err)
	}
	if b, err := f.Bytes("a"); err != nil || !bytes.Equal(b, []byte{1, 2}) {
		t.Error(b, err)
	}
	f.data = bytes.NewReader(nil) // the file shrank after it was opened
	if _, err := f.Bytes("a"); err == nil || err.Error() != `read tensor "a": EOF` {
		t.Error(err)
	}
	if _, err := Open(t.TempDir()); err == nil || err.Error() != "not a regular file" {
		t.Error(err)
	}
}

func TestWriteErrors(t *testing.T) {
	one := Blob{Name: "a", Shape: []int{1}, F32: []float32{1}}
	for _, c := range []struct {
		blobs []Blob
		want  string
	}{
		{[]Blob{one, one}, `write header: name "a" is taken`},
		{[]Blob{{Name: metadataKey}}, `write header: name "__metadata__" is taken`},
		{[]Blob{{Name: "a", Shape: []int{2}, F32: []float32{1}}},
			`write header: tensor "a" of shape [2] has 1 values`},
	} {
		if err := Write(&bytes.Buffer{}, nil, c.blobs); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	full := &limited{left: 10}
	if err := Write(full, nil, []Blob{one}); !errors.Is(err, errFull) || err.Error() != "write header: full" {
		t.Error(err)
	}
	full = &limited{left: 66}
	if err := Write(full, nil, []Blob{one}); !errors.Is(err, errFull) || err.Error() != `write tensor "a": full` {
		t.Error(err)
	}
}

var errFull = errors.New("full")

type limited struct{ left int }

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// The reference implementation must read our file and we its.
func TestReferenceImplementation(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	if out, err := exec.Command(python, "-c", "import numpy, safetensors.numpy").CombinedOutput(); err != nil {
		t.Skipf("python3 has no numpy and safetensors: %s", out)
	}
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	var b bytes.Buffer
	if err := Write(&b, map[string]string{"k": "v"}, []Blob{
		{Name: "raw", Shape: []int{3}, Raw: []byte("abc")},
		{Name: "w", Shape: []int{2, 2}, F32: []float32{1, 2, 3, float32(math.Inf(1))}},
		{Name: "n", I64: []int64{-5}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ours, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `
import sys, numpy, safetensors.numpy as s
d = s.load_file(sys.argv[1])
assert d["w"].tolist() == [[1, 2], [3, float("inf")]] and d["n"].shape == () and d["n"] == -5
assert bytes(d["raw"]) == b"abc", d
s.save_file({k: numpy.array([0, 1, 2], k) for k in "float16 float64 int32 int16 int8 bool".split()}, sys.argv[2])`
	if out, err := exec.Command(python, "-c", script, ours, theirs).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := Open(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors) != 6 {
		t.Fatalf("%d tensors", len(f.Tensors))
	}
	for _, tensor := range f.Tensors {
		want := []float32{0, 1, 2}
		if tensor.DType == Bool {
			want[2] = 1
		}
		if x, err := f.Float32s(tensor.Name); err != nil || !slices.Equal(x, want) {
			t.Errorf("%s: %v, %v", tensor.Name, x, err)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(container(`{"__metadata__":{"a":"b"},"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}`, make([]byte, 4)))
	f.Add(container(`{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},`+
		`"b":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}`, make([]byte, 8)))
	f.Add(container(`{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,0]}}`, nil))
	f.Add([]byte("PK\x03\x04aaaaaaaa"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := open(b)
		if err != nil {
			return
		}
		var total int64
		for _, tensor := range file.Tensors {
			total += tensor.Size
			x, err := file.Float32s(tensor.Name)
			if err != nil || len(x) != tensor.Elements() {
				t.Fatalf("%v: %d values, %v", tensor, len(x), err)
			}
			if tensor.Elements()*tensor.DType.Size() != int(tensor.Size) {
				t.Fatalf("%v: sizes disagree", tensor)
			}
		}
		if total != int64(len(b))-file.start {
			t.Fatalf("tensors have %d bytes of %d", total, int64(len(b))-file.start)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var file bytes.Buffer
	x := make([]float32, 1<<20)
	if err := Write(&file, nil, []Blob{{Name: "x", Shape: []int{len(x)}, F32: x}}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		f, err := open(file.Bytes())
		if err == nil {
			err = f.ReadFloat32s("x", x)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
