package simd

import "fmt"

// Blocks of the right-hand matrix are this deep and wide at most, so that one
// (1 MiB) stays in the second-level cache while all rows of a pass over it.
// A result element that spans several blocks in k is loaded and continued, which
// changes no bit: float32 is stored as exactly as it is kept in a register.
const (
	blockDepth = 256
	blockWidth = 1024
)

// GemmNN computes c = a·b, or c += a·b when accumulate is set. a is m×k, b is
// k×n and c is m×n, each row-major with its leading dimension in elements. c
// must not overlap a or b. With k = 0 the sum is empty: c becomes zero, or stays
// as it is when accumulating.
func (kr Kernels) GemmNN(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int,
	c []float32, ldc int) {
	checkMatrix("GemmNN", "a", a, m, k, lda)
	checkMatrix("GemmNN", "b", b, k, n, ldb)
	checkMatrix("GemmNN", "c", c, m, n, ldc)
	kr.gemm(accumulate, m, n, k, operand{a, lda, 1}, b, ldb, c, ldc)
}

// GemmTN computes c = aᵀ·b, or c += aᵀ·b when accumulate is set. a is stored
// k×m, b is k×n and c is m×n; otherwise it is [Kernels.GemmNN]. Weight
// gradients are of this form.
func (kr Kernels) GemmTN(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int,
	c []float32, ldc int) {
	checkMatrix("GemmTN", "a", a, k, m, lda)
	checkMatrix("GemmTN", "b", b, k, n, ldb)
	checkMatrix("GemmTN", "c", c, m, n, ldc)
	kr.gemm(accumulate, m, n, k, operand{a, 1, lda}, b, ldb, c, ldc)
}

// GemmNT computes c = a·bᵀ, or c += a·bᵀ when accumulate is set. a is m×k, b is
// stored n×k and c is m×n; otherwise it is [Kernels.GemmNN]. A linear layer's
// forward pass is of this form. scratch needs [NTScratch] elements, its content
// does not matter before or after, and it must not overlap the matrices.
func (kr Kernels) GemmNT(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int,
	c []float32, ldc int, scratch []float32) {
	checkMatrix("GemmNT", "a", a, m, k, lda)
	checkMatrix("GemmNT", "b", b, n, k, ldb)
	checkMatrix("GemmNT", "c", c, m, n, ldc)
	if len(scratch) < NTScratch(n, k) {
		panic(fmt.Sprintf("simd: GemmNT: scratch has %d elements, needs %d", len(scratch), NTScratch(n, k)))
	}
	kr.gemmNT(accumulate, m, n, k, operand{a, lda, 1}, b, ldb, c, ldc, scratch)
}

// NTScratch returns how many elements of scratch [Kernels.GemmNT] needs for b
// of n×k, at any level.
func NTScratch(n, k int) int {
	return min(k, blockDepth) * roundUp(min(n, blockWidth), 32)
}

func roundUp(x, multiple int) int { return (x + multiple - 1) / multiple * multiple }

// gemm multiplies block by block, reading b where it is.
func (kr Kernels) gemm(accumulate bool, m, n, k int, a operand, b []float32, ldb int, c []float32, ldc int) {
	if emptySum(accumulate, m, n, k, c, ldc) {
		return
	}
	for j := 0; j < n; j += blockWidth {
		nb := min(blockWidth, n-j)
		for p := 0; p < k; p += blockDepth {
			kb := min(blockDepth, k-p)
			right := block{b[p*ldb+j:], ldb, kr.tileWidth()}
			kr.panels(accumulate || p > 0, m, nb, kb, a.from(p), right, c[j:], ldc)
		}
	}
}

// gemmNT multiplies block by block, each transposed into scratch first.
func (kr Kernels) gemmNT(accumulate bool, m, n, k int, a operand, b []float32, ldb int, c []float32, ldc int,
	scratch []float32) {
	if emptySum(accumulate, m, n, k, c, ldc) {
		return
	}
	for j := 0; j < n; j += blockWidth {
		nb := min(blockWidth, n-j)
		for p := 0; p < k; p += blockDepth {
			kb := min(blockDepth, k-p)
			right := kr.pack(nb, kb, b[j*ldb+p:], ldb, scratch)
			kr.panels(accumulate || p > 0, m, nb, kb, a.from(p), right, c[j:], ldc)
		}
	}
}

// block is a right-hand matrix in tiles of columns: element (p, j) of a tile
// lies at p*ld + j, and tiles are tile elements apart.
type block struct {
	data     []float32
	ld, tile int
}

// tileWidth returns how many columns of c a kernel keeps in registers.
func (kr Kernels) tileWidth() int {
	if kr.level == AVX512 {
		return 32
	}
	return 16
}

// tileRows returns how many rows of c a kernel keeps in registers.
func (kr Kernels) tileRows() int {
	if kr.level == AVX512 {
		return 12
	}
	return 6
}

// panels multiplies all rows by one block. The rows are split evenly: 32 are
// better taken as 11, 11 and 10 than as 12, 12 and 8.
func (kr Kernels) panels(accumulate bool, m, n, k int, a operand, b block, c []float32, ldc int) {
	if kr.level == Portable {
		gemmPortable(accumulate, m, n, k, a, b.data, b.ld, c, ldc)
		return
	}
	count := (m + kr.tileRows() - 1) / kr.tileRows()
	rows, longer := m/count, m%count
	for i := 0; i < m; {
		r := rows
		if longer > 0 {
			r, longer = rows+1, longer-1
		}
		kr.panel(accumulate, r, n, k, a.rows(i), b, c[i*ldc:], ldc)
		i += r
	}
}

// panel multiplies at most tileRows rows by one block.
func (kr Kernels) panel(accumulate bool, m, n, k int, a operand, b block, c []float32, ldc int) {
	pa, pb, pc := &a.data[0], &b.data[0], &c[0]
	switch transposed := a.row == 1; {
	case kr.level == AVX512 && transposed:
		gemmTNAVX512(m, n, k, pa, a.step, pb, b.ld, b.tile, pc, ldc, accumulate)
	case kr.level == AVX512:
		gemmNNAVX512(m, n, k, pa, a.row, pb, b.ld, b.tile, pc, ldc, accumulate)
	case transposed:
		gemmTNAVX2(m, n, k, pa, a.step, pb, b.ld, b.tile, pc, ldc, accumulate)
	default:
		gemmNNAVX2(m, n, k, pa, a.row, pb, b.ld, b.tile, pc, ldc, accumulate)
	}
}

// pack transposes b, n×k, into scratch. The vector levels store one tile after
// the other, each k rows of tileWidth columns, so that a tile is read without
// gaps; of the last tile's columns those beyond n have no meaning.
func (kr Kernels) pack(n, k int, b []float32, ldb int, scratch []float32) block {
	w := kr.tileWidth()
	lanes := w / 2
	if kr.level == Portable {
		transposePortable(n, k, b, ldb, scratch, n)
		return block{scratch, n, w}
	}
	for j := 0; j < n; j += lanes {
		dst := scratch[j/w*w*k+j%w:]
		rows := min(lanes, n-j)
		switch {
		case k < lanes:
			transposePortable(rows, k, b[j*ldb:], ldb, dst, w)
		case kr.level == AVX512:
			packBlocksAVX512(rows, k, &b[j*ldb], ldb, &dst[0], w)
		default:
			packBlocksAVX2(rows, k, &b[j*ldb], ldb, &dst[0], w)
		}
	}
	return block{scratch, w, k * w}
}

// emptySum deals with products that have no terms and reports whether this was
// one; the kernels may then assume that every dimension is at least one.
func emptySum(accumulate bool, m, n, k int, c []float32, ldc int) bool {
	if m == 0 || n == 0 {
		return true
	}
	if k > 0 {
		return false
	}
	if !accumulate {
		for i := range m {
			clear(c[i*ldc : i*ldc+n])
		}
	}
	return true
}
