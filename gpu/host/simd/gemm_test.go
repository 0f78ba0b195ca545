package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// product is a call of one of the three products. The matrices are stored as the
// product wants them.
type product struct {
	op            string
	accumulate    bool
	m, n, k       int
	a, b, c       guarded
	lda, ldb, ldc int
	scratch       guarded
}

var ops = []string{"NN", "TN", "NT"}

// size returns how many elements a matrix takes when its last row ends with its
// last column.
func size(rows, cols, ld int) int {
	if rows == 0 || cols == 0 {
		return 0
	}
	return (rows-1)*ld + cols
}

// newProduct lays out a product with gaps of the given lengths between rows.
func newProduct(op string, accumulate bool, m, n, k int, gaps [3]int) *product {
	p := &product{op: op, accumulate: accumulate, m: m, n: n, k: k}
	aRows, aCols, bRows, bCols := m, k, k, n
	if op == "TN" {
		aRows, aCols = k, m
	}
	if op == "NT" {
		bRows, bCols = n, k
	}
	p.lda, p.ldb, p.ldc = aCols+gaps[0], bCols+gaps[1], n+gaps[2]
	p.a = newGuarded(size(aRows, aCols, p.lda))
	p.b = newGuarded(size(bRows, bCols, p.ldb))
	p.c = newGuarded(size(m, n, p.ldc))
	p.scratch = newGuarded(NTScratch(n, k))
	return p
}

// fill sets the elements of the three matrices, and nothing between their rows.
func (p *product) fill(r *rand.Rand, kind string) {
	for i := range p.m {
		for l := range p.k {
			values(r, kind, p.a.x[p.aAt(i, l):][:1])
		}
		for j := range p.n {
			values(r, kind, p.c.x[i*p.ldc+j:][:1])
		}
	}
	for l := range p.k {
		for j := range p.n {
			values(r, kind, p.b.x[p.bAt(l, j):][:1])
		}
	}
}

func (p *product) aAt(i, l int) int {
	if p.op == "TN" {
		return l*p.lda + i
	}
	return i*p.lda + l
}

func (p *product) bAt(l, j int) int {
	if p.op == "NT" {
		return j*p.ldb + l
	}
	return l*p.ldb + j
}

// run computes the product.
func (p *product) run(k Kernels) {
	switch p.op {
	case "NN":
		k.GemmNN(p.accumulate, p.m, p.n, p.k, p.a.x, p.lda, p.b.x, p.ldb, p.c.x, p.ldc)
	case "TN":
		k.GemmTN(p.accumulate, p.m, p.n, p.k, p.a.x, p.lda, p.b.x, p.ldb, p.c.x, p.ldc)
	case "NT":
		k.GemmNT(p.accumulate, p.m, p.n, p.k, p.a.x, p.lda, p.b.x, p.ldb, p.c.x, p.ldc, p.scratch.x)
	}
}

// want returns c as the definition has it: for each element one chain of fused
// multiply-adds over k in increasing order. Gaps between rows stay.
func (p *product) want() []float32 {
	c := slices.Clone(p.c.x)
	for i := range p.m {
		for j := range p.n {
			var sum float32
			if p.accumulate {
				sum = c[i*p.ldc+j]
			}
			for l := range p.k {
				sum = fma32(p.a.x[p.aAt(i, l)], p.b.x[p.bAt(l, j)], sum)
			}
			c[i*p.ldc+j] = sum
		}
	}
	return c
}

// check runs the product at a level, on a copy of c, and compares.
func (p *product) check(t interface{ Fatalf(string, ...any) }, level Level, want []float32) {
	a, b, c := slices.Clone(p.a.whole), slices.Clone(p.b.whole), slices.Clone(p.c.whole)
	p.run(For(level))
	got := slices.Clone(p.c.x)
	intact := p.c.intact() && p.scratch.intact()
	copy(p.c.whole, c)
	if d := firstDifference(got, want); d != "" {
		t.Fatalf("%v %s %d×%d×%d accumulate=%v: %s", level, p.op, p.m, p.n, p.k, p.accumulate, d)
	}
	if !intact {
		t.Fatalf("%v %s %d×%d×%d wrote outside of c or scratch", level, p.op, p.m, p.n, p.k)
	}
	if firstDifference(p.a.whole, a) != "" || firstDifference(p.b.whole, b) != "" {
		t.Fatalf("%v %s %d×%d×%d changed an operand", level, p.op, p.m, p.n, p.k)
	}
}

func TestGemmIsTheSameAtEveryLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(blockDepth-2, 2*blockDepth+20))
		gap := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 20))
		p := newProduct(
			rapid.SampledFrom(ops).Draw(t, "op"),
			rapid.Bool().Draw(t, "accumulate"),
			rapid.IntRange(0, 40).Draw(t, "m"),
			rapid.IntRange(0, 72).Draw(t, "n"),
			depth.Draw(t, "k"),
			[3]int{gap.Draw(t, "gap a"), gap.Draw(t, "gap b"), gap.Draw(t, "gap c")},
		)
		p.fill(drawRand(t), rapid.SampledFrom(kinds).Draw(t, "values"))
		want := p.want()
		for _, level := range Levels() {
			p.check(t, level, want)
		}
	})
}

// TestGemmTails takes every number of rows that a tile has beside every number
// of columns that a pair of tiles leaves over.
func TestGemmTails(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, op := range ops {
		for m := 1; m <= 13; m++ {
			for n := 1; n <= 40; n++ {
				p := newProduct(op, n%2 == 0, m, n, 1+(m*n)%19, [3]int{m % 3, n % 3, m % 2})
				p.fill(r, "normal")
				want := p.want()
				for _, level := range Levels() {
					p.check(t, level, want)
				}
			}
		}
	}
}

// TestGemmBlocks crosses the edges of blocks in both directions.
func TestGemmBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, op := range ops {
		for _, n := range []int{blockWidth - 1, blockWidth, blockWidth + 1, 2*blockWidth + 17} {
			p := newProduct(op, false, 3, n, blockDepth+9, [3]int{0, 1, 2})
			p.fill(r, "normal")
			want := p.want()
			for _, level := range Levels() {
				p.check(t, level, want)
			}
		}
	}
}

// TestGemmDoesNotDependOnCompany computes some rows and columns alone.
func TestGemmDoesNotDependOnCompany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n := rapid.IntRange(1, 30).Draw(t, "m"), rapid.IntRange(1, 70).Draw(t, "n")
		k := rapid.IntRange(1, 300).Draw(t, "k")
		p := newProduct(rapid.SampledFrom(ops).Draw(t, "op"), false, m, n, k, [3]int{})
		p.fill(drawRand(t), "normal")
		i, j := rapid.IntRange(0, m-1).Draw(t, "row"), rapid.IntRange(0, n-1).Draw(t, "column")
		p.run(For(Best()))
		whole := p.c.x[i*p.ldc+j]

		q := newProduct("NN", false, 1, 1, k, [3]int{})
		for l := range k {
			q.a.x[l], q.b.x[l] = p.a.x[p.aAt(i, l)], p.b.x[p.bAt(l, j)]
		}
		q.run(For(Best()))
		if !same(q.c.x[0], whole) {
			t.Fatalf("element (%d, %d) is %v alone and %v in %d×%d×%d", i, j, q.c.x[0], whole, m, n, k)
		}
	})
}

func TestGemmDoesNotAllocate(t *testing.T) {
	for _, op := range ops {
		p := newProduct(op, false, 33, 45, 70, [3]int{})
		for _, level := range Levels() {
			if n := testing.AllocsPerRun(10, func() { p.run(For(level)) }); n != 0 {
				t.Errorf("%v %s allocates %v times", level, op, n)
			}
		}
	}
}

func TestGemmChecksItsArguments(t *testing.T) {
	k := For(Best())
	x := make([]float32, 11)
	y := make([]float32, 12)
	tests := []struct {
		want string
		call func()
	}{
		{"simd: GemmNN: a has 11 elements, too few for 3×4 with leading dimension 4",
			func() { k.GemmNN(false, 3, 3, 4, x, 4, y, 3, y, 3) }},
		{"simd: GemmNN: b has 11 elements, too few for 4×3 with leading dimension 3",
			func() { k.GemmNN(false, 3, 3, 4, y, 4, x, 3, y, 3) }},
		{"simd: GemmNN: c has 11 elements, too few for 3×4 with leading dimension 4",
			func() { k.GemmNN(false, 3, 4, 2, x, 2, x, 4, x, 4) }},
		{"simd: GemmTN: leading dimension of a is 2, its rows have 3 elements",
			func() { k.GemmTN(false, 3, 3, 4, y, 2, y, 3, y, 3) }},
		{"simd: GemmNT: b has negative dimensions -1×4",
			func() { k.GemmNT(false, 3, -1, 4, y, 4, y, 4, y, 4, nil) }},
		{"simd: GemmNT: scratch has 12 elements, needs 128",
			func() { k.GemmNT(false, 3, 3, 4, y, 4, y, 4, y, 3, y) }},
		{fmt.Sprintf("simd: GemmNN: a has 12 elements, too few for %d×4 with leading dimension 4", math.MaxInt),
			func() { k.GemmNN(false, math.MaxInt, 3, 4, y, 4, y, 3, y, 3) }},
	}
	for _, test := range tests {
		mustPanic(t, test.want, test.call)
	}
}
