package primes

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"weft/cpuwork"
)

// Work decides numbers and spans of ranges.
var Work = cpuwork.Work{Name: "primes", New: newWorker}

// params are what workers are told about a job.
type params struct {
	First bool `json:"first,omitempty"` // what is not prime fails
	List  bool `json:"list,omitempty"`  // answers name the primes of a span
}

// encode returns the bytes of an item: one number, or both ends of a span.
func (v interval) encode(isSpan bool) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), v.lo)
	if isSpan {
		b = binary.LittleEndian.AppendUint64(b, v.hi)
	}
	return b
}

// An Answer is about a number or, if Span, about the numbers of a range.
type Answer struct {
	Span        bool
	Count       int      // primes; 0 or 1 for a number
	First, Last uint64   // if there are any
	Primes      []uint64 // of a span, if they were asked for
}

func (a *Answer) append(out []byte) []byte {
	if !a.Span {
		return append(out, byte(a.Count))
	}
	out = binary.LittleEndian.AppendUint64(out, uint64(a.Count)) // #nosec G115 -- a count
	out = binary.LittleEndian.AppendUint64(out, a.First)
	out = binary.LittleEndian.AppendUint64(out, a.Last)
	for _, p := range a.Primes {
		out = binary.LittleEndian.AppendUint64(out, p)
	}
	return out
}

// ParseAnswer decodes an answer of [Work].
func ParseAnswer(b []byte) (a Answer, err error) {
	if len(b) == 1 && b[0] <= 1 {
		a.Count = int(b[0])
		return a, nil
	}
	if len(b) < 24 || len(b)%8 != 0 {
		return a, fmt.Errorf("parse answer: %d bytes are none", len(b))
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	if word(0) > spanSize {
		return a, fmt.Errorf("parse answer: %d primes in one span", word(0))
	}
	a = Answer{Span: true, Count: int(word(0)), First: word(1), Last: word(2)} // #nosec G115 -- checked above
	for i := 3; i < len(b)/8; i++ {
		a.Primes = append(a.Primes, word(i))
	}
	return a, nil
}

// A worker decides items, and keeps a sieve between them.
type worker struct {
	params
	sieve sieve
}

func newWorker(raw []byte) (cpuwork.Func, error) {
	w := &worker{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &w.params); err != nil {
			return nil, fmt.Errorf("parse parameters of primes: %w", err)
		}
	}
	return w.do, nil
}

func (w *worker) do(ctx context.Context, in, out []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil { // the longest item takes milliseconds
		return out, err
	}
	switch len(in) {
	case 8:
		n := binary.LittleEndian.Uint64(in)
		a := Answer{}
		if Is(n) {
			a.Count = 1
		} else if w.First {
			return out, cpuwork.Failf("not_prime", "", "%d is not prime", n)
		}
		return a.append(out), nil
	case 16:
		v := interval{binary.LittleEndian.Uint64(in), binary.LittleEndian.Uint64(in[8:])}
		if v.lo > v.hi || v.hi-v.lo >= spanSize {
			return out, fmt.Errorf("decode item: %d to %d is no span", v.lo, v.hi)
		}
		a := w.span(v)
		if w.First && a.Count == 0 {
			return out, cpuwork.Failf("not_prime", "", "none of %d to %d is prime", v.lo, v.hi)
		}
		return a.append(out), nil
	}
	return out, fmt.Errorf("decode item: %d bytes are no number", len(in))
}

// span answers a span: with First, for its first prime only.
func (w *worker) span(v interval) Answer {
	a := Answer{Span: true}
	w.sieve.span(v.lo, v.hi, func(p uint64) bool {
		if a.Count == 0 {
			a.First = p
		}
		a.Count++
		a.Last = p
		if w.List {
			a.Primes = append(a.Primes, p)
		}
		return !w.First
	})
	return a
}
