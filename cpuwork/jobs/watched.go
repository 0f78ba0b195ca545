package jobs

import (
	"context"
	"encoding/base64"
	"io"
	"iter"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// watched is a load whose course is told.
type watched struct {
	batch.Load
	begun   func()              // called before the first item
	on      func(time.Duration) // called with the time that a worker took for an item
	answers string              // as in [task]
	resumed int64               // items that earlier lives had done
	total   atomic.Int64        // items; -1: not counted yet
	passed  atomic.Int64        // items whose error is an answer
}

var _ batch.Resumer = (*watched)(nil)

// Count implements [batch.Load]: a load may read its lists to count, and is
// asked several times a second.
func (l *watched) Count() int64 { return l.total.Load() }

// Resume implements [batch.Resumer].
func (l *watched) Resume(line batch.Line) error {
	l.resumed++
	l.pass(&line)
	if r, ok := l.Load.(batch.Resumer); ok {
		return r.Resume(line)
	}
	return nil
}

// Items implements [batch.Load].
func (l *watched) Items(ctx context.Context) iter.Seq2[batch.Item, error] {
	l.begun()
	return l.Load.Items(ctx)
}

// Answer implements [batch.Load].
func (l *watched) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	l.on(r.Took)
	line, err := l.Load.Answer(item, r)
	if err != nil {
		return line, err
	}
	l.pass(&line)
	if !utf8.ValidString(item.Name) {
		if line.Output == nil {
			line.Output = map[string]any{}
		}
		line.Output[NameBase64] = base64.StdEncoding.EncodeToString([]byte(item.Name))
	}
	return line, nil
}

func (l *watched) pass(line *batch.Line) {
	if l.answers != "" && line.Error != nil && line.Error.Code == l.answers {
		l.passed.Add(1)
	}
}

// mostCounted bounds the counting of items that are named by others, such as the
// spans of a range in a file.
const mostCounted = 10_000_000

// count finds out how many items there are: the load says so, or all are listed
// once, without being done. list may be nil.
func (l *watched) count(ctx context.Context, list func() (batch.Load, error)) {
	n := l.Load.Count()
	if n < 0 && list != nil {
		n = listed(ctx, list)
	}
	l.total.Store(n)
}

// listed counts a load's items; -1: they could not be counted, which those who do
// them will find out as well.
func listed(ctx context.Context, list func() (batch.Load, error)) int64 {
	load, err := list()
	if err != nil {
		return -1
	}
	if c, ok := load.(io.Closer); ok {
		defer func() { _ = c.Close() }() // nothing was done with it
	}
	var n int64
	for _, err := range load.Items(ctx) {
		if err != nil || ctx.Err() != nil || n == mostCounted {
			return -1
		}
		n++
	}
	return n
}
