package sha256

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a killed process left of an output is used by the next one; two that write
// the same output at once do not mix.
func TestOutputAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "SUMS")
	left, err := temporary(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := left.WriteString("half of it"); err != nil {
		t.Fatal(err)
	}
	write := func(text string) error {
		return writeFile(path, func(out *bufio.Writer) error { _, err := out.WriteString(text); return err })
	}
	if err := write("x"); err == nil || !strings.Contains(err.Error(), "another job is writing it") {
		t.Errorf("beside another: %v", err)
	}
	if err := left.Close(); err != nil { // as the kernel does for the dead
		t.Fatal(err)
	}
	for _, text := range []string{"all", "again"} {
		if err := write(text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("wrote %q: %v", got, err)
		}
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
