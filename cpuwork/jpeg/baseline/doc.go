// Package baseline writes baseline JPEG files that are, byte for byte, those of
// libjpeg-turbo with its accurate integer DCT and its standard tables, in a third of
// the time.
//
//	var e baseline.Encoder
//	file, err := e.Append(nil, baseline.Image{Pix: rgb, Width: w, Height: h, Stride: 3 * w, Channels: 3},
//		baseline.Options{Quality: 85, Subsample: true})
//
// All of it is integer arithmetic, so that there is one right answer: colours by
// JFIF's matrix in 16-bit fixed point, chroma averaged with the biases 1 and 2 in
// turn, the DCT of C. Loeffler, A. Ligtenberg and G. Moschytz ("Practical Fast 1-D
// DCT Algorithms with 11 Multiplications", ICASSP 1989) as the IJG's jfdctint.c
// rounds it, quantization rounded half away from zero, the Huffman tables of ITU-T
// T.81, annex K.
//
// # How it is fast
//
// The picture is cut into segments of 16 (8 without subsampling) rows of at most
// [segment] pixels, whose every intermediate result stays in the first caches.
//
//   - Colours: VPDPWSSD takes the sums of products of 16 pixels; the words that
//     follow are sorted only once, after they were made 16 bits wide.
//   - DCT: a register has one row of four blocks. The pass along rows multiplies
//     within 128 bits, so that nothing is transposed; the one along columns is
//     jfdctint's. Coefficients leave in zigzag order.
//   - Huffman: a block's nonzero coefficients and the distances between them are
//     compressed (VPCOMPRESSW, VPCOMPRESSB) into one list for all blocks. Sixteen
//     entries of that list become codes at once, whatever blocks they are of; codes
//     are joined in pairs, pairs in quads, and quads go to a buffer of bits, without
//     a branch that depends on a block. A zero byte after each 0xff is put in last.
//
// It takes AVX-512 with VNNI, VBMI and VBMI2: Intel from Ice Lake on, AMD from Zen 4
// on ([Supported]). Elsewhere the same files are made by plain Go, slowly.
//
// # Where to start reading
//
// [Encoder.Append], then segment.go; internal/gen writes the assembly (go generate).
// Nothing of weft is imported.
package baseline

//go:generate go run ./internal/gen .
