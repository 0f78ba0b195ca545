package sha256

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"weft/cpuwork"
	"weft/cpuwork/sha256/multi"
)

// Size is the length of a digest in bytes.
const Size = multi.Size

// Work hashes the files at paths that are its items.
var Work = cpuwork.Work{Name: "sha256", NewBatch: newFileHasher, Batch: 64}

// Blob hashes items: an answer is the digest of the item's bytes, and that alone.
var Blob = cpuwork.Work{Name: "sha256-blob", NewBatch: newBlobHasher, Batch: blobsAtOnce}

const blobsAtOnce = 16

// params are what workers are told about a job.
type params struct {
	Special       bool `json:"special,omitempty"`
	IgnoreMissing bool `json:"ignore_missing,omitempty"`
}

// A request is an item: a path and, in a check, the digest that is expected.
type request struct {
	path     string
	expected *[Size]byte
}

// encode returns the item's bytes: 0 and the path, or 1, the digest, the path.
func (r request) encode() []byte {
	if r.expected == nil {
		return append([]byte{0}, r.path...)
	}
	return append(append([]byte{1}, r.expected[:]...), r.path...)
}

func decodeRequest(b []byte) (request, error) {
	switch {
	case len(b) > 1 && b[0] == 0:
		return request{path: string(b[1:])}, nil
	case len(b) > 1+Size && b[0] == 1:
		r := request{path: string(b[1+Size:]), expected: new([Size]byte)}
		copy(r.expected[:], b[1:])
		return r, nil
	}
	return request{}, fmt.Errorf("decode item: %d bytes are no request", len(b))
}

// An Answer is what a worker found out about a file.
type Answer struct {
	Sum     [Size]byte
	Bytes   int64 // that were hashed
	Changed bool  // the file was another one afterwards
	Missing bool  // it was not there, and that was to be ignored
}

const answerSize = 1 + 8 + Size

func (a Answer) append(out []byte) []byte {
	var flags byte
	if a.Changed {
		flags |= 1
	}
	if a.Missing {
		flags |= 2
	}
	out = binary.LittleEndian.AppendUint64(append(out, flags), uint64(a.Bytes)) // #nosec G115 -- a length
	return append(out, a.Sum[:]...)
}

// ParseAnswer decodes an answer of [Work].
func ParseAnswer(b []byte) (a Answer, err error) {
	if len(b) != answerSize || b[0] > 3 {
		return a, fmt.Errorf("parse answer: %d bytes are none", len(b))
	}
	a.Changed, a.Missing = b[0]&1 != 0, b[0]&2 != 0
	a.Bytes = int64(binary.LittleEndian.Uint64(b[1:])) // #nosec G115 -- a length
	copy(a.Sum[:], b[9:])
	return a, nil
}

// A fileHasher is one worker's memory: lanes and a buffer for each.
type fileHasher struct {
	params
	hasher multi.Hasher
	free   [][]byte // buffers that no stream uses
}

func newFileHasher(raw []byte) (cpuwork.BatchFunc, error) {
	h := &fileHasher{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &h.params); err != nil {
			return nil, fmt.Errorf("parse parameters of sha256: %w", err)
		}
	}
	return h.batch, nil
}

// batch hashes the files of a batch, as many at once as there are lanes.
func (h *fileHasher) batch(ctx context.Context, in, out [][]byte, errs []error) {
	at := 0
	next := func() multi.Source {
		for ; at < len(in); at++ {
			s, err := h.begin(ctx, at, in[at])
			if err == nil {
				at++
				return s
			}
			if h.IgnoreMissing && isMissing(err) {
				out[at] = Answer{Missing: true}.append(out[at])
				continue
			}
			errs[at] = err
		}
		return nil
	}
	h.hasher.Run(next, func(src multi.Source, sum [Size]byte, err error) {
		s := src.(*stream)
		changed, closeErr := s.close()
		h.free = append(h.free, s.buf)
		if err = errors.Join(err, closeErr); err != nil {
			errs[s.index] = readError(ctx, err)
			return
		}
		if s.expected != nil && *s.expected != sum {
			errs[s.index] = cpuwork.Failf("mismatch", "", "the digest is %x, the list has %x", sum, *s.expected)
			return
		}
		out[s.index] = Answer{Sum: sum, Bytes: s.length, Changed: changed}.append(out[s.index])
	})
}

func (h *fileHasher) begin(ctx context.Context, index int, item []byte) (*stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := decodeRequest(item)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, r.path, h.Special)
	if err != nil {
		return nil, err
	}
	if len(h.free) == 0 {
		h.free = append(h.free, make([]byte, bufferSize))
	}
	s.buf, h.free = h.free[len(h.free)-1], h.free[:len(h.free)-1]
	s.index, s.expected = index, r.expected
	return s, nil
}

func newBlobHasher([]byte) (cpuwork.BatchFunc, error) {
	var h multi.Hasher
	sums := make([][Size]byte, blobsAtOnce)
	return func(ctx context.Context, in, out [][]byte, errs []error) {
		if err := ctx.Err(); err != nil {
			for i := range errs {
				errs[i] = err
			}
			return
		}
		if len(in) > len(sums) {
			sums = make([][Size]byte, len(in))
		}
		h.Sum(sums[:len(in)], in)
		for i := range out {
			out[i] = append(out[i], sums[i][:]...)
		}
	}, nil
}
