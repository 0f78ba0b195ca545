package kernels_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"weft/kernels"
)

func TestImageIsForTheDevice(t *testing.T) {
	t.Setenv(kernels.ImageVariable, "")
	for _, test := range []struct {
		major, minor int
		target       string
	}{
		{8, 0, ".target sm_80"}, {8, 9, ".target sm_80"}, {9, 0, ".target sm_90"}, {12, 1, ".target sm_90"},
	} {
		image, err := kernels.Image(test.major, test.minor)
		if err != nil {
			t.Errorf("Image(%d, %d): %v", test.major, test.minor, err)
			continue
		}
		if !bytes.Contains(image, []byte("\n"+test.target+"\n")) {
			t.Errorf("Image(%d, %d) has no line %q", test.major, test.minor, test.target)
		}
		if want := []byte(".entry " + kernels.Train + "("); !bytes.Contains(image, want) {
			t.Errorf("Image(%d, %d) has no %q", test.major, test.minor, want)
		}
	}
	want := "no kernels for compute capability 7.5; the oldest are for 8.0 (Ampere)"
	if _, err := kernels.Image(7, 5); err == nil || err.Error() != want {
		t.Errorf("Image(7, 5): %v, want %q", err, want)
	}
}

// The products live on 16-byte reads from what the compiler knows to be shared
// memory; through a pointer that it lost sight of they are several times slower.
func TestSharedMemoryIsKnownAsSuch(t *testing.T) {
	t.Setenv(kernels.ImageVariable, "")
	image, err := kernels.Image(9, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(image, []byte("ld.shared.v4.f32")); n < 100 {
		t.Errorf("the PTX has %d reads of 16 bytes from shared memory, want some 200", n)
	}
}

func TestImageCanBeReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernels.so")
	t.Setenv(kernels.ImageVariable, path)
	if _, err := kernels.Image(9, 0); err == nil {
		t.Error("a file that is not there gave no error")
	}
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if image, err := kernels.Image(7, 5); err != nil || string(image) != "other" {
		t.Errorf("Image = %q, %v; want the file's content", image, err)
	}
}
