package pools

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// short is the longest answer that a digest takes as it is.
const short = 32

// A Digest is SHA-256 over answers in the order of the input: of each its length, in
// one byte, and the answer itself; or of one above 32 bytes 255 and its SHA-256. Add
// may be called in any order.
type Digest struct {
	slots []byte // short+1 bytes for each item
	known []seen // the last long answers, by item modulo their number
	bytes int64
	count int
}

// seen is a long answer with its sum. Workloads repeat few of them, and comparing is
// faster than hashing again.
type seen struct {
	answer []byte
	sum    [sha256.Size]byte
}

// NewDigest is for so many items, of which those period apart have equal answers.
func NewDigest(items, period int) *Digest {
	return &Digest{slots: make([]byte, items*(short+1)), known: make([]seen, max(period, 1))}
}

// Add takes the answer of item i; it is the caller's again afterwards.
func (d *Digest) Add(i int, answer []byte) {
	d.bytes += int64(len(answer))
	d.count++
	slot := d.slots[i*(short+1) : (i+1)*(short+1)]
	if len(answer) <= short {
		slot[0] = byte(len(answer)) // #nosec G115 -- at most 32
		copy(slot[1:], answer)
		return
	}
	k := &d.known[i%len(d.known)]
	if !bytes.Equal(k.answer, answer) {
		k.answer = append(k.answer[:0], answer...)
		k.sum = sha256.Sum256(answer)
	}
	slot[0] = 255
	copy(slot[1:], k.sum[:])
}

// Sum is the digest in hexadecimal.
func (d *Digest) Sum() string {
	h := sha256.New()
	for s := d.slots; len(s) > 0; s = s[short+1:] {
		n := int(s[0])
		if n == 255 {
			n = short
		}
		h.Write(s[:1+n]) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
