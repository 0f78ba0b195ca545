package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// idxFile writes an IDX file.
func idxFile(code byte, shape []uint32, elements ...byte) []byte {
	b := []byte{0, 0, code, byte(len(shape))}
	for _, d := range shape {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, elements...)
}

func loadIDX(t *testing.T, images, labels []byte, task Task) (*Set, error) {
	t.Helper()
	spec := Spec{Source: SourceIDX, X: write(t, "images.idx", images), Y: write(t, "labels.idx", labels)}
	return Load(t.Context(), &spec, task)
}

func TestIDX(t *testing.T) {
	images := idxFile(8, []uint32{3, 1, 2}, 0, 255, 51, 102, 1, 2)
	labels := idxFile(8, []uint32{3}, 0, 4, 2)
	for name, packed := range map[string]bool{"plain": false, "packed": true} {
		t.Run(name, func(t *testing.T) {
			x, y := images, labels
			if packed {
				x, y = pack(images), pack(labels)
			}
			s, err := loadIDX(t, x, y, Classification)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "X", s.X, []float32{0, 1, 0.2, 0.4, float32(1) / 255, float32(2) / 255})
			equal(t, "shape", s.Shape, []int{1, 1, 2})
			equal(t, "labels", s.Labels, []int32{0, 4, 2})
			if s.MaxLabel != 4 || s.MaxLabelRow != 1 || s.Classes != nil || s.TargetColumn != -1 {
				t.Errorf("highest label %d in row %d, classes %v", s.MaxLabel, s.MaxLabelRow, s.Classes)
			}
		})
	}
}

func TestIDXElements(t *testing.T) {
	for code, c := range map[byte]struct {
		bytes []byte
		want  float32
	}{
		0x08: {[]byte{200}, 200.0 / 255}, 0x09: {[]byte{0xff}, -1}, 0x0b: {[]byte{0xff, 0xfe}, -2},
		0x0c: {[]byte{0, 1, 0, 0}, 65536}, 0x0d: {[]byte{0x3f, 0xc0, 0, 0}, 1.5},
		0x0e: {[]byte{0xc0, 0x04, 0, 0, 0, 0, 0, 0}, -2.5},
	} {
		a, err := readIDX(inputOf(t, "e", idxFile(code, []uint32{1}, c.bytes...), defaultLimits()), "", true,
			defaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "element", a.data, []float32{c.want})
	}
}

func TestIDXFaults(t *testing.T) {
	const cut = "the file is cut short: copy or download it again"
	good := idxFile(8, []uint32{2}, 0, 1)
	three := idxFile(8, []uint32{1 << 31, 2, 2}, make([]byte, 12)...)
	for _, c := range []struct {
		name           string
		images, labels []byte
		task           Task
		message, hint  string
	}{
		{"announces more", three, good, Classification, "images.idx: announces 2147483648 images, holds 3", cut},
		{"cut in a row", idxFile(8, []uint32{4, 2}, 1, 2, 3), good, Classification,
			"images.idx: announces 4 images, holds 1", cut},
		{"trailing", idxFile(8, []uint32{1, 2}, 1, 2, 3), good, Classification, "images.idx: announces 1 image, holds more",
			"check whether the program that wrote it ended well; one file holds one array"},
		{"packed and cut", pack(idxFile(8, []uint32{4, 2}, 1, 2, 3)), good, Classification,
			"images.idx: announces 4 images, holds 1", cut},
		{"packed and trailing", pack(idxFile(8, []uint32{1, 2}, 1, 2, 3)), good, Classification,
			"images.idx: announces 1 image, holds more",
			"check whether the program that wrote it ended well; one file holds one array"},
		{"packed and huge", pack(three), good, Classification,
			"images.idx: 2147483648 rows of 4 numbers are over the limit of 2147483648 numbers",
			"train on a part of the rows"},
		{"dimensions overflow", idxFile(14, []uint32{1 << 31, 1 << 31, 1 << 31, 1 << 31}, 1), good, Classification,
			"images.idx: announces 2147483648 images, holds 0", cut},
		{"magic", []byte("hello, world"), good, Classification, "images.idx: not an IDX file: it begins with 68656c6c",
			"IDX files begin with two zero bytes and an element type; is this the right file?"},
		{"no dimensions", idxFile(8, nil), good, Classification, "images.idx: 0 dimensions",
			"an IDX file for training has one to four dimensions, rows first"},
		{"in the header", []byte{0, 0, 8, 3, 0}, good, Classification, "images.idx: ends in its header", cut},
		{"in the magic", []byte{0, 0, 8}, good, Classification, "images.idx: ends in its header", cut},
		{"no rows", idxFile(8, []uint32{0, 2}), good, Classification, "images.idx: holds no rows: its shape is [0 2]",
			"check whether the program that wrote it ended well"},
		{"rows differ", idxFile(8, []uint32{3}, 1, 2, 3), good, Classification,
			"images.idx holds 3 rows, labels.idx holds 2",
			"both must hold the same rows in the same order; is one of another split?"},
		{"labels cut", good, idxFile(8, []uint32{3}, 1), Classification, "labels.idx: announces 3 labels, holds 1", cut},
		{"negative label", good, idxFile(9, []uint32{2}, 0, 0xff), Classification,
			"labels.idx: row 1: label -1 is negative",
			"labels are whole numbers from 0 to the number of classes less one; to predict numbers use loss: mse"},
		{"NaN", idxFile(13, []uint32{2, 1}, 0, 0, 0, 0, 0x7f, 0xc0, 0, 0), good, Classification,
			"images.idx: row 1, value 0 is NaN", "drop the row, or fill in and scale the values"},
		{"double over float32", idxFile(14, []uint32{2}, append(make([]byte, 8), 0x7e, 0, 0, 0, 0, 0, 0, 0)...), good,
			Classification,
			"images.idx: row 1, value 0 is infinite, or too large for float32",
			"drop the row, or fill in and scale the values"},
		{"labels for binary", good, idxFile(8, []uint32{2}, 1, 2), Binary, "labels.idx: row 1: 2 is not between 0 and 1",
			"bce_with_logits takes 0 and 1; for classes use loss: cross_entropy"},
		{"rows of labels", good, idxFile(8, []uint32{2, 2}, 1, 0, 0, 1), Classification, "labels.idx: 2 labels a row",
			"give one whole number a row, not one column a class: y.argmax(axis=1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadIDX(t, c.images, c.labels, c.task)
			wantFault(t, err, c.message, c.hint)
		})
	}
	path := write(t, "images.idx", good)
	_, err := Load(t.Context(), &Spec{Source: SourceIDX, X: path, Y: path}, Classification)
	wantFault(t, err, "features and target are both "+clip(path), "name a file of features and a file of targets")
}

// An announcement must not cost memory before the data is there: the reader
// fails after a few bytes of a gigabyte.
func TestAnnouncementsTakeNoMemory(t *testing.T) {
	head := pack(idxFile(8, []uint32{1 << 20, 1 << 10}, make([]byte, 1000)...))
	if allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in := inputOf(b, "x", head, defaultLimits())
			if _, err := readIDX(in, "", true, defaultLimits()); err == nil {
				b.Fatal("no error")
			}
		}
	}).AllocedBytesPerOp(); allocated > 4<<20 {
		t.Errorf("%d bytes allocated", allocated)
	}
}

func TestIDXRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.Uint32Range(1, 5), 1, 4).Draw(t, "shape")
		n := 1
		for _, d := range shape {
			n *= int(d)
		}
		want := rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "values")
		var b bytes.Buffer
		binary.Write(&b, binary.BigEndian, want) // to memory: cannot fail
		content := idxFile(13, shape, b.Bytes()...)
		if rapid.Bool().Draw(t, "packed") {
			content = pack(content)
		}
		in, err := newInput(t.Context(), "x", bytes.NewReader(content), int64(len(content)), defaultLimits(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		a, err := readIDX(in, "", true, defaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range want {
			if a.data[i] != v {
				t.Fatalf("value %d is %v, want %v", i, a.data[i], v)
			}
		}
	})
}

func TestGzipFaults(t *testing.T) {
	whole := pack(bytes.Repeat([]byte("1,2,3\n"), 100))
	damagedSum := bytes.Clone(whole)
	damagedSum[len(damagedSum)-5] ^= 1
	zeros := pack(idxFile(8, []uint32{1 << 10, 1 << 10}, make([]byte, 1<<20)...))
	lim := tinyLimits()
	for _, c := range []struct {
		name          string
		content       []byte
		message, hint string
	}{
		{"cut", whole[:len(whole)-9], "x.gz: the gzip data is cut short", "copy or download the file again"},
		{"cut header", whole[:5], "x.gz: the gzip data is cut short", "copy or download the file again"},
		{"checksum", damagedSum, "x.gz: the gzip data is damaged: gzip: invalid checksum",
			"copy or download the file again"},
		{"bomb", zeros, "x.gz: unpacks to more than 20 times its size",
			"if the file is what you think it is, unpack it first (gunzip)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := newInput(t.Context(), "x.gz", bytes.NewReader(c.content), int64(len(c.content)), lim, io.Discard)
			if err == nil {
				_, err = io.Copy(io.Discard, in.r)
			}
			wantFault(t, err, c.message, c.hint)
		})
	}
	lim.packRatio = 1 << 20
	in := inputOf(t, "x.gz", zeros, lim)
	_, err := io.Copy(io.Discard, in.r)
	wantFault(t, err, "x.gz: unpacks to more than 1048576 bytes", "train on a part of the rows")
}

func TestReadErrorIsAFault(t *testing.T) {
	in := &rawReader{ctx: t.Context(), name: "x", r: io.MultiReader(errorReader{}), sum: io.Discard}
	_, err := in.Read(make([]byte, 10))
	wantFault(t, err, "x: cannot be read: input/output error", "check the disk or the mount that holds it")
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("input/output error") }
