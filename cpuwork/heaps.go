package cpuwork

import "container/heap"

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

// taskRing is a queue with a bound. Its length is a power of two.
type taskRing struct {
	slots      []*task
	head, tail int64
}

func (q *taskRing) len() int { return int(q.tail - q.head) }

func (q *taskRing) push(t *task) {
	q.slots[q.tail&int64(len(q.slots)-1)] = t
	q.tail++
}

// first returns the oldest task; nil if there is none.
func (q *taskRing) first() *task {
	if q.head == q.tail {
		return nil
	}
	return q.slots[q.head&int64(len(q.slots)-1)]
}

func (q *taskRing) pop() *task {
	t := q.first()
	q.slots[q.head&int64(len(q.slots)-1)] = nil
	q.head++
	return t
}
