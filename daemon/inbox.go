package daemon

import "sync"

// An inbox holds what waits for the owner. It has no bound, so that whoever
// feeds it never waits for the owner while the owner waits for them; what it
// can hold is bounded by the number of connections and of resident jobs.
type inbox struct {
	signal chan struct{} // there is something to take; one token

	mu     sync.Mutex // guards fields below
	posts  []func()
	closed bool
}

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

// post hands f to the owner; false means that the owner has ended.
func (b *inbox) post(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.posts = append(b.posts, f)
	select {
	case b.signal <- struct{}{}:
	default:
	}
	return true
}

// take returns everything posted since the last call, in order.
func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	posts := b.posts
	b.posts = nil
	return posts
}

// close refuses further posts and returns those that were not taken.
func (b *inbox) close() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	posts := b.posts
	b.posts = nil
	return posts
}
