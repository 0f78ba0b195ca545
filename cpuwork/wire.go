package cpuwork

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weft/cpuwork/proc"
)

// Frames between a process pool and its workers.
const (
	// kindHello, first in each direction. To the worker: a hello as JSON, and two
	// descriptors, of the arena with the items and of the one with the states. To
	// the pool: nothing, or the error for which the worker is of no use, as JSON.
	kindHello = proc.KindUser + iota
	// kindChunk, to the worker: the chunk's number (4 bytes, little-endian), then
	// for each item offset and length in the arena, and 1 if it is to be done alone
	// (all as uvarint).
	kindChunk
	// kindAnswers, to the pool: the chunk's number, then for each item its place in
	// the chunk, the nanoseconds it took, its status (all as uvarint) and, with
	// its length before it, its output or its error as JSON.
	kindAnswers
	// kindLarge, to the pool: one item's answer, with status 0 and no output in the
	// payload, which is as in kindAnswers, and the output in the one descriptor.
	kindLarge
)

// hello is what a worker must know before its first item.
type hello struct {
	Work    string        `json:"work"`
	Params  []byte        `json:"params,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Line    int           `json:"line"` // of its state, in the arena of states
}

// Statuses of an answer.
const (
	statusOK = iota
	statusError
)

// Limits of what a worker puts into a frame; a larger output gets an arena of
// its own.
const (
	inlineOutput = 4 << 20
	frameBytes   = 256 << 10 // a frame is sent when it has come to this
)

var errFrame = errors.New("not a frame of cpuwork")

// piece is an item's place, in a frame of kindChunk.
type piece struct {
	offset, size int64
	alone        bool
}

func appendChunk(dst []byte, number uint32, tasks []*task) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, number)
	for _, t := range tasks {
		dst = binary.AppendUvarint(dst, uint64(t.at))
		dst = binary.AppendUvarint(dst, uint64(len(t.in)))
		alone := uint64(0)
		if t.alone {
			alone = 1
		}
		dst = binary.AppendUvarint(dst, alone)
	}
	return dst
}

// parseChunk reads a frame of kindChunk for an arena of size bytes.
func parseChunk(p []byte, size int64) (number uint32, pieces []piece, err error) {
	if len(p) < 4 {
		return 0, nil, errFrame
	}
	number = binary.LittleEndian.Uint32(p)
	r := varints{p: p[4:]}
	for len(r.p) > 0 && len(pieces) < maxPieces {
		c := piece{offset: r.next(size), size: r.next(size), alone: r.next(1) == 1}
		if r.bad || c.offset+c.size > size {
			return 0, nil, errFrame
		}
		pieces = append(pieces, c)
	}
	if len(pieces) == 0 || len(r.p) > 0 {
		return 0, nil, errFrame
	}
	return number, pieces, nil
}

// maxPieces bounds a chunk, so that a place in it fits into a state.
const maxPieces = 1 << 15

// answer is one item's end, in a frame of kindAnswers.
type answer struct {
	place  int
	took   time.Duration
	output []byte
	err    *ItemError
}

func appendAnswer(dst []byte, place int, took time.Duration, out []byte, err error) []byte {
	dst = binary.AppendUvarint(dst, uint64(place))
	dst = binary.AppendUvarint(dst, uint64(took))
	status, body := uint64(statusOK), out
	if err != nil {
		status, body = statusError, encodeError(err)
	}
	dst = binary.AppendUvarint(dst, status)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// encodeError returns the error's fields. Text that is too long for a message
// is cut.
func encodeError(err error) []byte {
	e := *asItemError(err)
	e.Message, e.Hint = cut(e.Message), cut(e.Hint)
	body, jsonErr := json.Marshal(e)
	if jsonErr != nil { // it has no type that could not be encoded
		return []byte(`{"code":"failed","message":"an error that cannot be encoded"}`)
	}
	return body
}

// maxText is how much of an error's message or hint crosses processes, in bytes.
const maxText = 64 << 10

func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// parseAnswers reads a frame of kindAnswers. The outputs are parts of p.
func parseAnswers(p []byte) (number uint32, answers []answer, err error) {
	if len(p) < 4 {
		return 0, nil, errFrame
	}
	number = binary.LittleEndian.Uint32(p)
	r := varints{p: p[4:]}
	for len(r.p) > 0 {
		a := answer{place: int(r.next(maxPieces - 1)), took: time.Duration(r.next(1 << 62))}
		status := r.next(statusError)
		n := r.next(int64(len(r.p)))
		if r.bad || n > int64(len(r.p)) {
			return 0, nil, errFrame
		}
		body := r.p[:n:n]
		r.p = r.p[n:]
		if status == statusError {
			a.err = new(ItemError)
			if err := json.Unmarshal(body, a.err); err != nil {
				return 0, nil, fmt.Errorf("%w: error of an item: %w", errFrame, err)
			}
		} else {
			a.output = body
		}
		answers = append(answers, a)
	}
	return number, answers, nil
}

// varints reads numbers.
type varints struct {
	p   []byte
	bad bool // one was missing or over its limit
}

func (r *varints) next(limit int64) int64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || v > uint64(limit) {
		r.bad = true
		r.p = nil
		return 0
	}
	r.p = r.p[n:]
	return int64(v)
}
