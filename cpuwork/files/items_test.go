package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// Whoever stops first, the taker or ctx, there come the items until then, and ctx's
// error only where more were wanted.
func TestItems(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "items")
		enough := rapid.IntRange(1, 8).Draw(t, "enough")   // of them
		cancelAt := rapid.IntRange(0, 8).Draw(t, "cancel") // so many taken
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if cancelAt == 0 {
			cancel()
		}
		asked := 0
		all := Items(ctx, func(yield Yield) {
			for i := range n {
				if asked++; !yield(batch.Item{Name: fmt.Sprint(i)}) {
					return
				}
			}
		})
		var got []string
		var failed error
		for item, err := range all {
			if failed != nil {
				t.Fatal("something came after the error")
			}
			if failed = err; err != nil {
				continue
			}
			got = append(got, item.Name)
			if len(got) == cancelAt {
				cancel()
			}
			if len(got) == enough {
				break
			}
		}
		want := min(n, enough, cancelAt)
		if len(got) != want || asked > want+1 {
			t.Fatalf("%d items of %d, and %d were asked for", len(got), want, asked)
		}
		for i, name := range got {
			if name != fmt.Sprint(i) {
				t.Fatalf("items %v", got)
			}
		}
		if cancelled := cancelAt <= n && cancelAt < enough; cancelled != errors.Is(failed, context.Canceled) || !cancelled && failed != nil {
			t.Fatalf("error %v; cancelled before it was enough: %v", failed, cancelled)
		}
	})
}

// taken are the names of items, each with the code of its error if it has one.
func taken(most int, all func(Yield) bool) (names []string, going bool) {
	going = all(func(item batch.Item) bool {
		var failed *cpuwork.ItemError
		if errors.As(item.Failed, &failed) {
			item.Name += ": " + failed.Code
		}
		names = append(names, item.Name)
		return len(names) < most
	})
	return names, going
}

func TestEach(t *testing.T) {
	s := Spec{Dir: tree(t, "a", "b"), Paths: []Name{"a", "absent", "b"}}
	for most, want := range map[int][]string{
		1: {"a1"},
		2: {"a1", "a2"},
		3: {"a1", "a2", "absent: not_found"},
		4: {"a1", "a2", "absent: not_found", "b1"},
		9: {"a1", "a2", "absent: not_found", "b1", "b2"},
	} {
		got, going := taken(most, func(yield Yield) bool {
			return s.Each(t.Context(), yield, func(e Entry) bool {
				return yield(batch.Item{Name: e.Name + "1"}) && yield(batch.Item{Name: e.Name + "2"})
			})
		})
		if d := cmp.Diff(want, got); d != "" || going != (most == 9) {
			t.Errorf("of %d: going %v (-want +got):\n%s", most, going, d)
		}
	}
}

func TestRead(t *testing.T) {
	dir := tree(t, "file", "sub/")
	entry := func(name string) Entry { return Entry{Name: name, Path: filepath.Join(dir, name)} }
	bad := &os.PathError{Op: "read", Path: "file", Err: errors.New("bad sector")}
	for _, c := range []struct {
		name  string
		going bool  // what parse says
		err   error // likewise
		want  []string
		more  bool
	}{
		{"file", true, nil, []string{"file"}, true},
		{"file", false, nil, []string{"file"}, false},
		{"file", true, bad, []string{"file", "file: unreadable"}, true},
		{"file", false, bad, []string{"file"}, false},
		{"absent", true, nil, []string{"absent: not_found"}, true},
		{"sub", true, nil, []string{"sub: is_directory"}, true},
	} {
		got, more := taken(9, func(yield Yield) bool {
			return entry(c.name).Read(yield, func(r io.Reader) (bool, error) {
				text, err := io.ReadAll(r)
				if err != nil || string(text) != c.name {
					t.Errorf("%s: read %q, %v", c.name, text, err)
				}
				yield(batch.Item{Name: c.name})
				return c.going, c.err
			})
		})
		if d := cmp.Diff(c.want, got); d != "" || more != c.more {
			t.Errorf("%+v: more %v (-want +got):\n%s", c, more, d)
		}
	}
}
