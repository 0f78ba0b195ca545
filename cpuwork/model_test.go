package cpuwork

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// end is what became of an item, without what may differ between kinds.
type end struct {
	Index    int64
	Output   string
	Code     string
	Message  string
	Attempts int
}

func endOf(r Result) end {
	e := end{Index: r.Index, Output: string(r.Output), Attempts: r.Attempts}
	var item *ItemError
	if errors.As(r.Err, &item) {
		e.Code, e.Message = item.Code, item.Message
	}
	return e
}

// texts are items with these texts; every third is filled.
func texts(list ...string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for i, s := range list {
			item := Item{Data: []byte(s)}
			if i%3 == 2 {
				item = Item{Size: len(s) + i%5, Fill: func(dst []byte) (int, error) {
					if s == "unreadable" {
						return 0, Failf("unreadable", "", "cannot read")
					}
					return copy(dst, s), nil
				}}
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// expect returns what becomes of an item, by the words alone.
func expect(i int64, s string, retries int, memory int64) end {
	e := end{Index: i, Attempts: 1}
	size := int64(len(s))
	if i%3 == 2 {
		size += i % 5
	}
	what := strings.Fields(s)
	switch {
	case rounded(size) > memory:
		e.Code = CodeTooLarge
		e.Message = fmt.Sprintf("item of %d bytes, where %d bytes of items may be in memory at once", size, memory)
	case len(what) == 0:
	case s == "unreadable" && i%3 == 2:
		e.Code, e.Message = "unreadable", "cannot read"
	case what[0] == "echo":
		e.Output = strings.TrimPrefix(s, "echo ")
	case what[0] == "fail":
		e.Code, e.Message = CodeFailed, "it failed"
	case what[0] == "refuse":
		e.Code, e.Message = "refused", "refused "+what[1]
	case what[0] == "never":
		e.Code, e.Message, e.Attempts = "busy", "come again", 1+retries
	case what[0] == "panic":
		e.Code, e.Message = CodePanic, "panic: a cat on the keyboard"
	case what[0] == "unreadable":
		e.Code, e.Message = CodeFailed, `told to ["unreadable"]`
	}
	return e
}

func TestKindsAgree(t *testing.T) {
	words := []string{"", "echo a", "echo " + strings.Repeat("b", 5000), "echo c", "fail", "refuse x", "never", "panic", "unreadable", "too large"}
	memory := int64(64 << 10)
	words[len(words)-1] = strings.Repeat("x", int(memory)+1)
	pools := map[string]Pool{}
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom(words), 0, 40).Draw(rt, "items")
		ordered := rapid.Bool().Draw(rt, "ordered")
		stop := rapid.SampledFrom([]Stop{StopNever, StopNever, StopOnFailure, StopOnSuccess}).Draw(rt, "stop")
		chunk := rapid.SampledFrom([]int{0, 1, 7}).Draw(rt, "chunk")
		var want []end
		for i, s := range list {
			e := expect(int64(i), s, 2, memory)
			want = append(want, e)
			if ordered && (stop == StopOnFailure && e.Code != "" || stop == StopOnSuccess && e.Code == "") {
				break
			}
		}
		for _, kind := range Kinds {
			key := fmt.Sprint(kind, ordered, stop, chunk)
			if pools[key] == nil {
				o := options(acts)
				o.Ordered, o.Stop, o.Chunk, o.Memory, o.Retries, o.Workers = ordered, stop, chunk, memory, 2, 3
				pools[key] = open(t, kind, o)
			}
			checkRun(rt, kind, pools[key], list, want, ordered, stop)
		}
	})
}

func checkRun(rt *rapid.T, kind Kind, p Pool, list []string, want []end, ordered bool, stop Stop) {
	var got []end
	s, err := p.Run(context.Background(), texts(list...), func(r Result) error {
		got = append(got, endOf(r))
		return nil
	})
	if err != nil {
		rt.Fatalf("%s: %v", kind, err)
	}
	if s.Items != int64(len(got)) || s.OK+s.Failed != s.Items {
		rt.Fatalf("%s: %d results, but it says %+v", kind, len(got), s)
	}
	if ordered || kind == Sequential && stop == StopNever {
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s: want -, got +:\n%s", kind, diff)
		}
		return
	}
	seen := map[int64]bool{}
	for i, e := range got {
		if seen[e.Index] {
			rt.Fatalf("%s: item %d has two results", kind, e.Index)
		}
		seen[e.Index] = true
		if diff := cmp.Diff(expect(e.Index, list[e.Index], 2, 64<<10), e); diff != "" {
			rt.Fatalf("%s: want -, got +:\n%s", kind, diff)
		}
		ends := stop == StopOnFailure && e.Code != "" || stop == StopOnSuccess && e.Code == ""
		if ends != (i == len(got)-1) && ends {
			rt.Fatalf("%s: result %d of %d ends the run", kind, i, len(got))
		}
	}
	if !s.Stopped && len(got) != len(list) {
		rt.Fatalf("%s: %d results for %d items", kind, len(got), len(list))
	}
}

// Batches: an item that panics takes none of the others along.
func TestBatchFunc(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			o := options(squares)
			o.Ordered = true
			p := open(t, kind, o)
			items := func(yield func(Item, error) bool) {
				for i := range uint64(1000) {
					if !yield(Item{Data: binary.LittleEndian.AppendUint64(nil, i)}, nil) {
						return
					}
				}
			}
			next := int64(0)
			_, err := p.Run(t.Context(), items, func(r Result) error {
				e := endOf(r)
				want := end{Index: next, Output: string(binary.LittleEndian.AppendUint64(nil, uint64(next*next))), Attempts: 1}
				switch next {
				case 7:
					want = end{Index: 7, Code: "seven", Message: "seven is not wanted", Attempts: 1}
				case 13:
					want = end{Index: 13, Code: CodePanic, Message: "panic: bad luck", Attempts: 1}
				}
				if diff := cmp.Diff(want, e); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				next++
				return nil
			})
			if err != nil || next != 1000 {
				t.Fatal(next, err)
			}
		})
	}
}

func TestInputAndReceiverErrors(t *testing.T) {
	broken := errors.New("the list is torn")
	full := errors.New("no more, thanks")
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := open(t, kind, options(acts))
			items := func(yield func(Item, error) bool) {
				for range 5 {
					if !yield(Item{Data: []byte("echo a")}, nil) {
						return
					}
				}
				yield(Item{}, broken)
			}
			n := 0
			count := func(Result) error { n++; return nil }
			if _, err := p.Run(t.Context(), items, count); !errors.Is(err, broken) || n != 5 {
				t.Errorf("broken input: %d results, %v", n, err)
			}
			n = 0
			_, err := p.Run(t.Context(), repeat(Item{Data: []byte("echo b")}, 100), func(Result) error {
				n++
				return full
			})
			if !errors.Is(err, full) || n != 1 {
				t.Errorf("broken receiver: %d results, %v", n, err)
			}
		})
	}
}

// Retries: an item that is refused for a while gets there, and a server's wish is
// honoured.
func TestRetryAfter(t *testing.T) {
	for _, kind := range []Kind{Sequential, Goroutine, Event} {
		t.Run(string(kind), func(t *testing.T) {
			const after = 30 * time.Millisecond
			var asked []time.Time
			o := options(Work{Name: "later", New: func([]byte) (Func, error) {
				return func(_ context.Context, _, out []byte) ([]byte, error) {
					asked = append(asked, time.Now())
					if len(asked) < 3 {
						return out, &ItemError{Code: "busy", Message: "later", Retry: true, After: after}
					}
					return out, nil
				}, nil
			}})
			o.Retries, o.Workers = 5, 1
			s, err := open(t, kind, o).Run(t.Context(), repeat(Item{}, 1), nothing)
			if err != nil || s.OK != 1 || s.Attempts != 3 {
				t.Fatal(s, err)
			}
			for i := range 2 {
				if d := asked[i+1].Sub(asked[i]); d < after {
					t.Errorf("asked again after %v", d)
				}
			}
		})
	}
}

// An item that waits holds no slot: with one slot, all others end first.
func TestEventWaitsWithoutSlot(t *testing.T) { synctest.Test(t, waitWithoutSlot) }

func waitWithoutSlot(t *testing.T) {
	tries := 0
	o := options(Work{Name: "later", New: func([]byte) (Func, error) {
		return func(_ context.Context, in, out []byte) ([]byte, error) {
			if len(in) == 0 {
				if tries++; tries == 1 {
					return out, &ItemError{Code: "busy", Retry: true, After: 50 * time.Millisecond}
				}
			}
			return out, nil
		}, nil
	}})
	o.Workers, o.Retries = 1, 1
	var order []int64
	items := func(yield func(Item, error) bool) {
		for i := range 20 {
			if !yield(Item{Data: make([]byte, i)}, nil) {
				return
			}
		}
	}
	_, err := open(t, Event, o).Run(t.Context(), items, func(r Result) error {
		order = append(order, r.Index)
		return nil
	})
	if err != nil || len(order) != 20 || order[19] != 0 {
		t.Fatal(order, err)
	}
}

func TestTimeout(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			o := options(acts)
			o.Timeout, o.Retries = 20*time.Millisecond, 1
			var got []end
			_, err := open(t, kind, o).Run(t.Context(), texts("wait"), func(r Result) error {
				got = append(got, endOf(r))
				return nil
			})
			want := []end{{Code: CodeTimeout, Message: "no answer within 20ms", Attempts: 2}}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v; want -, got +:\n%s", err, diff)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		`make goroutine pool: the work has no name`:                                 {},
		`make goroutine pool: work x has not exactly one of New and NewBatch`:       {Work: Work{Name: "x"}},
		`make goroutine pool: work squares takes 0 items at once; 1 to 512 can be`:  {Work: Work{Name: "squares", NewBatch: squares.NewBatch}},
		`make goroutine pool: workers -1 is not between 0 and 65536`:                {Work: noop, Workers: -1},
		`make goroutine pool: backoff 60000000000 is not between 0 and 30000000000`: {Work: noop, Backoff: time.Minute},
		`make goroutine pool: chunk 100000 is not between 0 and 512`:                {Work: noop, Chunk: 100000},
	} {
		if _, err := New(Goroutine, o); err == nil || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if _, err := New("thread", Options{Work: noop}); err == nil {
		t.Error("a kind that does not exist was made")
	}
}

func TestRegion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRegion(make([]byte, 64*grain))
		var taken []span
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				size := int64(rapid.IntRange(1, 20*grain).Draw(t, "size"))
				if at, ok := r.take(size); ok {
					taken = append(taken, span{at, rounded(size)})
				}
			},
			"give": func(t *rapid.T) {
				if len(taken) == 0 {
					t.Skip("nothing taken")
				}
				i := rapid.IntRange(0, len(taken)-1).Draw(t, "which")
				r.give(taken[i].offset, taken[i].size)
				taken = append(taken[:i], taken[i+1:]...)
			},
			"": func(t *rapid.T) {
				owner := map[int64]bool{}
				all := append(append([]span(nil), taken...), r.free...)
				for _, s := range all {
					for g := s.offset; g < s.offset+s.size; g += grain {
						if owner[g] {
							t.Fatalf("%d is in two pieces: taken %v, free %v", g, taken, r.free)
						}
						owner[g] = true
					}
				}
				if len(owner) != 64 {
					t.Fatalf("%d grains of 64 are somewhere", len(owner))
				}
				for i := 1; i < len(r.free); i++ {
					if r.free[i-1].offset+r.free[i-1].size >= r.free[i].offset {
						t.Fatalf("not merged or sorted: %v", r.free)
					}
				}
			},
		})
	})
}
