package primes

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"

	"weft/cpuwork"
)

// An interval is the numbers from lo to hi, both included.
type interval struct{ lo, hi uint64 }

// parse parses a number, "97", or a range, "1..100", which includes both ends.
func parse(text string) (v interval, isRange bool, problem *cpuwork.ItemError) {
	from, to, isRange := strings.Cut(text, "..")
	if v.lo, problem = parseNumber(from); problem != nil {
		return v, isRange, problem
	}
	if !isRange {
		v.hi = v.lo
		return v, false, nil
	}
	if v.hi, problem = parseNumber(to); problem != nil {
		return v, true, problem
	}
	if v.hi < v.lo {
		return v, true, cpuwork.Failf("empty_range", "the lower end comes first", "the range %s ends before it begins", text)
	}
	return v, true, nil
}

func parseNumber(text string) (uint64, *cpuwork.ItemError) {
	digits, negative := strings.CutPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, cpuwork.Failf("bad_number", "digits only, or a range such as 1..100", "%.40q is not a whole number", text)
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case negative && (n > 0 || err != nil):
		return 0, cpuwork.Failf("negative", "", "%.40s is negative: primes are 2 and above", text)
	case err != nil:
		return 0, cpuwork.Failf("too_large", "numbers up to 18446744073709551615 can be decided", "%.40s has more than 64 bits", text)
	}
	return n, nil
}

// maxToken is more than the longest range; of what is longer, the rest is dropped.
const maxToken = 64

// tokens calls yield for what stands between white space, until that is false.
func tokens(r io.Reader, yield func(string) bool) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var token []byte
	for {
		b, err := in.ReadByte()
		blank := err != nil || b == ' ' || '\t' <= b && b <= '\r'
		if blank && len(token) > 0 {
			if !yield(string(token)) {
				return nil
			}
			token = token[:0]
		} else if !blank && len(token) < maxToken {
			token = append(token, b)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
