package simd

// fma32 returns x·y + z rounded once. The compiler fuses this expression into
// FMADDS on arm64; a test holds it to that. The conversion keeps it from fusing
// the sum with a product that z is, after inlining, instead.
func fma32(x, y, z float32) float32 { return x*y + float32(z) }
