package pools

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// pictures is how many different ones there are; item i is the picture i modulo that.
const pictures = 4

// indexBytes are the first bytes of a blob: its index, little-endian.
const indexBytes = 8

// documented are the numbers of the example of ProcessPoolExecutor in Python's
// documentation.
var documented = []uint64{
	112272535095293, 112582705942171, 112272535095293, 115280095190773, 115797848077099, 1099726899285419,
}

// seed is that of all input: it is the same on every machine.
const seed = 0x77656674

// writeInput writes what the case's items are made of.
func writeInput(c Case, path string, items, size int) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- in the benchmark's directory
	if err != nil {
		return fmt.Errorf("make input: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("write input: %w", e)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	switch {
	case c.Size > 0:
		_, err = w.Write(block(size))
	case c.width > 0:
		for i := range pictures {
			if _, err = w.Write(picture(c.width, c.height, i)); err != nil {
				break
			}
		}
	case c.Group == "primes":
		err = writeNumbers(c, w, items)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("write input: %w", err)
	}
	return nil
}

// block is random bytes: what the blobs have in common.
func block(size int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// fillBlob makes blob i of a block in dst.
func fillBlob(dst, block []byte, i int) int {
	n := copy(dst, block)
	if n >= indexBytes {
		binary.LittleEndian.PutUint64(dst, uint64(i)) // #nosec G115 -- an index
	}
	return n
}

// picture is a made picture that compresses as photographs do: smooth areas,
// edges, noise. The number moves all of them.
func picture(w, h, number int) []byte {
	pix := make([]byte, 3*w*h)
	noise := uint32(number + 1) // #nosec G115 -- small
	phase := float64(number)
	for y := range h {
		for x := range w {
			noise = noise*1664525 + 1013904223
			grain := float64(int(noise>>30) - 2)
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			base := 128 + 90*math.Sin(7*fx+3*fy+phase)
			if (x/61+y/47+number)%5 == 0 {
				base = 220 - base/2
			}
			p := pix[3*(y*w+x):]
			for c := range 3 {
				p[c] = byte(min(max(base+60*math.Cos(float64(c)+9*fx*fy+phase)+grain, 0), 255))
			}
		}
	}
	return pix
}

// writeNumbers writes numbers to be decided, 8 bytes each, little-endian.
func writeNumbers(c Case, w io.Writer, items int) error {
	rng := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- the same everywhere
	var b [8]byte
	for i := range items {
		n := rng.Uint64() | 1<<63 | 1
		if c.Name == PrimesDoc {
			n = documented[i%len(documented)]
		}
		binary.LittleEndian.PutUint64(b[:], n)
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes one file for each item, named so that their order is that of
// the items.
func writeFiles(dir string, items, size int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make directory of files: %w", err)
	}
	common, blob := block(size), make([]byte, size)
	for i := range items {
		fillBlob(blob, common, i)
		if err := os.WriteFile(filepath.Join(dir, fileName(i)), blob, 0o600); err != nil {
			return fmt.Errorf("write files: %w", err)
		}
	}
	return nil
}

func fileName(i int) string {
	s := strconv.Itoa(i)
	return "00000000"[min(len(s), 8):] + s
}
