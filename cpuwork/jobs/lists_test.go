package jobs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A list that cannot be read is refused with its place; files that are items
// themselves are not, for each is an item that fails by itself.
func TestCheckLists(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"list", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("7\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "sub"), 0o700), unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	const gone, hint = "no such file or directory", "a file that is there; or --after the job that writes it"
	for _, c := range []struct{ kind, task, path, list, problem string }{
		{"fetch", `{"lists": ["$/list"], "discard": true}`, "", "", ""},
		{"fetch", `{"lists": ["$/list", "$/gone"], "discard": true}`, "/task/lists/1", "gone", gone},
		{"fetch", `{"lists": ["$/sub"], "discard": true}`, "/task/lists/0", "sub", "it is a directory"},
		{"fetch", `{"lists": ["$/fifo"], "discard": true}`, "/task/lists/0", "fifo", "it is a pipe or a device"},
		{"fetch", `{"urls": ["http://a"], "discard": true}`, "", "", ""},
		{"sha256", `{"files": {"dir": "$", "paths": ["gone"], "lists": ["list"]}}`, "", "", ""},
		{"sha256", `{"files": {"dir": "$", "lists": ["list", "gone"]}}`, "/task/files/lists/1", "gone", gone},
		{"sha256", `{"files": {"dir": "$", "paths": ["other", "gone"]}, "check": true}`, "/task/files/paths/1", "gone", gone},
		{"sha256", `{"files": {"dir": "$", "paths": ["sub"], "recursive": true}, "check": true}`, "", "", ""},
		{"jpeg", `{"files": {"dir": "$", "paths": ["gone"], "lists": ["list"]}}`, "", "", ""},
		{"jpeg", `{"files": {"dir": "$", "lists": ["gone"]}}`, "/task/files/lists/0", "gone", gone},
		{"primes", `{"numbers": ["7"]}`, "", "", ""},
		{"primes", `{"files": {"dir": "$", "paths": ["list", "gone"]}}`, "/task/files/paths/1", "gone", gone},
		{"primes", `{"files": {"dir": "$", "lists": ["gone"]}}`, "/task/files/lists/0", "gone", gone},
	} {
		plan, err := Parse(c.kind, []byte(`{"task": `+strings.ReplaceAll(c.task, "$", dir)+`}`))
		if err != nil {
			t.Errorf("%s %s: parse: %v", c.kind, c.task, err)
			continue
		}
		err = plan.CheckLists()
		if c.path == "" {
			if err != nil {
				t.Errorf("%s %s: %v", c.kind, c.task, err)
			}
			continue
		}
		want := SpecError{c.path, "the list " + filepath.Join(dir, c.list) + " cannot be opened: " + c.problem, hint}
		if e, ok := errors.AsType[*SpecError](err); !ok || *e != want {
			t.Errorf("%s %s:\ngot  %+v\nwant %+v", c.kind, c.task, err, want)
		}
	}
}
