package simd

// sumPortable adds x[i] to s[i%16].
func sumPortable(x []float32, s *[lanes]float64) {
	for len(x) >= lanes {
		for l, v := range x[:lanes] {
			s[l] += float64(v)
		}
		x = x[lanes:]
	}
	for l, v := range x {
		s[l] += float64(v)
	}
}

// dotPortable adds x[i]·y[i] to s[i%16]. Whether the compiler fuses this does
// not matter: the product is exact.
func dotPortable(x, y []float32, s *[lanes]float64) {
	for len(x) >= lanes {
		xs, ys := x[:lanes], y[:lanes]
		for l := range s {
			s[l] += float64(xs[l]) * float64(ys[l])
		}
		x, y = x[lanes:], y[lanes:]
	}
	for l, v := range x {
		s[l] += float64(v) * float64(y[l])
	}
}

// tree adds the sixteen sums in the order that reduce.go gives.
func tree(s *[lanes]float64) float64 {
	for half := lanes / 2; half > 0; half /= 2 {
		for l := range half {
			s[l] += s[l+half]
		}
	}
	return s[0]
}
