package cpuwork

import (
	"fmt"
	"sync/atomic"
	"time"
)

// task is an item on its way through a run. Feed, a worker and deliver are mostly
// on different cores, between which every line of it moves: it has two.
type task struct {
	index    int64
	size     int64  // bytes of memory it may need: of Data, or what Fill may write
	in       []byte // the item, once it is filled; before, its Data
	fillIn   func(dst []byte) (int, error)
	at       int64 // where in lies in the region, if it is placed
	attempts int32 // that have ended
	placed   bool
	filled   bool // in holds the item
	alone    bool // not again together with others: one of them may have hurt the rest
	due      time.Duration

	out  []byte
	err  error
	took time.Duration
	home *answers // holds out
}

// begin makes an empty task one of an item, and finds out how much memory it needs.
// It reports whether that can be had at all. Otherwise the task has failed.
func (t *task) begin(index int64, item *Item, memory int64) bool {
	t.index, t.in, t.fillIn = index, item.Data, item.Fill
	t.size = int64(len(item.Data))
	var err error
	if item.Fill != nil {
		t.in, t.size = nil, int64(item.Size)
		if item.Size < 0 {
			err = fmt.Errorf("an item of size %d cannot be filled", item.Size)
		}
	}
	if err == nil && rounded(t.size) > memory {
		err = tooLargeError(t.size, memory)
	}
	if err != nil {
		t.err, t.in, t.attempts = err, nil, 1
	}
	return err == nil
}

// fill makes in hold the item; memory is what the task may have a place in. Its
// error, or panic, is the item's.
func (t *task) fill(memory []byte) (err error) {
	if t.filled {
		return nil
	}
	t.filled = true
	var dst []byte
	if t.placed {
		dst = memory[t.at : t.at+t.size : t.at+t.size]
	}
	if t.fillIn == nil {
		if t.placed {
			copy(dst, t.in)
			t.in = dst
		}
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v)
		}
	}()
	n, err := t.fillIn(dst)
	if err != nil {
		return err
	}
	if n < 0 || n > len(dst) {
		return Failf(CodeFailed, "", "the item filled %d of %d bytes", n, len(dst))
	}
	t.in = dst[:n]
	return nil
}

// notFilled ends a task that could not be filled; it is not tried again.
func (t *task) notFilled(err error) {
	t.err, t.in, t.attempts, t.filled = err, nil, 1, false
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

// add puts tasks among the answers.
func (a *answers) add(tasks ...*task) {
	for _, t := range tasks {
		t.home = a
	}
	a.tasks = append(a.tasks, tasks...)
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
