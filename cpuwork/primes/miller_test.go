package primes

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probably is math/big's answer: Miller-Rabin and Baillie-PSW, which has no
// counterexample below 2^64.
func probably(n uint64) bool { return new(big.Int).SetUint64(n).ProbablyPrime(0) }

func TestAgainstPlainSieve(t *testing.T) {
	const limit = 10_000_000
	composite := make([]bool, limit)
	count := 0
	for n := range uint64(limit) {
		prime := n > 1 && !composite[n]
		if prime {
			count++
			for m := n * n; m < limit; m += n {
				composite[m] = true
			}
		}
		if Is(n) != prime {
			t.Fatalf("Is(%d) is %v, want %v", n, !prime, prime)
		}
	}
	if count != 664_579 { // π(10⁷)
		t.Errorf("the sieve found %d primes", count)
	}
}

// pseudoprimes are composites that fool many tests.
var pseudoprimes = map[string][]uint64{
	// The least strong pseudoprimes to the first 1 to 11 prime bases (OEIS A014233).
	"to the first bases": {
		2047, 1_373_653, 25_326_001, 3_215_031_751, 2_152_302_898_747, 3_474_749_660_383,
		341_550_071_728_321, 341_550_071_728_321, 3_825_123_056_546_413_051,
	},
	// Strong pseudoprimes to base 2 (OEIS A001262).
	"to base 2": {
		2047, 3277, 4033, 4681, 8321, 15841, 29341, 42799, 49141, 52633, 65281, 74665, 80581, 85489,
		88357, 90751, 104653, 130561, 196093, 220729, 233017, 252601, 253241, 256999, 271951, 280601,
		314821, 357761, 390937, 458989, 476971, 486737,
	},
	// Carmichael numbers (OEIS A002997), and the largest three factors of Chernick's
	// form (6k+1)(12k+1)(18k+1) are tested below.
	"Carmichael": {
		561, 1105, 1729, 2465, 2821, 6601, 8911, 10585, 15841, 29341, 41041, 46657, 52633, 62745, 63973,
		75361, 101101, 115921, 126217, 162401, 172081, 188461, 252601, 278545, 294409, 314821, 334153,
	},
	// Pseudoprimes to base 2 and Lucas pseudoprimes' neighbours: strong Lucas
	// pseudoprimes (OEIS A217255).
	"strong Lucas": {
		5459, 5777, 10877, 16109, 18971, 22499, 24569, 25199, 40309, 58519, 75077, 97439, 100127, 113573,
	},
}

func TestPseudoprimes(t *testing.T) {
	for kind, numbers := range pseudoprimes {
		for _, n := range numbers {
			if probably(n) {
				t.Errorf("%d is prime and no test", n)
			}
			if Is(n) {
				t.Errorf("Is(%d), a pseudoprime (%s)", n, kind)
			}
		}
	}
	for k := uint64(1); k < 1_000_000; k++ {
		a, b, c := 6*k+1, 12*k+1, 18*k+1
		if a*b > math.MaxUint64/c {
			break
		}
		if Is(a) && Is(b) && Is(c) && Is(a*b*c) {
			t.Errorf("Is(%d), a Carmichael number of Chernick's", a*b*c)
		}
	}
}

// TestStrongPseudoprimesWithLargeFactors: composites n = (k+1)(rk+1) with both
// factors prime are what most strong pseudoprimes to several bases look like.
func TestStrongPseudoprimesWithLargeFactors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300_000 {
		k := 2 * (r.Uint64N(1<<29) + 50)
		if p, q := k+1, 2*k+1; Is(p) && Is(q) && Is(p*q) {
			t.Errorf("Is(%d·%d)", p, q)
		}
	}
}

// TestWitnessLimits: every limit is itself a strong pseudoprime to the bases that
// are used below it, which is why it is one, and is found out.
func TestWitnessLimits(t *testing.T) {
	for _, w := range witnesses[:len(witnesses)-1] {
		m := newModulus(w.limit)
		for _, base := range small[:w.bases] {
			if !m.passes(base) {
				t.Errorf("%d is no strong pseudoprime to base %d", w.limit, base)
			}
		}
		if isStrong(w.limit) {
			t.Errorf("isStrong(%d)", w.limit)
		}
	}
}

func TestBoundaries(t *testing.T) {
	for _, middle := range []uint64{1 << 8, 1 << 16, 101 * 101, 1 << 31, 1 << 32, 1 << 62, 1 << 63} {
		for n := middle - 500; n != middle+500; n++ {
			if want := probably(n); Is(n) != want {
				t.Errorf("Is(%d) is %v, want %v", n, !want, want)
			}
		}
	}
	for n := uint64(math.MaxUint64 - 3000); n != 0; n++ {
		if want := probably(n); Is(n) != want {
			t.Errorf("Is(%d) is %v, want %v", n, !want, want)
		}
	}
	for _, n := range []uint64{1<<64 - 59, 1<<63 - 25, 1<<32 - 5, 1<<61 - 1, 1<<31 - 1, 18446744069414584321} {
		if !Is(n) {
			t.Errorf("Is(%d) is false", n)
		}
	}
	for _, p := range []uint64{4294967291, 4294967279, 65521, 3037000493} { // squares of primes
		if Is(p * p) {
			t.Errorf("Is(%d²)", p)
		}
	}
}

func TestAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n") >> rapid.IntRange(0, 63).Draw(t, "shift")
		for n |= 1; ; n += 2 { // the next prime, and all composites before it
			want := probably(n)
			if Is(n) != want {
				t.Fatalf("Is(%d) is %v, want %v", n, !want, want)
			}
			if want || n > math.MaxUint64-2 {
				return
			}
		}
	})
}

func FuzzIs(f *testing.F) {
	f.Add(uint64(0))
	f.Add(uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, n uint64) {
		if want := probably(n); Is(n) != want {
			t.Errorf("Is(%d) is %v, want %v", n, !want, want)
		}
	})
}

// TestSpans compares the sieve with one test a number, around all places where it
// changes its ways.
func TestSpans(t *testing.T) {
	var s sieve // one for all, so that what it keeps is put to the test as well
	check := func(lo, hi uint64) {
		t.Helper()
		var got, want []uint64
		s.span(lo, hi, func(p uint64) bool { got = append(got, p); return true })
		for n := lo; ; n++ {
			if Is(n) {
				want = append(want, n)
			}
			if n == hi {
				break
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d..%d: %d primes, want %d", lo, hi, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%d..%d: prime %d is %d, want %d", lo, hi, i, got[i], want[i])
			}
		}
	}
	for lo := range uint64(30) {
		for hi := lo; hi < 40; hi++ {
			check(lo, hi)
		}
	}
	check(1<<44-5000, 1<<44+5000)
	check(1<<44-spanSize, 1<<44-1)
	check(1<<44+spanSize, 1<<44+2*spanSize-1)
	for _, p := range []uint64{65521, 65537, 1048573, 4294967291} { // squares of primes
		check(p*p-300, p*p+300)
	}
	check(0, spanSize-1)
	check(math.MaxUint64-4000, math.MaxUint64)
	check(math.MaxUint64-1, math.MaxUint64-1)
	r := rand.New(rand.NewPCG(2, 3))
	for range 200 {
		lo := r.Uint64() >> r.IntN(64)
		check(lo, lo+min(r.Uint64N(2000), math.MaxUint64-lo))
	}
}

func TestSquareRoots(t *testing.T) {
	for _, r := range []uint64{1, 2, 3, 94906266, 94906267, 3037000499, 1<<32 - 1} {
		if got := isqrt(r * r); got != r {
			t.Errorf("isqrt(%d²) is %d", r, got)
		}
		if got := isqrt(r*r - 1); got != r-1 {
			t.Errorf("isqrt(%d²-1) is %d", r, got)
		}
	}
	if got := isqrt(math.MaxUint64); got != 1<<32-1 {
		t.Errorf("isqrt of the largest number is %d", got)
	}
}

// textbook is the example of Python's documentation of concurrent.futures.
var textbook = []uint64{
	112272535095293, 112582705942171, 112272535095293, 115280095190773, 115797848077099, 1099726899285419,
}

func TestTextbook(t *testing.T) {
	for i, n := range textbook {
		if want := i != 5; Is(n) != want {
			t.Errorf("Is(%d) is %v, want %v", n, !want, want)
		}
	}
}

func BenchmarkTextbook(b *testing.B) {
	for b.Loop() {
		for _, n := range textbook {
			Is(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(textbook)), "ns/number")
}

func BenchmarkLargestPrime(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			Is(1<<64 - 59)
		}
	})
	b.Run("math_big", func(b *testing.B) {
		for b.Loop() {
			probably(1<<64 - 59)
		}
	})
}

func BenchmarkSpan(b *testing.B) {
	var s sieve
	for name, lo := range map[string]uint64{"1e6": 1e6, "1e9": 1e9, "1e12": 1e12, "2e12": 2e12, "1e15": 1e15, "1e19": 1e19} {
		b.Run("sieve/"+name, func(b *testing.B) {
			b.SetBytes(spanSize) // MB/s are millions of numbers a second
			for b.Loop() {
				s.span(lo, lo+spanSize-1, func(uint64) bool { return true })
			}
		})
		b.Run("tests/"+name, func(b *testing.B) {
			b.SetBytes(spanSize)
			for b.Loop() {
				for n := lo; n < lo+spanSize; n++ {
					Is(n)
				}
			}
		})
	}
}
