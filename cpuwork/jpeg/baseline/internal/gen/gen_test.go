package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGeneratedFilesAreCurrent holds the checked-in files to this generator.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes; try: go generate ./cpuwork/jpeg/baseline", name)
		}
	}
}

func TestRunNeedsADirectory(t *testing.T) {
	if err := run(nil); err == nil || err.Error() != "usage: gen DIRECTORY" {
		t.Errorf("run() is %v, want usage", err)
	}
}
