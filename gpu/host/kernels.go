package host

// real is what layers compute in: float32 to train, float64 where tests hold
// the same code against finite differences.
type real interface{ float32 | float64 }

// kernels is the arithmetic that layers are made of. All matrices are
// row-major without gaps, all vectors of one call equally long. Every sum runs
// over its terms in one fixed order that depends on the shapes alone.
//
// Results may take the place of the arguments of the same length, except in
// products. A gradient dx comes from dy and either the argument x or the value
// y of its function, which are a layer's own.
type kernels[T real] interface {
	// nn computes c (m, n) = a (m, k) · b (k, n), or adds it to c.
	nn(m, n, k int, a, b, c []T, accumulate bool)
	// nt computes c (m, n) = a (m, k) · b (n, k)ᵀ, or adds it to c.
	nt(m, n, k int, a, b, c []T, accumulate bool)
	// tn computes c (m, n) = a (k, m)ᵀ · b (k, n), or adds it to c.
	tn(m, n, k int, a, b, c []T, accumulate bool)

	// addBias adds bias to every row of y (len(y)/len(bias), len(bias)).
	addBias(y, bias []T)
	// addBiasReLU is addBias followed by relu.
	addBiasReLU(y, bias []T)
	// columnSums sets sums to the sum of x's rows (len(x)/len(sums), len(sums)).
	columnSums(sums, x []T)
	// sum returns Σx and dot Σx·y, added up in float64.
	sum(x []T) float64
	dot(x, y []T) float64
	// add sets y = y + x.
	add(y, x []T)
	// multiply sets y = a·b, element by element.
	multiply(y, a, b []T)
	// exp sets y = eˣ.
	exp(y, x []T)

	// relu sets y = max(0, x); NaN stays NaN.
	relu(y, x []T)
	// reluGrad sets dx = dy where y > 0, else 0.
	reluGrad(dx, dy, y []T)
	// leakyReLU sets y = x where x > 0, else slope·x.
	leakyReLU(y, x []T, slope T)
	leakyReLUGrad(dx, dy, x []T, slope T)
	tanh(y, x []T)
	tanhGrad(dx, dy, y []T)
	// sigmoid sets y = 1/(1+e⁻ˣ).
	sigmoid(y, x []T)
	sigmoidGrad(dx, dy, y []T)
	// gelu sets y = x·Φ(x), with Φ the standard normal distribution function.
	gelu(y, x []T)
	geluGrad(dx, dy, x []T)
}
