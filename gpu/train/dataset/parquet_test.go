package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"pgregory.net/rapid"
)

// parquetOf writes rows with the library.
func parquetOf[T any](t interface{ Fatal(...any) }, rows []T, options ...parquet.WriterOption) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func loadParquet(t *testing.T, content []byte, target string, task Task) (*Set, error) {
	t.Helper()
	spec := Spec{Source: SourceParquet, File: write(t, "train.parquet", content), Target: target}
	return Load(t.Context(), &spec, task)
}

type wideRow struct {
	F float32 `parquet:"f"`
	D float64 `parquet:"d"`
	I int32   `parquet:"i"`
	L int64   `parquet:"l,delta"`
	U uint32  `parquet:"u"`
	B bool    `parquet:"b"`
	X int64   `parquet:"__index_level_0__"`
	O *int32  `parquet:"o,optional"`
	Y string  `parquet:"y,dict"`
}

func wideRows(n int) []wideRow {
	rows := make([]wideRow, n)
	for i := range rows {
		o := int32(i % 5)
		rows[i] = wideRow{F: float32(i), D: float64(i) / 4, I: -int32(i), L: int64(i) << 33, U: math.MaxUint32,
			B: i%2 == 0, X: 77, O: &o, Y: []string{"pear", "fig"}[i%2]}
	}
	return rows
}

func TestParquet(t *testing.T) {
	rows := wideRows(3000)
	for name, codec := range map[string]compress.Codec{
		"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd,
	} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%s, pages v%d", name, version), func(t *testing.T) {
				content := parquetOf(t, rows, parquet.Compression(codec), parquet.DataPageVersion(version),
					parquet.MaxRowsPerRowGroup(700), parquet.PageBufferSize(512))
				s, err := loadParquet(t, content, "y", Classification)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "features", s.Features, strings.Split("f d i l u b o", " "))
				equal(t, "classes", s.Classes, []string{"fig", "pear"})
				if s.Rows != len(rows) || s.Shape[0] != 7 || s.TargetColumn != 7 {
					t.Fatalf("%d rows of %v, target at %d", s.Rows, s.Shape, s.TargetColumn)
				}
				for i, r := range rows {
					b := float32((i + 1) % 2)
					want := []float32{r.F, float32(r.D), float32(r.I), float32(r.L), math.MaxUint32, b, float32(*r.O)}
					for c, v := range want {
						if s.X[i*7+c] != v {
							t.Fatalf("row %d: %v, want %v", i, s.X[i*7:i*7+7], want)
						}
					}
					if s.Labels[i] != int32((i+1)%2) {
						t.Fatalf("row %d has label %d", i, s.Labels[i])
					}
				}
			})
		}
	}
}

func TestParquetTargets(t *testing.T) {
	type row struct {
		X float64 `parquet:"x"`
		Y float64 `parquet:"y"`
		B bool    `parquet:"b"`
	}
	content := parquetOf(t, []row{{1, 1.5, true}, {2, 10, false}, {3, 9, true}})
	s, err := loadParquet(t, content, "y", Regression)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "targets", s.Targets, []float32{1.5, 10, 9})
	equal(t, "X", s.X, []float32{1, 1, 2, 0, 3, 1})
	if s, err = loadParquet(t, content, "", Binary); err != nil {
		t.Fatal(err)
	}
	equal(t, "targets", s.Targets, []float32{1, 0, 1})
	_, err = loadParquet(t, content, "y", Classification)
	wantFault(t, err, `train.parquet: row 0: column "y": 1.5 is not a class`,
		"for a number to predict use loss: mse; classes are names or whole numbers")
}

func TestParquetFaults(t *testing.T) {
	type nullable struct {
		X *float64 `parquet:"x,optional"`
		Y float64  `parquet:"y"`
	}
	type text struct {
		City string  `parquet:"city"`
		Y    float64 `parquet:"y"`
	}
	type nested struct {
		A struct {
			B float64 `parquet:"b"`
		} `parquet:"a"`
		Y float64 `parquet:"y"`
	}
	type list struct {
		A []float64 `parquet:"a"`
		Y float64   `parquet:"y"`
	}
	type date struct {
		A int32   `parquet:"a,date"`
		Y float64 `parquet:"y"`
	}
	type single struct {
		Y float64 `parquet:"y"`
	}
	const encode = "features are numbers: drop the column, or encode it, such as 0 and 1 for each value"
	one := 1.0
	good := parquetOf(t, []nullable{{&one, 1}, {&one, 2}})
	lz4 := parquetOf(t, []nullable{{&one, 1}}, parquet.Compression(&parquet.Lz4Raw))
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[len(huge)-8:], 1<<31)
	for _, c := range []struct {
		name          string
		content       []byte
		target        string
		message, hint string
	}{
		{"null", parquetOf(t, []nullable{{&one, 1}, {nil, 2}}), "", `train.parquet: row 1: column "x": missing value`,
			"fill in missing values or drop their rows"},
		{"NaN", parquetOf(t, []single2{{1, 2}, {math.NaN(), 3}}), "", `train.parquet: row 1: column "x": NaN`,
			"drop the row, or fill in and scale the values"},
		{"too large", parquetOf(t, []single2{{1e300, 2}}), "",
			`train.parquet: row 0: column "x": infinite, or too large for float32`,
			"drop the row, or fill in and scale the values"},
		{"text", parquetOf(t, []text{{"Rome", 1}}), "", `train.parquet: column "city" is text`, encode},
		{"nested", parquetOf(t, []nested{{Y: 1}}), "", `train.parquet: column "a" is a group of columns`, encode},
		{"list", parquetOf(t, []list{{[]float64{1}, 1}}), "", `train.parquet: column "a" is a list`, encode},
		{"date", parquetOf(t, []date{{1, 1}}), "", `train.parquet: column "a" is of type DATE`, encode},
		{"one column", parquetOf(t, []single{{1}}), "", "train.parquet: 1 column", "features and a target are needed"},
		{"no rows", parquetOf(t, []nullable{}), "", "train.parquet: holds no rows",
			"check whether the program that wrote it ended well"},
		{"target", good, "Y", `train.parquet: no column "Y"`, `did you mean "y"? columns: x, y`},
		{"not Parquet", []byte("a,b,c\n1,2,3\n"), "", "train.parquet: not a Parquet file",
			"is this the right file? write it with to_parquet"},
		{"short", []byte("PAR1"), "", "train.parquet: not a Parquet file",
			"is this the right file? write it with to_parquet"},
		{"cut", good[:len(good)-20], "", "train.parquet: the Parquet file has no footer",
			"the file is cut short: copy or download it again"},
		{"encrypted", []byte("PARE 4567890PARE"), "", "train.parquet: the Parquet file is encrypted",
			"write it without encryption"},
		{"footer size", huge, "", "train.parquet: damaged Parquet file: a footer of 2147483648 bytes",
			"copy or write the file again"},
		{"LZ4", lz4, "", "train.parquet: compression LZ4_RAW cannot be read",
			"write it again with compression snappy, zstd, gzip or none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadParquet(t, c.content, c.target, Regression)
			wantFault(t, err, c.message, c.hint)
		})
	}
}

type single2 struct {
	X float64 `parquet:"x"`
	Y float64 `parquet:"y"`
}

// readHostile reads a Parquet file under tiny limits.
func readHostile(content []byte, task Task) (*table, error) {
	l := &load{ctx: context.Background(), lim: tinyLimits(), sum: sha256.New()}
	return l.readParquet("x.parquet", bytes.NewReader(content), int64(len(content)), "", task)
}

// Every single flipped bit is a fault or harmless, never a panic or a crash.
func TestParquetFlippedBits(t *testing.T) {
	one := int32(1)
	content := parquetOf(t, []wideRow{{F: 1, Y: "a", O: &one}, {F: 2, Y: "b", O: &one}},
		parquet.Compression(&parquet.Zstd))
	faults, tried := 0, 0
	for i := range content {
		for bit := range 8 {
			if testing.Short() && bit != i%8 {
				continue // one of each byte's
			}
			tried++
			content[i] ^= 1 << bit
			if _, err := readHostile(content, Classification); err != nil {
				if !settled(err) {
					t.Errorf("byte %d, bit %d: error %v is no fault", i, bit, err)
				}
				faults++
			}
			content[i] ^= 1 << bit
		}
	}
	if faults < tried/8 {
		t.Errorf("only %d of %d changes were noticed", faults, tried)
	}
}

func TestGuardRuns(t *testing.T) {
	runs := binary.AppendUvarint(nil, 1<<31) // 2^30 times one byte
	for name, c := range map[string]struct {
		b      []byte
		bits   int
		values int64
		want   string
	}{
		"good run":      {[]byte{200, 1, 7}, 3, 100, ""},
		"bit-packed":    {[]byte{3, 1, 2, 3, 4, 5, 6}, 6, 8, ""},
		"giant run":     {append(runs, 1), 8, 100, "a page of 100 values holds 1073741824 or more"},
		"many runs":     {bytes.Repeat([]byte{200, 1, 0}, 100), 1, 100, "a page of 100 values holds 700 or more"},
		"width":         {[]byte{2, 1}, 33, 100, "values of 33 bits"},
		"length of run": {bytes.Repeat([]byte{0xff}, 11), 1, 100, "a run without a length"},
		"overflow":      {binary.AppendUvarint(nil, math.MaxUint64), 1, 100, "a run of 9223372036854775807 values"},
	} {
		err := checkRuns(c.b, c.bits, c.values)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestThriftWalkRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"list of more than there is": {[]byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0x7f}, "unexpected EOF"},
		"list over the limit": {append([]byte{0x29, 0xf3, 101}, make([]byte, 200)...),
			"a list of 101 entries in its metadata is over the limit of 100"},
		"map over the limit": {append([]byte{0x2b, 101, 0x33}, make([]byte, 300)...),
			"a map of 101 entries in its metadata is over the limit of 100"},
		"text of more than there is": {[]byte{0x28, 50, 'a', 0}, "unexpected EOF"},
		"nesting":                    {bytes.Repeat([]byte{0x1c}, 100), "metadata nested too deeply"},
		"nested lists": {append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 100)...),
			"metadata nested too deeply"},
		"type":   {[]byte{0x1e}, "metadata of unknown type 14"},
		"no end": {[]byte{0x15, 2}, "unexpected EOF"},
	} {
		w := &thriftWalk{b: c.b, maxList: 100}
		if err := w.structure(); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
}

func TestParquetRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := make([]single2, rapid.IntRange(1, 50).Draw(t, "rows"))
		for i := range rows {
			rows[i] = single2{float64(rapid.Float32().Draw(t, "x")), float64(rapid.Float32().Draw(t, "y"))}
		}
		content := parquetOf(t, rows, parquet.MaxRowsPerRowGroup(int64(rapid.IntRange(1, 60).Draw(t, "group"))))
		table, err := readHostile(content, Regression)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rows {
			if table.x[i] != float32(r.X) || table.y.values[i] != float32(r.Y) {
				t.Fatalf("row %d: %v, %v, want %v", i, table.x[i], table.y.values[i], r)
			}
		}
	})
}
