package batch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weft/cpuwork"
)

// childVar makes this test binary run a job, in the directory it names, instead
// of testing.
const childVar = "BATCH_TEST_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(childVar)
	if dir == "" {
		goleak.VerifyTestMain(m)
		return
	}
	l := &numbers{n: 2000, slow: true}
	if _, err := Run(context.Background(), l, Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// numbers is a load: the numbers below n, of which those that end in 3 are odd
// enough to fail, and those that end in 4 cannot even be begun.
type numbers struct {
	n        int64
	slow     bool // half a millisecond each
	broken   error
	done     []int64 // answered in this life
	resumed  int
	finished int
	long     int // bytes of output
}

var _ Load = (*numbers)(nil)

func (l *numbers) Work() (cpuwork.Work, []byte) {
	return cpuwork.Work{Name: "numbers", New: func([]byte) (cpuwork.Func, error) {
		return func(_ context.Context, in, out []byte) ([]byte, error) {
			if l.slow {
				for begin := time.Now(); time.Since(begin) < time.Millisecond/2; {
				}
			}
			if in[len(in)-1] == '3' {
				return out, cpuwork.Failf("three", "try: 4", "%s ends in 3", in)
			}
			return append(out, in...), nil
		}, nil
	}}, nil
}

func (l *numbers) Count() int64 { return l.n }

func (l *numbers) Items(context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for i := range l.n {
			text := strconv.FormatInt(i, 10)
			item := Item{Name: "n" + text, Item: cpuwork.Item{Data: []byte(text)}}
			if strings.HasSuffix(text, "4") {
				item.Failed = cpuwork.Failf("four", "", "4 is not for us")
			}
			if !yield(item, nil) {
				return
			}
		}
		if l.broken != nil {
			yield(Item{}, l.broken)
		}
	}
}

func (l *numbers) Answer(item Named, r cpuwork.Result) (Line, error) {
	l.done = append(l.done, item.Index)
	if item.Name != "n"+strconv.FormatInt(item.Index, 10) || r.Index != item.Index {
		return Line{}, fmt.Errorf("%+v is not %+v", item, r)
	}
	line := Line{OK: r.Err == nil, Bytes: 10, Attempts: r.Attempts}
	if r.Err != nil {
		errors.As(r.Err, &line.Error)
		return line, nil
	}
	if string(r.Output) != strconv.FormatInt(item.Index, 10) {
		return Line{}, fmt.Errorf("item %d is answered by %q", item.Index, r.Output)
	}
	line.Output = map[string]any{"number": string(r.Output), "pad": strings.Repeat("x", l.long)}
	return line, nil
}

func (l *numbers) Resume(Line) error {
	l.resumed++
	return nil
}

func (l *numbers) Finish(_ context.Context, s *Summary) error {
	l.finished++
	s.Kind = map[string]any{"largest": float64(l.n - 1)}
	return nil
}
