package cpuwork

import (
	"container/heap"
	"sync/atomic"
)

// taskHeap is a heap of tasks by the order less.
type taskHeap struct {
	tasks []*task
	less  func(a, b *task) bool
}

var _ heap.Interface = (*taskHeap)(nil)

func (h *taskHeap) Len() int           { return len(h.tasks) }
func (h *taskHeap) Less(i, j int) bool { return h.less(h.tasks[i], h.tasks[j]) }
func (h *taskHeap) Swap(i, j int)      { h.tasks[i], h.tasks[j] = h.tasks[j], h.tasks[i] }
func (h *taskHeap) Push(x any)         { h.tasks = append(h.tasks, x.(*task)) }
func (h *taskHeap) Pop() any {
	last := len(h.tasks) - 1
	t := h.tasks[last]
	h.tasks[last] = nil
	h.tasks = h.tasks[:last]
	return t
}

func (h *taskHeap) push(t *task) { heap.Push(h, t) }

func (h *taskHeap) pop() *task { return heap.Pop(h).(*task) }

// first returns the least task; nil if there is none.
func (h *taskHeap) first() *task {
	if len(h.tasks) == 0 {
		return nil
	}
	return h.tasks[0]
}

func byIndex(a, b *task) bool { return a.index < b.index }

func byDue(a, b *task) bool { return a.due < b.due }

// taskRing is a queue with a bound, a power of two. One goroutine pushes, which
// sees to the bound. The others' methods are for one at a time.
type taskRing struct {
	slots []*task
	head  int64 // tasks that were popped
	tail  atomic.Int64
}

// push adds a task and returns how many there were so far.
func (q *taskRing) push(t *task) int64 {
	tail := q.tail.Load()
	q.slots[tail&int64(len(q.slots)-1)] = t
	q.tail.Store(tail + 1)
	return tail + 1
}

func (q *taskRing) pushed() int64 { return q.tail.Load() }

func (q *taskRing) len() int { return int(q.tail.Load() - q.head) }

// first returns the oldest task; nil if there is none.
func (q *taskRing) first() *task {
	if q.head == q.tail.Load() {
		return nil
	}
	return q.slots[q.head&int64(len(q.slots)-1)]
}

func (q *taskRing) pop() {
	q.slots[q.head&int64(len(q.slots)-1)] = nil
	q.head++
}

// taskList is a queue without a bound.
type taskList struct {
	tasks []*task
	head  int
}

func (l *taskList) len() int { return len(l.tasks) - l.head }

func (l *taskList) push(t *task) { l.tasks = append(l.tasks, t) }

// pop moves the n oldest tasks to dst, or all there are.
func (l *taskList) pop(dst []*task, n int) []*task {
	n = min(n, l.len())
	dst = append(dst, l.tasks[l.head:l.head+n]...)
	clear(l.tasks[l.head : l.head+n])
	if l.head += n; 2*l.head >= len(l.tasks) { // each is moved once at most, on the average
		l.tasks = l.tasks[:copy(l.tasks, l.tasks[l.head:])]
		l.head = 0
	}
	return dst
}
