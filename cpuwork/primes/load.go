package primes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/files"
)

// A Spec says which numbers a job decides: those given, then those in files,
// between white space. A range a..b includes both ends.
type Spec struct {
	Numbers []string    `json:"numbers,omitempty"`
	Files   *files.Spec `json:"files,omitempty"`
	First   bool        `json:"first,omitempty"` // end at the first prime found; see the package's doc
	List    bool        `json:"list,omitempty"`  // name the primes of ranges in the result file
}

// Check says what is wrong with s. What is wrong with one of the numbers is that
// item's error.
func (s *Spec) Check() error {
	if len(s.Numbers) == 0 && s.Files == nil {
		return errors.New("check primes: no numbers given\ntry: weft cpu primes 112272535095293 1..1000")
	}
	if s.Files != nil {
		return s.Files.Check()
	}
	return nil
}

// New returns the job that s describes. If s.First, it is to be run with
// [cpuwork.StopOnSuccess].
func New(s Spec) (batch.Load, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return &load{spec: s}, nil
}

// load is a job. Answer and Resume are called one at a time.
type load struct {
	spec      Spec
	primes    int64
	composite int64  // items that failed with not_prime
	first     string // the first prime answered
}

var (
	_ batch.Load    = (*load)(nil)
	_ batch.Resumer = (*load)(nil)
)

// Work implements [batch.Load].
func (l *load) Work() (cpuwork.Work, []byte) {
	raw, err := json.Marshal(params{First: l.spec.First, List: l.spec.List})
	if err != nil {
		panic(err) // two booleans
	}
	return Work, raw
}

// Count implements [batch.Load].
func (l *load) Count() int64 {
	if l.spec.Files != nil {
		return -1
	}
	var count int64
	for _, text := range l.spec.Numbers {
		v, isRange, problem := parse(text)
		if problem != nil || !isRange {
			count++
			continue
		}
		count += int64(v.hi/spanSize - v.lo/spanSize + 1) // #nosec G115 -- below 2^48
	}
	return count
}

// Items implements [batch.Load].
func (l *load) Items(ctx context.Context) iter.Seq2[batch.Item, error] {
	return files.Items(ctx, func(yield files.Yield) {
		for _, text := range l.spec.Numbers {
			if !token(text, yield) {
				return
			}
		}
		if l.spec.Files != nil {
			l.spec.Files.Each(ctx, yield, func(entry files.Entry) bool { return file(entry, yield) })
		}
	})
}

// file yields the items of the numbers and ranges in a file.
func file(entry files.Entry, yield files.Yield) bool {
	return entry.Read(yield, func(r io.Reader) (going bool, err error) {
		going = true
		err = tokens(r, func(text string) bool {
			going = token(text, yield)
			return going
		})
		return going, err
	})
}

// token yields the items of a number or range.
func token(text string, yield files.Yield) bool {
	v, isRange, problem := parse(text)
	if problem != nil {
		return yield(batch.Item{Name: text, Failed: problem})
	}
	if !isRange {
		return yield(item(strconv.FormatUint(v.lo, 10), v.encode(false)))
	}
	for {
		// A span ends before the next multiple of spanSize, so that the items are
		// the same wherever a range begins.
		span := interval{v.lo, min(v.hi, v.lo|(spanSize-1))}
		if !yield(item(fmt.Sprintf("%d..%d", span.lo, span.hi), span.encode(true))) {
			return false
		}
		if span.hi == v.hi {
			return true
		}
		v.lo = span.hi + 1
	}
}

func item(name string, data []byte) batch.Item {
	return batch.Item{Name: name, Item: cpuwork.Item{Data: data}}
}

// Answer implements [batch.Load]. Numbers in Output that may have more than 53
// bits are strings.
func (l *load) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	line := batch.Line{Index: item.Index, Item: item.Name, Seconds: r.Took.Seconds(), Attempts: r.Attempts}
	if r.Err != nil {
		if !errors.As(r.Err, &line.Error) {
			line.Error = &cpuwork.ItemError{Code: "failed", Message: r.Err.Error()}
		}
		return line, l.Resume(line)
	}
	a, err := ParseAnswer(r.Output)
	if err != nil {
		return line, err
	}
	line.OK = true
	line.Output = map[string]any{"primes": float64(a.Count)}
	if !a.Span {
		line.Output = map[string]any{"prime": a.Count == 1}
	} else if a.Count > 0 {
		line.Output["first"] = strconv.FormatUint(a.First, 10)
		line.Output["last"] = strconv.FormatUint(a.Last, 10)
	}
	if l.spec.List && a.Span {
		list := make([]string, len(a.Primes))
		for i, p := range a.Primes {
			list[i] = strconv.FormatUint(p, 10)
		}
		line.Output["list"] = list
	}
	return line, l.Resume(line)
}

// Resume counts a line, of this life or an earlier one.
func (l *load) Resume(line batch.Line) error {
	if line.Error != nil {
		if line.Error.Code == "not_prime" {
			l.composite++
		}
		return nil
	}
	count, isSpan := line.Output["primes"].(float64)
	prime, isNumber := line.Output["prime"].(bool)
	if isSpan == isNumber {
		return fmt.Errorf("resume item %d: its line says nothing about primes", line.Index)
	}
	least := line.Item
	if prime {
		count = 1
	} else if first, ok := line.Output["first"].(string); ok {
		least = first
	}
	if count > 0 && l.first == "" {
		l.first = least
	}
	l.primes += int64(count)
	return nil
}

// Finish implements [batch.Load]. With First, what is not prime was in the
// pool's way of speaking a failure; here it is none.
func (l *load) Finish(_ context.Context, s *batch.Summary) error {
	if s.Kind == nil {
		s.Kind = map[string]any{}
	}
	if !l.spec.First {
		s.Kind["primes"] = l.primes
		return nil
	}
	s.Kind["first_prime"], s.Kind["not_prime"] = nil, l.composite
	if l.first != "" {
		s.Kind["first_prime"] = l.first
	}
	s.OK += l.composite
	s.Failed -= l.composite
	kept := s.FirstFailed[:0]
	for _, line := range s.FirstFailed {
		if line.Error == nil || line.Error.Code != "not_prime" {
			kept = append(kept, line)
		}
	}
	s.FirstFailed = kept
	return nil
}

// Row is a line as the textbook's table shows it: the number, the answer and the
// time it took.
func Row(line batch.Line) (number, answer, took string) {
	answer = "no"
	if count, ok := line.Output["primes"].(float64); ok {
		answer = strconv.FormatFloat(count, 'f', -1, 64) + " primes"
	} else if line.Output["prime"] == true {
		answer = "prime"
	}
	if line.Error != nil && line.Error.Code != "not_prime" {
		answer = "error: " + line.Error.Message
	}
	return line.Item, answer, strconv.FormatFloat(line.Seconds*1e6, 'f', 1, 64) + " µs"
}
