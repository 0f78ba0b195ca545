package dataset

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// fuzzed runs one reader on hostile bytes: it must return a table that fits
// together or a fault, and take memory in proportion to the limits.
func fuzzed(t *testing.T, content []byte, read func(in *input, lim limits) (*table, error)) {
	lim := tinyLimits()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, err := newInput(context.Background(), "x", bytes.NewReader(content), int64(len(content)), lim, io.Discard)
	var table *table
	if err == nil {
		table, err = read(in, lim)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("%d bytes were allocated for %d", used, len(content))
	}
	if err != nil {
		if !settled(err) {
			t.Errorf("error %v is no fault", err)
		}
		return
	}
	checkTable(t, table)
}

func checkTable(t *testing.T, table *table) {
	if table.rows < 1 || len(table.x) != table.rows*size(table.shape) {
		t.Errorf("%d rows of %v hold %d numbers", table.rows, table.shape, len(table.x))
	}
	for _, v := range table.x {
		if v-v != 0 {
			t.Errorf("feature %v", v)
		}
	}
	y := table.y
	if y.labels == nil && len(y.values) != table.rows*y.width || y.labels != nil && len(y.labels) != table.rows {
		t.Errorf("%d labels, %d values of width %d for %d rows", len(y.labels), len(y.values), y.width, table.rows)
	}
	for _, label := range y.labels {
		if label < 0 || int(label) > y.max || y.classes != nil && int(label) >= len(y.classes) {
			t.Errorf("label %d of %d classes, highest %d", label, len(y.classes), y.max)
		}
	}
}

func taskOf(b byte) Task { return []Task{Classification, Binary, Regression}[b%3] }

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		"a,b,y\n1,2,3\n4,5,6\n", "1;2;x\r\n3;4;y\r\n", "\ufeffa\tb\n1\t2\n", "\"a\"\"\",\"b\nc\"\n1,2\n", ",\n,\n",
		"1,2\n3\n", "x,y\n1,\"", "a,y\n1e39,0x1p4\n", "\xff\xfea\x00", "a,y\n1,1\n2,1.0\n3,-0\n4,0\n",
		string(pack([]byte("a,y\n1,2\n"))),
	} {
		f.Add([]byte(seed), "", byte(0))
		f.Add([]byte(seed), "1", byte(2))
	}
	f.Fuzz(func(t *testing.T, content []byte, target string, task byte) {
		fuzzed(t, content, func(in *input, lim limits) (*table, error) { return readCSV(in, target, taskOf(task), lim) })
	})
}

// withTarget makes a table of an array, taking its first column as the target.
func withTarget(a *array, err error, lim limits, task Task) (*table, error) {
	if err != nil {
		return nil, err
	}
	y := &array{name: "y", shape: []int64{a.shape[0]}}
	if width := int(a.rowSize()); width > 0 {
		for i := 0; i < len(a.data); i += width {
			y.data = append(y.data, a.data[i])
		}
	}
	return arrayTable(a, y, task, lim)
}

func FuzzIDX(f *testing.F) {
	for _, seed := range [][]byte{
		idxFile(8, []uint32{3, 1, 2}, 0, 255, 51, 102, 1, 2), idxFile(14, []uint32{1}, make([]byte, 8)...),
		idxFile(8, []uint32{1 << 31, 1 << 31, 1 << 31, 1 << 31}), idxFile(8, []uint32{0, 5}),
		pack(idxFile(11, []uint32{2}, 0, 1, 0, 2)), {0, 0, 8},
	} {
		f.Add(seed, byte(0))
	}
	f.Fuzz(func(t *testing.T, content []byte, task byte) {
		fuzzed(t, content, func(in *input, lim limits) (*table, error) {
			a, err := readIDX(in, "image", true, lim)
			return withTarget(a, err, lim, taskOf(task))
		})
	})
}

func FuzzNPY(f *testing.F) {
	for _, name := range []string{"f8", "fortran_f4", "big_i2", "bool", "half", "u8", "v2", "v3", "object", "struct"} {
		seed, err := os.ReadFile("testdata/" + name + ".npy")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, byte(2))
	}
	f.Add(npyFile(npyHeaderOf("<f4", true, 1<<40, 1<<40), nil), byte(0))
	f.Fuzz(func(t *testing.T, content []byte, task byte) {
		fuzzed(t, content, func(in *input, lim limits) (*table, error) {
			a, err := readNPY(in, lim)
			return withTarget(a, err, lim, taskOf(task))
		})
	})
}

func FuzzParquet(f *testing.F) {
	for _, option := range []parquet.WriterOption{
		parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Snappy),
		parquet.Compression(&parquet.Zstd),
		parquet.Compression(&parquet.Gzip), parquet.DataPageVersion(1),
	} {
		f.Add(parquetOf(f, wideRows(5), option), byte(0))
		f.Add(parquetOf(f, []single2{{1, 2}, {3, 4}}, option), byte(2))
	}
	f.Fuzz(func(t *testing.T, content []byte, task byte) {
		fuzzed(t, content, func(_ *input, lim limits) (*table, error) { return readHostile(content, taskOf(task)) })
	})
}

func FuzzView(f *testing.F) {
	for _, task := range []Task{Classification, Regression} {
		s, err := Load(f.Context(), &Spec{Source: SourceMoons, Make: Make{Rows: 5}, Standardize: true}, task)
		if err != nil {
			f.Fatal(err)
		}
		b, err := Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		b := bytesOf(make([]float32, len(content)/4+1))[:len(content)]
		copy(b, content)
		s, err := View(b)
		if err != nil {
			return
		}
		if len(s.X) != s.Rows*size(s.Shape) || s.TrainRows+s.ValRows+s.TestRows != s.Rows {
			t.Errorf("%+v holds %d numbers", s.Info, len(s.X))
		}
		if s.Labels == nil && len(s.Targets) != s.Rows*s.TargetWidth || s.Labels != nil && len(s.Labels) != s.Rows {
			t.Errorf("%+v holds %d labels and %d targets", s.Info, len(s.Labels), len(s.Targets))
		}
		for _, label := range s.Labels {
			if label < 0 || int(label) > s.MaxLabel {
				t.Errorf("label %d", label)
			}
		}
		sum := float32(0) // reads every number: none lies outside of b
		for _, v := range s.X {
			sum += v
		}
		for _, v := range s.Targets {
			sum += v
		}
		runtime.KeepAlive(sum)
	})
}
