package simd

// In the portable files a product that is added to something is wrapped in float32():
// the language lets a compiler fuse x*y + z, and a conversion forbids it.

func addPortable(dst, src []float32) {
	for i, x := range src {
		dst[i] += x
	}
}

func mulPortable(dst, src []float32) {
	for i, x := range src {
		dst[i] *= x
	}
}

func scalePortable(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

func axpyPortable(a float32, x, y []float32) {
	for i, v := range x {
		y[i] = fma32(a, v, y[i])
	}
}

func addBiasPortable(rows, cols int, x, bias []float32) {
	for r := range rows {
		addPortable(x[r*cols:(r+1)*cols], bias)
	}
}

func addBiasReLUPortable(rows, cols int, x, bias []float32) {
	for r := range rows {
		row := x[r*cols : (r+1)*cols]
		for i, b := range bias {
			row[i] = relu(row[i] + b)
		}
	}
}

func addColumnSumsPortable(rows, cols int, x, acc []float32) {
	for r := range rows {
		addPortable(acc, x[r*cols:(r+1)*cols])
	}
}
