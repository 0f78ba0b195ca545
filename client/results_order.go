package client

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"weft/daemon/api"
)

// Results come in the order in which items ended, and people read them in the order
// of the input. They are sorted as a file is that memory has no room for: so many
// lines at a time, which go to a temporary file, and are merged as they are read
// again. A job of few items does without the file.

// sortBytes is how much of the results is sorted at once, in memory: some 25,000
// lines.
const sortBytes = 4 << 20

// The buffers that runs are read through when they are merged, together at most
// sortBytes while there are no more than a thousand runs.
const (
	mostRunBuffer  = 64 << 10
	leastRunBuffer = 4 << 10
)

// orderedItems are a job's results, in the order of its input; they can be gone
// over any number of times.
type orderedItems struct {
	count int64 // items

	most  int      // bytes in memory
	lines []byte   // those that are not in the file
	at    []lineAt // where they are
	file  *os.File // without a name; nil: all are in memory
	runs  []run    // of the file, each in order
	size  int64    // of the file
}

// lineAt is where an item's line is in memory, its end of line included.
type lineAt struct {
	index      int64
	start, end int
}

// A run is a part of the file whose lines are in order. Before each stands its
// index, in eight bytes.
type run struct{ start, end int64 }

// readItems reads a job's results and shows each to see, in the order in which they
// come. The caller closes what it returns.
func readItems(ctx context.Context, c *api.Client, id int64, failed bool, see func(*itemLine)) (*orderedItems, error) {
	body, err := c.Results(ctx, id, failed)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	o := &orderedItems{most: sortBytes}
	if err := o.read(body, see); err != nil {
		o.close()
		return nil, fmt.Errorf("read results of job %d: %w", id, err)
	}
	return o, nil
}

// read takes lines until r ends.
func (o *orderedItems) read(r io.Reader, see func(*itemLine)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var long []byte // a line that the reader's buffer has no room for
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, text...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(long) > 0 {
			long = append(long, text...)
			text = long
		}
		if len(text) > 0 {
			if err := o.add(text, see); err != nil {
				return err
			}
		}
		if err != nil {
			return o.finish()
		}
		long = long[:0]
	}
}

func (o *orderedItems) add(text []byte, see func(*itemLine)) error {
	var one itemLine
	if json.Unmarshal(text, &one) != nil {
		return fmt.Errorf("line %d is not what was expected", o.count+1)
	}
	o.count++
	see(&one)
	if len(o.at) > 0 && len(o.lines)+len(text) > o.most {
		if err := o.spill(); err != nil {
			return err
		}
	}
	start := len(o.lines)
	o.lines = append(o.lines, text...)
	if text[len(text)-1] != '\n' { // the last one
		o.lines = append(o.lines, '\n')
	}
	o.at = append(o.at, lineAt{one.Index, start, len(o.lines)})
	return nil
}

// sort puts the lines in memory in order.
func (o *orderedItems) sort() {
	slices.SortStableFunc(o.at, func(a, b lineAt) int { return cmp.Compare(a.index, b.index) })
}

// spill writes the lines in memory to the file, in order.
func (o *orderedItems) spill() error {
	if o.file == nil {
		f, err := os.CreateTemp("", "weft-results-")
		if err != nil {
			return sortError(err)
		}
		o.file = f
		if err := os.Remove(f.Name()); err != nil { // it goes with its last descriptor, however we end
			return sortError(err)
		}
	}
	o.sort()
	out := bufio.NewWriter(o.file)
	var index [8]byte
	for _, l := range o.at {
		binary.LittleEndian.PutUint64(index[:], uint64(l.index))
		_, _ = out.Write(index[:]) // Flush says what went wrong
		_, _ = out.Write(o.lines[l.start:l.end])
	}
	if err := out.Flush(); err != nil {
		return sortError(err)
	}
	end := o.size + int64(len(o.lines)+len(index)*len(o.at))
	o.runs = append(o.runs, run{o.size, end})
	o.size = end
	o.lines, o.at = o.lines[:0], o.at[:0]
	return nil
}

func sortError(err error) error {
	return &api.Error{Code: api.CodeDisk, Message: "sort results: " + err.Error(),
		Hint: "TMPDIR=DIR names another place for a temporary file, and -o jsonl needs none"}
}

// finish ends the reading.
func (o *orderedItems) finish() error {
	if o.file == nil {
		o.sort()
		return nil
	}
	err := o.spill()
	o.lines, o.at = nil, nil
	return err
}

// each shows every item in order, until f returns an error. The item is f's only
// until it returns.
func (o *orderedItems) each(f func(*itemLine) error) error {
	show := func(text []byte) error {
		var one itemLine
		if err := json.Unmarshal(text, &one); err != nil {
			return fmt.Errorf("read a sorted result: %w", err)
		}
		return f(&one)
	}
	for _, l := range o.at {
		if err := show(o.lines[l.start:l.end]); err != nil {
			return err
		}
	}
	if len(o.runs) == 0 {
		return nil
	}
	return o.merge(show)
}

// merge shows the lines of all runs in order; of equal items that which came first.
func (o *orderedItems) merge(show func([]byte) error) error {
	var heads runHeap
	buffer := min(max(sortBytes/len(o.runs), leastRunBuffer), mostRunBuffer)
	for i, r := range o.runs {
		h := &runHead{order: i, r: bufio.NewReaderSize(io.NewSectionReader(o.file, r.start, r.end-r.start), buffer)}
		if err := h.next(); err != nil {
			return err
		}
		heads = append(heads, h)
	}
	heap.Init(&heads)
	for len(heads) > 0 {
		h := heads[0]
		if err := show(h.text); err != nil {
			return err
		}
		switch err := h.next(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&heads)
		case err != nil:
			return err
		default:
			heap.Fix(&heads, 0)
		}
	}
	return nil
}

func (o *orderedItems) close() {
	if o.file != nil {
		_ = o.file.Close() // nobody reads it again
	}
}

// A runHead is the first line of a run that has not been shown.
type runHead struct {
	order int // of the run
	r     *bufio.Reader
	index int64
	text  []byte
}

// next goes on to the next line; io.EOF: there is none.
func (h *runHead) next() error {
	var index [8]byte
	if _, err := io.ReadFull(h.r, index[:]); errors.Is(err, io.EOF) {
		return io.EOF
	} else if err != nil {
		return fmt.Errorf("read a sorted result: %w", err)
	}
	h.index, h.text = int64(binary.LittleEndian.Uint64(index[:])), h.text[:0]
	for {
		part, err := h.r.ReadSlice('\n')
		h.text = append(h.text, part...)
		if err == nil {
			return nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("read a sorted result: %w", err)
		}
	}
}

// runHeap has the line that comes next at its top.
type runHeap []*runHead

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].index, h[j].index), cmp.Compare(h[i].order, h[j].order)) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*runHead)) }

func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
