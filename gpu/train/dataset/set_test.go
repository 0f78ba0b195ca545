package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(20, 300).Draw(t, "rows")
		classes := rapid.IntRange(1, 5).Draw(t, "classes")
		strata := rapid.SliceOfN(rapid.Int32Range(0, int32(classes-1)), rows, rows).Draw(t, "strata")
		s := Split{
			Validation: rapid.SampledFrom([]float64{0, 0.1, 0.25, 0.33}).Draw(t, "validation"),
			Test:       rapid.SampledFrom([]float64{0.1, 0.2, 0.5}).Draw(t, "test"),
			Seed:       rapid.Uint64().Draw(t, "seed"), Stratify: rapid.Bool().Draw(t, "stratify"),
		}
		p, err := split("x", rows, strata, s)
		if err != nil {
			t.Fatal(err)
		}
		if p.train+p.val+p.test != rows {
			t.Fatalf("%+v of %d rows", p, rows)
		}
		if seen := slices.Sorted(slices.Values(p.order)); seen[0] != 0 || int(seen[rows-1]) != rows-1 ||
			len(slices.Compact(seen)) != rows {
			t.Fatalf("order is no permutation: %v", p.order)
		}
		last := [3]int32{-1, -1, -1}
		held := make([][3]int, classes) // rows of a class by part
		counts := make([]int, classes)
		for row, place := range p.order {
			part := 0
			if int(place) >= p.train {
				part = 1
			}
			if int(place) >= p.train+p.val {
				part = 2
			}
			if place < last[part] {
				t.Fatalf("row %d comes before an earlier one", row)
			}
			last[part] = place
			held[strata[row]][part]++
			counts[strata[row]]++
		}
		// A class that is down to its last training row gives no more, which
		// leaves the shares short or moves them to other classes.
		exhausted := slices.ContainsFunc(held, func(h [3]int) bool { return h[0] <= 1 })
		exact := [2]float64{s.Validation * float64(rows), s.Test * float64(rows)}
		if !exhausted && (abs(float64(p.val)-exact[0]) > 0.5 || abs(float64(p.test)-exact[1]) > 0.5) {
			t.Fatalf("%+v of %d rows is not near %v", p, rows, exact)
		}
		if !s.Stratify || exhausted {
			return
		}
		for c, h := range held {
			if abs(float64(h[1])-s.Validation*float64(counts[c])) > 1 ||
				abs(float64(h[2])-s.Test*float64(counts[c])) > 1 || h[0] == 0 {
				t.Fatalf("class %d of %d rows is split %v", c, counts[c], h)
			}
		}
	})
}

func abs(v float64) float64 { return max(v, -v) }

// Rows move with their targets, and a seed gives the same parts again.
func TestSplitMovesWholeRows(t *testing.T) {
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "%d,%d,%d\n", i, i*i, i%3)
	}
	spec := Spec{Source: SourceCSV, File: write(t, "x.csv", []byte(b.String())),
		Split: Split{Validation: 0.2, Test: 0.1, Seed: 3, Stratify: true}}
	s := mustLoad(t, spec, Classification)
	if s.TrainRows != 35 || s.ValRows != 10 || s.TestRows != 5 {
		t.Errorf("parts of %d, %d, %d rows", s.TrainRows, s.ValRows, s.TestRows)
	}
	for row := range s.Rows {
		i := s.X[2*row]
		if s.X[2*row+1] != i*i || s.Labels[row] != int32(i)%3 {
			t.Errorf("row %d: %v with label %d", row, s.X[2*row:2*row+2], s.Labels[row])
		}
	}
	again := mustLoad(t, spec, Classification)
	equal(t, "the second load", again.X, s.X)
	spec.Split.Seed = 4
	if other := mustLoad(t, spec, Classification); slices.Equal(other.X, s.X) || other.Hash == s.Hash {
		t.Error("another seed splits alike")
	}
}

func TestSplitFaults(t *testing.T) {
	path := write(t, "x.csv", []byte("1,2\n3,4\n"))
	for _, c := range []struct {
		split         Split
		message, hint string
	}{
		{Split{Validation: 0.2}, "x.csv: 2 rows cannot be split into validation 0.2 and test 0",
			"use more rows or larger shares"},
		{Split{Validation: 1}, "split: validation 1 is not in [0, 1)", "give the share of all rows, such as 0.2"},
		{Split{Test: -0.5}, "split: test -0.5 is not in [0, 1)", "give the share of all rows, such as 0.2"},
		{Split{Validation: 0.5, Test: 0.5}, "split: validation 0.5 and test 0.5 leave no rows to train on",
			"leave rows to train on"},
	} {
		_, err := Load(t.Context(), &Spec{Source: SourceCSV, File: path, Split: c.split}, Regression)
		wantFault(t, err, c.message, c.hint)
	}
}

func TestSpecFaults(t *testing.T) {
	_, err := Load(t.Context(), &Spec{Source: "iirs"}, Classification)
	wantFault(t, err, `no data source "iirs"`,
		`did you mean "iris"? sources: digits, iris, wine, breast-cancer, diabetes, `+
			`moons, spirals, blobs, teacher, csv, idx, npy, parquet, safetensors`)
	_, err = Load(t.Context(), &Spec{Source: SourceIris, Shape: []int{0, 4}}, Classification)
	wantFault(t, err, "shape [0 4]: 0 is out of range", "each dimension is 1 or more")
	_, err = Load(t.Context(), &Spec{Source: SourceIris, Shape: []int{1, 1, 2, 2}}, Classification)
	wantFault(t, err, "shape [1 1 2 2]: 4 dimensions",
		"a row is a list of numbers, [64], or an image, [channels, height, width]")
	if _, err := Load(t.Context(), &Spec{Source: SourceIris}, "guess"); err == nil ||
		err.Error() != `load data: no task "guess"` {
		t.Errorf("error %v", err)
	}
}

func TestStandardize(t *testing.T) {
	// Two channels of two numbers; the second is constant in training.
	x := []float32{1, 3, 5, 5, 3, 5, 5, 5, 100, 1, 5, 9}
	mean, deviation, err := moments(t.Context(), x, 2, []int{2, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "mean", mean, []float32{3, 5})
	equal(t, "deviation", deviation, []float32{1.4142135, 1})
	if err := standardize(t.Context(), "x", x[8:], []int{2, 1, 2}, mean, deviation); err != nil {
		t.Fatal(err)
	}
	equal(t, "last row", x[8:], []float32{97 / float32(1.4142135), -2 / float32(1.4142135), 0, 4})
	err = standardize(t.Context(), "x.csv", []float32{1, 3e38}, []int{2}, []float32{0, -3e38}, []float32{1, 1})
	wantFault(t, err, "x.csv: feature 1 has a value too far from the training rows to standardize",
		"scale or drop the outliers, or set standardize: false")
}

func TestStandardizedTrainingPart(t *testing.T) {
	s := mustLoad(t, Spec{Source: SourceWine, Standardize: true, Split: Split{Validation: 0.3, Seed: 1,
		Stratify: true}}, Classification)
	mean, deviation, err := moments(t.Context(), s.X, s.TrainRows, s.Shape)
	if err != nil {
		t.Fatal(err)
	}
	for g := range mean {
		if abs(float64(mean[g])) > 1e-5 || abs(float64(deviation[g])-1) > 1e-5 {
			t.Errorf("feature %d has mean %v and deviation %v after standardizing", g, mean[g], deviation[g])
		}
	}
}

func TestFileFaults(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.csv")
	_, err := Load(t.Context(), &Spec{Source: SourceCSV, File: missing}, Regression)
	var f *Fault
	if !errors.As(err, &f) || f.Code != CodeNotFound || f.Message != missing+": no such file" ||
		f.Hint != "check the path; the daemon must see the file under the same path" {
		t.Errorf("missing file: %+v", f)
	}
	_, err = Load(t.Context(), &Spec{Source: SourceCSV}, Regression)
	wantFault(t, err, "no file is given", "name the file to read")
	_, err = Load(t.Context(), &Spec{Source: SourceParquet, File: dir}, Regression)
	wantFault(t, err, filepath.Base(dir)+": is a directory", "name a file in it")
	pipe := filepath.Join(dir, "pipe.csv")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(t.Context(), &Spec{Source: SourceCSV, File: pipe}, Regression)
	wantFault(t, err, "pipe.csv: is not a regular file", "copy the data to a regular file and name that")
	_, err = Load(t.Context(), &Spec{Source: SourceCSV, File: os.DevNull}, Regression)
	wantFault(t, err, "null: is not a regular file", "copy the data to a regular file and name that")
	big := write(t, "big.csv", make([]byte, 1<<20+1))
	_, err = loadLimited(t.Context(), &Spec{Source: SourceCSV, File: big}, Regression, tinyLimits())
	wantFault(t, err, "big.csv: 1048577 bytes are over the limit of 1048576",
		"train on a part of the rows, or use a denser format")
	wantFault(t, openFault("/x/secret.csv", &os.PathError{Op: "open", Err: syscall.EACCES}),
		"/x/secret.csv: permission denied",
		"let the user that runs the daemon read the file and enter its directories")
	wantFault(t, openFault("/x/a.csv", &os.PathError{Op: "open", Err: syscall.ELOOP}),
		"/x/a.csv: too many levels of symbolic links", "check the path and the disk")
}

func TestFileChangedWhileRead(t *testing.T) {
	path := write(t, "x.csv", []byte("1,2\n"))
	in, err := openInput(t.Context(), path, defaultLimits(), newSum())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.WriteFile(path, []byte("1,2\n3,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFault(t, in.finish(), "x.csv: changed while it was read", "wait until it is complete, then submit again")
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x := write(t, "x.csv", []byte("1,2\n3,4\n"))
	for _, spec := range []Spec{
		{Source: SourceCSV, File: x}, {Source: SourceParquet, File: x}, {Source: SourceDigits},
		{Source: SourceMoons, Make: Make{Rows: 10}},
	} {
		if _, err := Load(ctx, &spec, Classification); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", spec.Source, err)
		}
	}
	if _, _, err := moments(ctx, []float32{1}, 1, []int{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("moments: error %v", err)
	}
}

func TestHashAndKey(t *testing.T) {
	content := []byte("a,y\n1,2\n3,4\n")
	spec := Spec{Source: SourceCSV, File: write(t, "a.csv", content)}
	moved := spec
	moved.File = write(t, "b.csv", content)
	key := func(s Spec) string {
		k, err := Key(&s, Regression)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if mustLoad(t, spec, Regression).Hash != mustLoad(t, moved, Regression).Hash {
		t.Error("a copy of a file has another hash")
	}
	if key(spec) == key(moved) {
		t.Error("two files have one key")
	}
	if first, second := key(spec), key(spec); first != second {
		t.Error("a file has two keys")
	}
	other := spec
	other.Target = "a"
	if key(spec) == key(other) || mustLoad(t, spec, Regression).Hash == mustLoad(t, other, Regression).Hash {
		t.Error("another target gives the same key or hash")
	}
	irrelevant := spec
	irrelevant.Make.Rows, irrelevant.Split.Seed = 7, 9
	if key(spec) != key(irrelevant) {
		t.Error("what the source does not use changes the key")
	}
	before := key(spec)
	if err := os.Chtimes(spec.File, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if key(spec) == before {
		t.Error("a changed file has the same key")
	}
	if err := os.WriteFile(spec.File, []byte("a,y\n1,2\n3,5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if mustLoad(t, spec, Regression).Hash == mustLoad(t, moved, Regression).Hash {
		t.Error("other content has the same hash")
	}
	_, err := Key(&Spec{Source: SourceCSV, File: "/none/at/all.csv"}, Regression)
	var f *Fault
	if !errors.As(err, &f) || f.Code != CodeNotFound {
		t.Errorf("error %v", err)
	}
}

// newSum stands in for a load's hash.
func newSum() *discardHash { return &discardHash{} }

type discardHash struct{}

func (*discardHash) Write(p []byte) (int, error) { return len(p), nil }
func (*discardHash) Sum(b []byte) []byte         { return b }
func (*discardHash) Reset()                      {}
func (*discardHash) Size() int                   { return 0 }
func (*discardHash) BlockSize() int              { return 1 }
