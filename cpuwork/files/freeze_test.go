package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A frozen list stays what it was, errors and odd names included.
func TestFreeze(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	for _, name := range []string{"b", "a\nc", "z\xff"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := Spec{Dir: dir, Paths: []Name{".", "nothing"}, Recursive: true}
	list := func(s Spec) (all []Entry) {
		for e := range s.All(t.Context()) {
			all = append(all, e)
		}
		return all
	}
	want := list(spec)
	path := filepath.Join(state, "list")
	if err := spec.Freeze(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := Spec{Dir: dir, Paths: spec.Paths, Recursive: true}
	if err := again.Freeze(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Spec{spec, again} {
		if diff := cmp.Diff(want, list(s)); diff != "" {
			t.Errorf("the list before (-) and after (+) a file came:\n%s", diff)
		}
	}
	if len(want) != 4 || want[3].Err == nil {
		t.Errorf("list %+v", want)
	}
	names, err := os.ReadDir(state)
	if err != nil || len(names) != 1 {
		t.Errorf("files beside the list: %v, %v", names, err)
	}
}

// A list that could not be made leaves nothing behind.
func TestFreezeCancelled(t *testing.T) {
	state := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	spec := Spec{Paths: []Name{"x"}}
	if err := spec.Freeze(ctx, filepath.Join(state, "list")); !errors.Is(err, why) {
		t.Errorf("freeze: %v", err)
	}
	if names, err := os.ReadDir(state); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// A list that is damaged is an entry that says so, never a panic or a silent end.
func FuzzThaw(f *testing.F) {
	f.Add([]byte(`{"name":"a","path":"/a"}` + "\n"))
	f.Add([]byte(`{"name":{"bytes":"/w=="},"path":"/a","error":{"code":"x","message":"y"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := Spec{Paths: []Name{"x"}}
		if err := s.Freeze(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range s.All(t.Context()) {
			if n++; n > len(text) {
				t.Fatal("more entries than bytes")
			}
		}
	})
}
