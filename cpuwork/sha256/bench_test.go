package sha256

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkFiles hashes 64 files of 1 MB, in the page cache, on one core: ours,
// and the standard library as one would write it down.
func BenchmarkFiles(b *testing.B) {
	const count, size = 64, 1 << 20
	dir := b.TempDir()
	in, out, errs := make([][]byte, count), make([][]byte, count), make([]error, count)
	paths := make([]string, count)
	for i := range in {
		paths[i] = filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(paths[i], bytes.Repeat([]byte{byte(i)}, size), 0o600); err != nil {
			b.Fatal(err)
		}
		in[i] = request{path: paths[i]}.encode()
	}
	b.Run("work", func(b *testing.B) {
		do, err := Work.NewBatch(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(count * size)
		for b.Loop() {
			for i := range out {
				out[i] = out[i][:0]
			}
			do(b.Context(), in, out, errs)
		}
	})
	b.Run("standard", func(b *testing.B) {
		b.SetBytes(count * size)
		h := sha256.New()
		for b.Loop() {
			for _, path := range paths {
				f, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				h.Reset()
				if _, err := io.CopyBuffer(h, f, make([]byte, bufferSize)); err != nil {
					b.Fatal(err)
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
				h.Sum(nil)
			}
		}
	})
}
