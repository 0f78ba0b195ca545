package cpuwork

import (
	"fmt"
	"sync/atomic"
	"time"
)

// task is an item on its way through a run.
type task struct {
	index    int64
	item     Item
	size     int64 // bytes of memory it may need: of Data, or what Fill may write
	in       []byte
	at       span // where in lies in the region; none: nowhere
	filled   bool // in holds the item
	alone    bool // not again together with others: one of them may have hurt the rest
	attempts int  // that have ended
	due      time.Duration

	out  []byte
	err  error
	took time.Duration
	home *answers // holds out
}

// fill makes in hold the item. Its error, or panic, is the item's.
func (t *task) fill() (err error) {
	if t.filled {
		return nil
	}
	t.filled = true
	if t.item.Fill == nil {
		if t.at.size > 0 {
			copy(t.in, t.item.Data)
		} else {
			t.in = t.item.Data
		}
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v)
		}
	}()
	n, err := t.item.Fill(t.in)
	if err != nil {
		return err
	}
	if n < 0 || n > len(t.in) {
		return Failf(CodeFailed, "", "the item filled %d of %d bytes", n, len(t.in))
	}
	t.in = t.in[:n]
	return nil
}

// notFilled ends a task that could not be filled; it is not tried again.
func (t *task) notFilled(err error) {
	t.err, t.in, t.attempts, t.filled = err, nil, 1, false
}

// size returns how many bytes of memory an item may need.
func (i *Item) size() (int64, error) {
	if i.Fill == nil {
		return int64(len(i.Data)), nil
	}
	if i.Size < 0 {
		return 0, fmt.Errorf("an item of size %d cannot be filled", i.Size)
	}
	return int64(i.Size), nil
}

// answers are tasks that have been done by one worker, and the memory that their
// outputs share. They are told to the run together, once for many items.
type answers struct {
	tasks []*task
	buf   []byte
	left  atomic.Int64 // tasks that still need buf
}

const (
	ownOutput    = 32 << 10  // an output from this size on is not copied
	answersBytes = 256 << 10 // told at once when their outputs have come to this
	answersTime  = 2 * time.Millisecond
)

// add puts a task among the answers.
func (a *answers) add(t *task) {
	t.home = a
	a.tasks = append(a.tasks, t)
}

// keep returns a copy of out in the answers' memory.
func (a *answers) keep(out []byte) []byte {
	if len(a.buf)+len(out) > cap(a.buf) {
		a.buf = make([]byte, 0, max(2*cap(a.buf), len(out), 512)) // earlier outputs keep the old memory
	}
	from := len(a.buf)
	a.buf = append(a.buf, out...)
	return a.buf[from:len(a.buf):len(a.buf)]
}

// reset makes answers that nobody needs any more empty.
func (a *answers) reset() {
	clear(a.tasks)
	a.tasks, a.buf = a.tasks[:0], a.buf[:0]
	if cap(a.buf) > answersBytes {
		a.buf = nil
	}
}

// leave empties tasks that were told, and returns how many bytes of output they had.
func leave(told []*task) (size int64) {
	var home *answers
	var n int64 // tasks in a row that have the same home
	for _, t := range told {
		size += int64(len(t.out))
		if t.home != home {
			home.give(n)
			home, n = t.home, 0
		}
		n++
		*t = task{}
	}
	home.give(n)
	return size
}

// give says that n of the tasks need buf no longer.
func (a *answers) give(n int64) {
	if a != nil {
		a.left.Add(-n)
	}
}

// admit finds out how much memory the task needs, and reports whether that can
// be had at all. Otherwise it has failed.
func (t *task) admit(memory int64) bool {
	size, err := t.item.size()
	if err == nil && rounded(size) > memory {
		err = tooLargeError(size, memory)
	}
	if err != nil {
		t.err, t.attempts = err, 1
		return false
	}
	t.size = size
	return true
}
