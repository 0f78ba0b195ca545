package dataset

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// csvOf writes rows of 16 numbers and a class.
func csvOf(rows int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range rows {
		for range 16 {
			fmt.Fprintf(&b, "%.4f,", 10*random.NormFloat64())
		}
		fmt.Fprintf(&b, "%d\n", random.IntN(10))
	}
	return []byte(b.String())
}

func benchmarkLoad(b *testing.B, spec Spec, task Task, bytes int) {
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(context.Background(), &spec, task); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadCSV(b *testing.B) {
	content := csvOf(100_000)
	benchmarkLoad(b, Spec{Source: SourceCSV, File: write(b, "x.csv", content)}, Classification, len(content))
}

// BenchmarkLoadIDX loads MNIST's training part in size: 60,000 images of 28x28.
func BenchmarkLoadIDX(b *testing.B) {
	images := idxFile(8, []uint32{60_000, 28, 28}, make([]byte, 60_000*28*28)...)
	labels := idxFile(8, []uint32{60_000}, make([]byte, 60_000)...)
	benchmarkLoad(b, Spec{Source: SourceIDX, X: write(b, "x.idx", images), Y: write(b, "y.idx", labels)},
		Classification, len(images))
}

func BenchmarkLoadNPY(b *testing.B) {
	x := npyFile(npyHeaderOf("<f4", false, 100_000, 100), make([]byte, 4*100_000*100))
	y := npyFile(npyHeaderOf("<i8", false, 100_000), make([]byte, 8*100_000))
	benchmarkLoad(b, Spec{Source: SourceNPY, X: write(b, "x.npy", x), Y: write(b, "y.npy", y)}, Classification, len(x))
}

func BenchmarkLoadParquet(b *testing.B) {
	content := parquetOf(b, wideRows(100_000))
	benchmarkLoad(b, Spec{Source: SourceParquet, File: write(b, "x.parquet", content)}, Classification, 100_000*8*4)
}

// BenchmarkPrepare splits and standardizes as many numbers as MNIST has.
func BenchmarkPrepare(b *testing.B) {
	spec := Spec{Source: SourceBlobs, Make: Make{Rows: 1000, Features: 784, Classes: 10}, Standardize: true,
		Split: Split{Validation: 0.2, Stratify: true}}
	made, err := Load(context.Background(), &spec, Classification)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(4 * len(made.X)))
	b.ReportAllocs()
	for b.Loop() {
		mean, deviation, err := moments(context.Background(), made.X, made.TrainRows, made.Shape)
		if err != nil {
			b.Fatal(err)
		}
		if err := standardize(context.Background(), "x", made.X, made.Shape, mean, deviation); err != nil {
			b.Fatal(err)
		}
		p, err := split("x", made.Rows, made.Labels, spec.Split)
		if err != nil {
			b.Fatal(err)
		}
		reorder(p.order, made.X, 784, made.Labels, nil, 0)
	}
}

func BenchmarkLoadDigits(b *testing.B) {
	benchmarkLoad(b, Spec{Source: SourceDigits, Standardize: true, Split: Split{Validation: 0.2, Stratify: true}},
		Classification, 265359)
}
