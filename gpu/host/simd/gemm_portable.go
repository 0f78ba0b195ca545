package simd

// operand is the left matrix of a product as the portable kernel walks it:
// element (i, p) lies at i*row + p*step. A stored m×k has step 1, a stored k×m
// (transposed) has row 1.
type operand struct {
	data      []float32
	row, step int
}

// from returns o with p as the first of its terms.
func (o operand) from(p int) operand { return operand{o.data[p*o.step:], o.row, o.step} }

// rows returns o with i as its first row.
func (o operand) rows(i int) operand { return operand{o.data[i*o.row:], o.row, o.step} }

// gemmPortable computes c = a·b, or c += a·b, for c m×n and k terms.
// Every element is one chain of fma32 over p = 0, 1, …, k-1.
func gemmPortable(accumulate bool, m, n, k int, a operand, b []float32, ldb int, c []float32, ldc int) {
	i := 0
	for ; i+2 <= m; i += 2 {
		a0, a1 := a.data[i*a.row:], a.data[(i+1)*a.row:]
		c0, c1 := c[i*ldc:i*ldc+n], c[(i+1)*ldc:(i+1)*ldc+n]
		if !accumulate {
			clear(c0)
			clear(c1)
		}
		j := 0
		for ; j+4 <= n; j += 4 {
			portable2x4(k, a0, a1, a.step, b[j:], ldb, c0[j:j+4], c1[j:j+4])
		}
		for ; j < n; j++ {
			c0[j] = portable1x1(k, a0, a.step, b[j:], ldb, c0[j])
			c1[j] = portable1x1(k, a1, a.step, b[j:], ldb, c1[j])
		}
	}
	if i < m {
		a0, c0 := a.data[i*a.row:], c[i*ldc:i*ldc+n]
		if !accumulate {
			clear(c0)
		}
		for j := range c0 {
			c0[j] = portable1x1(k, a0, a.step, b[j:], ldb, c0[j])
		}
	}
}

// portable2x4 continues two rows by four columns: eight chains in registers
// hide the latency of a multiply-add.
func portable2x4(k int, a0, a1 []float32, step int, b []float32, ldb int, c0, c1 []float32) {
	s00, s01, s02, s03 := c0[0], c0[1], c0[2], c0[3]
	s10, s11, s12, s13 := c1[0], c1[1], c1[2], c1[3]
	for p := range k {
		x0, x1 := a0[p*step], a1[p*step]
		y := b[p*ldb : p*ldb+4 : p*ldb+4]
		s00, s01 = fma32(x0, y[0], s00), fma32(x0, y[1], s01)
		s02, s03 = fma32(x0, y[2], s02), fma32(x0, y[3], s03)
		s10, s11 = fma32(x1, y[0], s10), fma32(x1, y[1], s11)
		s12, s13 = fma32(x1, y[2], s12), fma32(x1, y[3], s13)
	}
	c0[0], c0[1], c0[2], c0[3] = s00, s01, s02, s03
	c1[0], c1[1], c1[2], c1[3] = s10, s11, s12, s13
}

func portable1x1(k int, a []float32, step int, b []float32, ldb int, s float32) float32 {
	for p := range k {
		s = fma32(a[p*step], b[p*ldb], s)
	}
	return s
}

// transposePortable writes dst[p][j] = b[j][p] for b of n×k.
func transposePortable(n, k int, b []float32, ldb int, dst []float32, ldd int) {
	for j := range n {
		for p, v := range b[j*ldb : j*ldb+k] {
			dst[p*ldd+j] = v
		}
	}
}
