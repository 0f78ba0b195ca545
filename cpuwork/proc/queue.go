package proc

import "sync"

// smallFrame is the largest payload, in bytes, worth copying into a batch
// instead of a system call of its own.
const smallFrame = 16 << 10

// batch is small frames that are written by one system call.
type batch struct {
	data    []byte // guarded by queue.mu until taken, then by Conn.writeMu
	senders int    // goroutines that wait for it; the same guards
	written bool   // guarded by Conn.writeMu
	err     error  // of the write; guarded by Conn.writeMu
}

// queue collects small frames while another sender is writing. There is no
// flusher: every sender adds its frame and then waits for Conn.writeMu, and the
// first of a batch to get it writes the batch for all.
type queue struct {
	mu      sync.Mutex // guards the fields below; taken alone or after Conn.writeMu
	filling *batch     // what senders add to
	spare   *batch     // one that is done, to be used again
}

func (q *queue) init() {
	q.filling = new(batch)
}

// add puts a frame into the batch that is being filled, and returns that batch.
func (q *queue) add(h header, payload []byte) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.filling
	b.data = append(appendHeader(b.data, h), payload...)
	b.senders++
	return b
}

// take ends the filling of b, which the caller is going to write.
func (q *queue) take(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.filling != b {
		return
	}
	if q.filling = q.spare; q.filling == nil {
		q.filling = new(batch)
	}
	q.spare = nil
}

// leave is called by each sender when it knows b's fate, under Conn.writeMu.
func (q *queue) leave(b *batch) {
	b.senders--
	if b.senders > 0 {
		return
	}
	*b = batch{data: b.data[:0]}
	if cap(b.data) > 16*smallFrame {
		b.data = nil // a burst's memory is not kept for ever
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = b
}
