package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wantFault checks a fault word for word.
func wantFault(t *testing.T, err error, message, hint string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) {
		t.Fatalf("error %v is no fault", err)
	}
	if f.Code != CodeBadData || f.Message != message || f.Hint != hint {
		t.Errorf("fault is\n  %s: %s\n  %s\nwant\n  %s: %s\n  %s", f.Code, f.Message, f.Hint, CodeBadData, message, hint)
	}
}

// write puts a file into a directory that goes with the test.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t testing.TB, spec Spec, task Task) *Set {
	t.Helper()
	s, err := Load(context.Background(), &spec, task)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tinyLimits are low enough for a test to pass each of them.
func tinyLimits() limits {
	lim := defaultLimits()
	lim.fileBytes, lim.decodedBytes, lim.packRatio, lim.packGrace = 1<<20, 1<<20, 20, 1<<10
	lim.rows, lim.columns, lim.cells, lim.recordBytes = 1000, 64, 4000, 1<<16
	lim.classes, lim.nameBytes, lim.headerBytes = 50, 100, 1<<12
	lim.footerBytes, lim.pageBytes = 1<<16, 1<<18
	return lim
}

// inputOf makes an input of bytes in memory.
func inputOf(t interface {
	Helper()
	Fatal(...any)
}, name string, content []byte, lim limits) *input {
	t.Helper()
	in, err := newInput(context.Background(), name, bytes.NewReader(content), int64(len(content)), lim, sha256.New())
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func pack(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content) // to memory: cannot fail
	w.Close()
	return b.Bytes()
}

// digest is the SHA-256 of little-endian numbers, as NumPy's tobytes gives them.
func digest[T float32 | int32](values []T) string {
	sum := sha256.New()
	binary.Write(sum, binary.LittleEndian, values)
	return hex.EncodeToString(sum.Sum(nil))
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
