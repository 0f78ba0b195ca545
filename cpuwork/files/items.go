package files

import (
	"context"
	"io"
	"iter"

	"weft/cpuwork/batch"
)

// A Yield takes an item of a job, and reports whether it wants more.
type Yield = func(batch.Item) bool

// Items are a job's items as [batch.Load] has them: those that all yields, until
// they are enough. When ctx ends its error is the last.
func Items(ctx context.Context, all func(Yield)) iter.Seq2[batch.Item, error] {
	return func(yield func(batch.Item, error) bool) {
		wanted := true
		all(func(item batch.Item) bool {
			if ctx.Err() != nil {
				return false
			}
			wanted = yield(item, nil)
			return wanted
		})
		if err := ctx.Err(); err != nil && wanted {
			yield(batch.Item{}, err)
		}
	}
}

// Each calls of with each file of the list, to yield its items, and yields an item
// that failed for what cannot be had. It reports whether more is wanted.
func (s *Spec) Each(ctx context.Context, yield Yield, of func(Entry) bool) bool {
	for entry := range s.All(ctx) {
		going := false
		if entry.Err != nil {
			going = yield(batch.Item{Name: entry.Name, Failed: entry.Err})
		} else {
			going = of(entry)
		}
		if !going {
			return false
		}
	}
	return true
}

// Read has parse read a file and yield items, of which it says whether more are
// wanted. A file that cannot be opened, or read to its end, is an item that failed.
func (e Entry) Read(yield Yield, parse func(io.Reader) (going bool, err error)) bool {
	f, problem := Open(e.Path)
	if problem != nil {
		return yield(batch.Item{Name: e.Name, Failed: problem})
	}
	defer func() { _ = f.Close() }() // only read
	going, err := parse(f)
	if err != nil && going {
		return yield(batch.Item{Name: e.Name, Failed: Error("read", err)})
	}
	return going
}
