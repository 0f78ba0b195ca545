package fetch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"sync"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// load is a job that fetches.
type load struct {
	spec     Spec
	params   []byte
	template Template
	writes   bool

	mu   sync.Mutex       // guards what follows
	open map[int64]string // names of the items that are not answered, by index
}

var _ batch.Load = (*load)(nil)

// New is the job of a specification. What it returns is also an [io.Closer]:
// closing it ends idle connections, and removes what is left of items that were
// given out and not answered, unless [Spec].KeepPartial.
func New(spec Spec) (batch.Load, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	l := &load{spec: spec, writes: !spec.Discard && spec.Method != http.MethodHead, open: map[int64]string{}}
	var err error
	if l.template, err = ParseTemplate(spec.Name); err != nil {
		return nil, err
	}
	if l.params, err = (params{Spec: spec, ID: rand.Text()}).encode(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *load) Work() (cpuwork.Work, []byte) { return Work, l.params }

// Count reads the lists once; -1 when one is not a regular file.
func (l *load) Count() int64 {
	for _, path := range l.spec.Lists {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return -1
		}
	}
	var n int64
	for _, err := range l.entries() {
		if err != nil {
			return -1 // Items will say why
		}
		n++
	}
	return n
}

// entries are all lines: first those of the specification, then those of lists.
func (l *load) entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for i, text := range l.spec.URLs {
			e, ok := parseLine(text)
			e.Line = i + 1
			if !ok {
				e.Failed = badURL("it is empty")
			}
			if !yield(e, nil) {
				return
			}
		}
		for _, path := range l.spec.Lists {
			f, err := os.Open(path) // #nosec G304 -- the user's own list
			if err != nil {
				yield(Entry{}, fmt.Errorf("open list: %w", err))
				return
			}
			goOn := pass(Parse(f), yield)
			_ = f.Close() // only read
			if !goOn {
				return
			}
		}
	}
}

// pass yields all of entries; false when nothing more is to be yielded.
func pass(entries iter.Seq2[Entry, error], yield func(Entry, error) bool) bool {
	for e, err := range entries {
		if !yield(e, err) || err != nil {
			return false
		}
	}
	return true
}

// Items gives every item the name it is written to: what its line says, or the
// template makes of its URL. A name that an earlier item has is refused. For
// that 16 bytes of each name's digest are remembered.
func (l *load) Items(ctx context.Context) iter.Seq2[batch.Item, error] {
	return func(yield func(batch.Item, error) bool) {
		taken := map[[16]byte]struct{}{}
		var index int64
		for e, err := range l.entries() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(batch.Item{}, err)
				return
			}
			if !yield(l.item(e, index, taken), nil) {
				return
			}
			index++
		}
	}
}

func (l *load) item(e Entry, index int64, taken map[[16]byte]struct{}) batch.Item {
	it := batch.Item{Name: redacted(e.URL)}
	failed := e.Failed
	name := e.Name
	if failed == nil && l.writes {
		if name == "" {
			u, _ := parseURL(e.URL) // it was parsed before
			name = l.template.Of(u, index)
		}
		sum := sha256.Sum256([]byte(name))
		key := [16]byte(sum[:16])
		if _, found := taken[key]; found {
			failed = cpuwork.Failf(CodeNameTaken, "--name '{index}-{base}' or '{host}/{path}', or a name after a tab in the list",
				"an earlier item is written to %s", clip(name))
		}
		taken[key] = struct{}{}
	}
	if failed != nil {
		it.Failed = failed
		return it
	}
	it.Data = []byte(e.URL)
	if l.writes {
		it.Data = append(append(it.Data, '\t'), name...)
		l.mu.Lock()
		l.open[index] = name
		l.mu.Unlock()
	}
	return it
}

func (l *load) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	line := batch.Line{Index: item.Index, Item: item.Name, Seconds: r.Took.Seconds(), Attempts: r.Attempts}
	l.mu.Lock()
	name, wrote := l.open[item.Index]
	delete(l.open, item.Index)
	l.mu.Unlock()
	if r.Err != nil {
		line.Error = itemError(r.Err)
		if wrote && !l.spec.KeepPartial {
			if err := l.removePartials(name); err != nil {
				return line, err
			}
		}
		return line, nil
	}
	var a Answer
	if err := json.Unmarshal(r.Output, &a); err != nil {
		return line, fmt.Errorf("decode answer: %w", err)
	}
	line.OK, line.Wrote = true, a.Path
	if !a.Skipped && !a.NotModified {
		line.Bytes = a.Bytes
	}
	if err := json.Unmarshal(r.Output, &line.Output); err != nil {
		return line, fmt.Errorf("decode answer: %w", err)
	}
	line.Output["attempts"] = r.Attempts
	return line, nil
}

func itemError(err error) *cpuwork.ItemError {
	var failed *cpuwork.ItemError
	switch {
	case errors.As(err, &failed):
		return failed
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return cpuwork.Failf(CodeCancelled, "", "cancelled")
	}
	return cpuwork.Failf("failed", "", "%v", err)
}

// Finish has nothing to add: the files are durable already.
func (l *load) Finish(context.Context, *batch.Summary) error { return l.Close() }

// Close ends what the job holds in this process, and removes partial files of
// items that were begun and never answered.
func (l *load) Close() error {
	if e := running(l.params); e != nil {
		e.close()
	}
	if l.spec.KeepPartial {
		return nil
	}
	l.mu.Lock()
	var names []string
	for index, name := range l.open {
		names = append(names, name)
		delete(l.open, index)
	}
	l.mu.Unlock()
	return l.removePartials(names...)
}

func (l *load) removePartials(names ...string) error {
	if len(names) == 0 {
		return nil
	}
	dir, err := os.OpenRoot(l.spec.To)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer func() { _ = dir.Close() }() // nothing was written to it
	for _, name := range names {
		clearPartial(dir, name)
	}
	return nil
}

var _ io.Closer = (*load)(nil)
