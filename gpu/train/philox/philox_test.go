package philox

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The known-answer vectors for philox4x32 with 10 rounds that Random123
// publishes in its kat_vectors file.
func TestKnownAnswers(t *testing.T) {
	const ones = math.MaxUint32
	for _, v := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{ones, ones, ones, ones}, [2]uint32{ones, ones},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := rounds(v.counter, v.key); got != v.want {
			t.Errorf("rounds(%x, %x) = %x, want %x", v.counter, v.key, got, v.want)
		}
	}
}

// The counter's layout is shared with device code, so it must not drift.
func TestBlockLayout(t *testing.T) {
	s := New(0x1122334455667788, Dropout, 0xAABBCCDD00112233)
	got := s.Block(0x00FEDCBA98765432)
	want := rounds([4]uint32{0x98765432, 0x03FEDCBA, 0x00112233, 0xAABBCCDD}, [2]uint32{0x55667788, 0x11223344})
	if got != want {
		t.Errorf("Block = %x, want %x", got, want)
	}
	if s.Block(1<<56) != s.Block(0) {
		t.Error("blocks are not taken modulo 2^56")
	}
}

func TestSourceReadsTheStream(t *testing.T) {
	s := New(7, MakeData, 3)
	src := s.Source()
	for i := range uint64(99) {
		if got, want := src.Uint32(), s.Uint32(i); got != want {
			t.Fatalf("number %d: source %x, stream %x", i, got, want)
		}
	}
	if got, want := src.Float32(), s.Float32(99); got != want {
		t.Errorf("number 99 as a float: source %v, stream %v", got, want)
	}
}

func TestPurposesAndStreamsDiffer(t *testing.T) {
	seen := map[[4]uint32]string{}
	for _, seed := range []uint64{0, 1, 1 << 32} {
		for _, p := range []Purpose{InitWeights, Shuffle, Dropout, Split, MakeData} {
			for _, stream := range []uint64{0, 1, 1 << 32} {
				b := New(seed, p, stream).Block(0)
				if was, ok := seen[b]; ok {
					t.Errorf("equal blocks: %s", was)
				}
				seen[b] = "met twice"
			}
		}
	}
}

func TestFloatsAreInRange(t *testing.T) {
	if got := Unit(math.MaxUint32); got >= 1 || got != 1-0x1p-24 {
		t.Errorf("Unit of the largest word = %v", got)
	}
	src := New(1, MakeData, 0).Source()
	var sum, squares float64
	const n = 200_000
	for range n {
		f := src.Float64()
		if f < 0 || f >= 1 {
			t.Fatalf("Float64 = %v", f)
		}
		x := src.Normal()
		sum += x
		squares += x * x
	}
	// Six standard errors: 1/√n for the mean, √(2/n) for the variance.
	if mean := sum / n; math.Abs(mean) > 6/math.Sqrt(n) {
		t.Errorf("mean of Normal = %v", mean)
	}
	if v := squares / n; math.Abs(v-1) > 6*math.Sqrt(2.0/n) {
		t.Errorf("variance of Normal = %v", v)
	}
}

func TestUint32nIsUniform(t *testing.T) {
	src := New(2, Split, 0).Source()
	const n, draws = 6, 600_000
	var counts [n]int
	for range draws {
		counts[src.Uint32n(n)]++
	}
	var chi2 float64
	for _, c := range counts {
		d := float64(c) - draws/n
		chi2 += d * d / (draws / n)
	}
	if chi2 > 25.7 { // the 0.9999 quantile of chi-squared with 5 degrees of freedom
		t.Errorf("chi-squared = %.1f over %v", chi2, counts)
	}
}

// With n = 3·2^30 a quarter of all words must be drawn again; taking the high
// half of a plain product would give a third of the values double weight.
func TestUint32nRejects(t *testing.T) {
	src := New(3, Split, 0).Source()
	const n, draws = 3 << 30, 30_000
	first := 0
	for range draws {
		x := src.Uint32n(n)
		if x >= n {
			t.Fatalf("Uint32n(%d) = %d", uint32(n), x)
		}
		if x%3 == 0 {
			first++
		}
	}
	if src.next < draws*5/4 {
		t.Errorf("%d words for %d draws: nothing was rejected", src.next, draws)
	}
	if d := math.Abs(float64(first) - draws/3); d > 6*math.Sqrt(draws*2.0/9) {
		t.Errorf("%d of %d draws divisible by 3", first, draws)
	}
}

func TestUint32nOfZeroPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(0, Split, 0).Source().Uint32n(0)
}

func TestPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		epoch := rapid.Uint64Range(0, 1000).Draw(t, "epoch")
		a := make([]int32, rapid.IntRange(0, 500).Draw(t, "rows"))
		b := make([]int32, len(a))
		Permutation(seed, epoch, a)
		Permutation(seed, epoch, b)
		if !slices.Equal(a, b) {
			t.Fatal("two permutations of one epoch differ")
		}
		slices.Sort(b)
		for i, x := range b {
			if int(x) != i {
				t.Fatalf("%d is missing", i)
			}
		}
	})
}

// Pinned: a change here changes every job's result.
func TestPermutationIsPinned(t *testing.T) {
	got := make([]int32, 10)
	Permutation(42, 0, got)
	want := []int32{9, 3, 4, 5, 0, 1, 2, 7, 8, 6}
	if !slices.Equal(got, want) {
		t.Errorf("Permutation(42, 0) = %v, want %v", got, want)
	}
	Permutation(42, 1, got)
	if slices.Equal(got, want) {
		t.Error("two epochs have one order")
	}
}

// Every order of a few rows must be equally likely over epochs.
func TestPermutationIsUniform(t *testing.T) {
	for _, c := range []struct {
		rows, orders int
		limit        float64 // 0.9999 quantile of chi-squared with orders-1 degrees of freedom
	}{{3, 6, 25.7}, {4, 24, 58.6}, {5, 120, 181.8}, {6, 720, 869.5}} {
		if testing.Short() && c.orders > 200 {
			continue
		}
		epochs := uint64(200 * c.orders)
		counts := map[[6]int32]int{}
		for e := range epochs {
			var p [6]int32
			Permutation(9, e, p[:c.rows])
			counts[p]++
		}
		var chi2 float64
		for _, n := range counts {
			d := float64(n) - 200
			chi2 += d * d / 200
		}
		if len(counts) != c.orders || chi2 > c.limit {
			t.Errorf("%d rows: %d orders of %d, chi-squared %.1f, limit %.1f", c.rows, len(counts), c.orders, chi2, c.limit)
		}
	}
}

// In a larger order every row must be as likely at every place, and so must
// every step from one row to the next.
func TestPermutationPlaces(t *testing.T) {
	const rows, epochs = 100, 5_000
	var places, steps [rows][rows]float64
	for e := range uint64(epochs) {
		var p [rows]int32
		Permutation(5, e, p[:])
		for i, row := range p {
			places[i][row]++
			steps[i][(row-p[(i+1)%rows]+rows)%rows]++
		}
	}
	chi2 := func(counts [rows][rows]float64, values float64, skip int) (sum float64) {
		for i := range counts {
			for v, n := range counts[i] {
				if v >= skip {
					sum += (n - epochs/values) * (n - epochs/values) / (epochs / values)
				}
			}
		}
		return sum
	}
	// About 10,000 degrees of freedom: mean 9,900, deviation 141.
	for what, sum := range map[string]float64{"places": chi2(places, rows, 0), "steps": chi2(steps, rows-1, 1)} {
		if sum > 9900+5*141 {
			t.Errorf("%s: chi-squared %.0f", what, sum)
		}
	}
}

func TestPermutationDoesNotAllocate(t *testing.T) {
	dst := make([]int32, 100)
	if n := testing.AllocsPerRun(10, func() { Permutation(1, 2, dst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBlock(b *testing.B) {
	s := New(1, Dropout, 0)
	b.ReportAllocs()
	b.SetBytes(16)
	var sum uint32
	for i := range uint64(b.N) {
		sum += s.Block(i)[0]
	}
	sink = sum
}

func BenchmarkPermutation60000(b *testing.B) {
	dst := make([]int32, 60_000)
	b.ReportAllocs()
	for i := range uint64(b.N) {
		Permutation(1, i, dst)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(dst)), "ns/row")
}

var sink uint32
