package simd

import "fmt"

// checkLen panics unless the argument has exactly n elements.
func checkLen(kernel, arg string, x []float32, n int) {
	if len(x) != n {
		panic(fmt.Sprintf("simd: %s: %s has %d elements, needs %d", kernel, arg, len(x), n))
	}
}

// checkMatrix panics unless x holds rows×cols elements with leading dimension
// ld. The last row may end with its last column. Divisions instead of products
// keep absurd dimensions from overflowing into a pass.
func checkMatrix(kernel, arg string, x []float32, rows, cols, ld int) {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("simd: %s: %s has negative dimensions %d×%d", kernel, arg, rows, cols))
	}
	if rows == 0 || cols == 0 {
		return
	}
	if ld < cols {
		panic(fmt.Sprintf("simd: %s: leading dimension of %s is %d, its rows have %d elements", kernel, arg, ld, cols))
	}
	if len(x) < cols || (len(x)-cols)/ld < rows-1 {
		panic(fmt.Sprintf("simd: %s: %s has %d elements, too few for %d×%d with leading dimension %d",
			kernel, arg, len(x), rows, cols, ld))
	}
}
