package train

import (
	"math"
	"strconv"
)

// bounds is a range of numbers; a nil end is open to infinity.
type bounds struct {
	low, high         *float64
	lowOpen, highOpen bool // the end itself is outside
}

func above(low float64) bounds         { return bounds{low: &low, lowOpen: true} }
func atLeast(low float64) bounds       { return bounds{low: &low} }
func between(low, high float64) bounds { return bounds{low: &low, high: &high} }

// upTo is from low to high without high.
func upTo(low, high float64) bounds { return bounds{low: &low, high: &high, highOpen: true} }

// check records a value outside of b.
func (b bounds) check(r *reader, x float64, at place) bool {
	switch {
	case b.low != nil && (x < *b.low || b.lowOpen && x == *b.low):
		word := "at least"
		if b.lowOpen {
			word = "greater than"
		}
		r.add(at.path, "", "%s must be %s %s", at.name, word, formatFloat(*b.low))
	case b.high != nil && (x > *b.high || b.highOpen && x == *b.high):
		word := "at most"
		if b.highOpen {
			word = "less than"
		}
		r.add(at.path, "", "%s must be %s %s", at.name, word, formatFloat(*b.high))
	default:
		return true
	}
	return false
}

// describe writes b into a schema.
func (b bounds) describe(s *schema) *schema {
	if b.lowOpen {
		s.ExclusiveMinimum = b.low
	} else {
		s.Minimum = b.low
	}
	if b.highOpen {
		s.ExclusiveMaximum = b.high
	} else {
		s.Maximum = b.high
	}
	return s
}

func formatFloat(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
