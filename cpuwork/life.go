package cpuwork

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"weft/cpuwork/proc"
)

// frame takes a frame from the process, which is not trusted: whatever it sends
// can end the process, and nothing else. The supervisor calls it.
func (l *life) frame(f proc.Frame) {
	var err error
	switch {
	case f.Kind == kindHello && len(f.Files) == 0:
		err = l.greeted(f.Payload)
	case f.Kind == kindAnswers && len(f.Files) == 0:
		err = l.answers(f.Payload, nil)
	case f.Kind == kindLarge && len(f.Files) == 1:
		err = l.large(f)
	default:
		f.Close()
		err = errFrame
	}
	if err != nil {
		l.kill(fmt.Errorf("it sent what it should not: %w", err), 0)
	}
}

// greeted takes the answer to hello.
func (l *life) greeted(payload []byte) error {
	var answer error
	if len(payload) > 0 {
		e := new(ItemError)
		if err := json.Unmarshal(payload, e); err != nil {
			return fmt.Errorf("%w: hello: %w", errFrame, err)
		}
		answer = e
	}
	select {
	case l.hello <- answer:
		return nil
	default:
		return fmt.Errorf("%w: a second hello", errFrame)
	}
}

// large takes an answer whose output is in an arena.
func (l *life) large(f proc.Frame) error {
	arena, err := proc.OpenArena(f.Files[0])
	if err != nil {
		return err
	}
	out := append([]byte(nil), arena.Bytes()...)
	if err := arena.Close(); err != nil {
		return err
	}
	return l.answers(f.Payload, out)
}

// answers takes answers of a chunk; large is the output of the only one, if not
// nil.
func (l *life) answers(payload, large []byte) error {
	number, list, err := parseAnswers(payload)
	if err != nil {
		return err
	}
	if large != nil {
		if len(list) != 1 || list[0].err != nil {
			return errFrame
		}
		list[0].output = large
	}
	l.w.mu.Lock()
	a := new(answers)
	r, err := l.r, l.claim(a, number, list)
	l.w.changed.Signal()
	l.w.mu.Unlock()
	if r != nil {
		r.answer(a)
	}
	return err
}

// claim takes the tasks that were answered out of the chunk. The caller holds w.mu.
func (l *life) claim(a *answers, number uint32, list []answer) error {
	chunk := l.chunks[number]
	for _, one := range list {
		if one.place >= len(chunk) || chunk[one.place] == nil {
			return fmt.Errorf("%w: an answer to what was not asked", errFrame)
		}
		t := chunk[one.place]
		chunk[one.place] = nil
		t.attempts++
		t.out, t.took, t.err = one.output, one.took, nil
		if one.err != nil {
			t.out, t.err = nil, one.err
		}
		a.add(t)
	}
	for _, t := range chunk {
		if t != nil {
			return nil
		}
	}
	delete(l.chunks, number)
	return nil
}

// kill ends the process, and with it the items in its hands: those of the state
// guilty, unless that is 0. Others are innocent.
func (l *life) kill(why error, guilty uint64) {
	l.w.mu.Lock()
	if l.condemn == nil && !l.dead {
		l.condemn, l.guilty = why, guilty
	}
	l.w.mu.Unlock()
	l.sup.Kill()
}

// down is called when the process is dead and all that it had sent was taken.
func (l *life) down(exit proc.Exit) {
	w := l.w
	w.mu.Lock()
	l.dead = true
	if w.life == l {
		w.life = nil
	}
	word := state(w.p.states.Bytes(), w.line).Load()
	var lost answers
	var innocent []*task
	for number, chunk := range l.chunks {
		for place, t := range chunk {
			switch h := heldOf(word); {
			case t == nil:
			case !h.has(number, place) || l.guilty != 0 && l.guilty != word:
				innocent = append(innocent, t)
			case h.count > 1: // it cannot be known which of them did it
				t.alone = true
				innocent = append(innocent, t)
			default:
				t.attempts++
				t.err, t.out = l.verdict(exit), nil
				lost.add(t)
			}
		}
	}
	l.chunks = nil
	r := l.r
	w.changed.Broadcast()
	w.mu.Unlock()

	select {
	case l.hello <- exit:
	default:
	}
	if r != nil {
		l.report(r, exit, &lost, innocent)
	}
}

// maxFruitless is how many worker processes may die in a row, beside two for each
// worker, without any item that came to an end or was lost.
const maxFruitless = 8

// report gives the run back what the process had.
func (l *life) report(r *run, exit proc.Exit, lost *answers, innocent []*task) {
	if !errors.Is(exit.Err, proc.ErrStopped) {
		r.mu.Lock()
		r.lost++
		r.fruitless++
		hopeless := r.fruitless > maxFruitless+2*r.o.Workers
		r.mu.Unlock()
		if hopeless {
			r.stop(fmt.Errorf("worker processes die one after the other and get nothing done: %w", exit))
		}
	}
	r.requeue(innocent)
	r.answer(lost)
}

// lastWords is how much of a dead process's output is told, in bytes.
const lastWords = 2 << 10

// verdict is the error of the item that the process died with.
func (l *life) verdict(exit proc.Exit) error {
	var e *ItemError
	if errors.As(l.condemn, &e) {
		return e
	}
	why := exit.Reason
	if l.condemn != nil {
		why = l.condemn.Error()
	}
	text := fmt.Sprintf("its worker process died: %s (%s)", why, exit.Status)
	if words := strings.TrimSpace(exit.LastWords); words != "" {
		if len(words) > lastWords {
			words = "[…]" + strings.ToValidUTF8(words[len(words)-lastWords:], "")
		}
		text += "; its last words:\n" + words
	}
	return &ItemError{Code: CodeWorkerLost, Message: text, Retry: true}
}
