package jobs

import (
	"os"
	"path/filepath"
	"testing"
)

// Lists are read once: a job that goes on reads what they were, one that begins
// anew what they are.
func TestListsAreKept(t *testing.T) {
	dir, list := t.TempDir(), filepath.Join(t.TempDir(), "urls")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() string {
		t.Helper()
		lists := []string{list}
		if err := freezingLists(lists)(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(lists[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write("http://a\n")
	if got := kept(); got != "http://a\n" {
		t.Errorf("kept %q", got)
	}
	write("http://b\n")
	if got := kept(); got != "http://a\n" {
		t.Errorf("a job that goes on reads %q", got)
	}
	if err := thaw(dir); err != nil {
		t.Fatal(err)
	}
	if got := kept(); got != "http://b\n" {
		t.Errorf("a job that begins anew reads %q", got)
	}
	lists := []string{filepath.Join(dir, "nothing")}
	if err := freezingLists(lists)(t.Context(), t.TempDir()); err == nil {
		t.Error("a list that is not there was kept")
	}
}
