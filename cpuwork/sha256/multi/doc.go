// Package multi hashes several streams side by side on one core.
//
// A core with the SHA extensions of x86 waits most of the time when it hashes
// one stream, for each round needs the one before it. [Hasher] interleaves four
// in one piece of assembly, or, where there is AVX-512 as well, keeps a word of
// each of sixteen in every register. When a stream ends, its lane takes the next,
// so that lanes stand empty only when there is no more input. Digests are those
// of crypto/sha256, which does all the work on other processors.
//
//	var h multi.Hasher
//	h.Run(next, done) // streams from next until it has no more
//	h.Sum(sums, blobs)
//
// # Where to start reading
//
// hasher.go has the lanes, internal/gen writes the assembly (go generate).
package multi

//go:generate go run ./internal/gen .
