package cpuwork

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// began is what clock readings count from; a difference of two of them is cheaper
// than two of time.Now.
var began = time.Now()

func now() time.Duration { return time.Since(began) }

// doer does items with one worker's function. It is for one goroutine at a time.
type doer struct {
	one     Func
	many    BatchFunc
	batch   int // items at once at most
	timeout time.Duration

	mark   time.Duration // up to when tasks have been timed
	stride int           // items that are worth reading the clock for

	scratch []byte // what one appends to
	ins     [][]byte
	outs    [][]byte
	errs    []error
}

// newDoer asks the work for a worker's function.
func newDoer(w *Work, params []byte, timeout time.Duration) (d *doer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v)
		}
		if err != nil {
			err = fmt.Errorf("prepare work %s: %w", w.Name, err)
		}
	}()
	d = &doer{batch: 1, timeout: timeout, stride: 1}
	if w.New != nil {
		d.one, err = w.New(params)
		return d, err
	}
	d.batch = w.Batch
	d.many, err = w.NewBatch(params)
	d.ins, d.outs, d.errs = make([][]byte, w.Batch), make([][]byte, w.Batch), make([]error, w.Batch)
	return d, err
}

// group returns how many of the tasks, from the first, are done between two
// readings of the clock: those that the work does at once, or else at most most.
func (d *doer) group(tasks []*task, most int) int {
	if d.one != nil {
		return min(most, len(tasks))
	}
	n := 1
	if !tasks[0].alone {
		for n < min(d.batch, len(tasks)) && !tasks[n].alone {
			n++
		}
	}
	return n
}

// Reading the clock takes longer than a quick item. So items that take less than
// quickItem are timed together, maxStride at most.
const (
	quickItem = time.Microsecond
	maxStride = 32
)

// do does the tasks, which are a group, and puts their outputs into a. Each is said
// to have taken their mean.
func (d *doer) do(ctx context.Context, tasks []*task, a *answers) {
	if d.one != nil {
		for _, t := range tasks {
			d.doOne(ctx, t, a)
		}
	} else {
		d.doMany(ctx, tasks, a)
	}
	end := now()
	took := (end - d.mark) / time.Duration(len(tasks))
	d.mark = end
	for _, t := range tasks {
		t.attempts++
		t.took = took
	}
	d.stride = 1
	if took < quickItem {
		d.stride = maxStride
	}
}

// start begins to time: what was done since the last group was not an item's.
func (d *doer) start() { d.mark = now() }

func (d *doer) doOne(ctx context.Context, t *task, a *answers) {
	attempt := ctx
	if d.timeout > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	out, err := d.call(attempt, t.in)
	t.out, t.err = nil, err
	switch {
	case err != nil:
		t.err = asTimeout(err, attempt, ctx, d.timeout)
	case len(out) >= ownOutput:
		t.out, d.scratch = out, nil
	default:
		t.out = a.keep(out)
		d.scratch = out[:0]
	}
}

// call calls the Func, whose panic is an error.
func (d *doer) call(ctx context.Context, in []byte) (out []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, panicError(v)
			d.scratch = nil // it may still be written to
		}
	}()
	return d.one(ctx, in, d.scratch[:0])
}

// doMany does the tasks at once. If one of them panics or takes too long, it
// cannot be known which: then each is done alone.
func (d *doer) doMany(ctx context.Context, tasks []*task, a *answers) {
	n := len(tasks)
	for i, t := range tasks {
		d.ins[i], d.outs[i], d.errs[i] = t.in, d.outs[i][:0], nil
	}
	attempt := ctx
	if d.timeout > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	err := d.callMany(attempt, n)
	for i, t := range tasks {
		t.out = nil
		if t.err = err; err == nil {
			t.err = asTimeout(d.errs[i], attempt, ctx, d.timeout)
		}
		if n > 1 && (err != nil || isTimeout(t.err)) {
			d.doMany(ctx, tasks[i:i+1], a)
			continue
		}
		if t.err == nil {
			t.out = a.keep(d.outs[i])
		}
	}
	clear(d.ins[:n])
}

func isTimeout(err error) bool {
	var e *ItemError
	return errors.As(err, &e) && e.Code == CodeTimeout
}

// callMany calls the BatchFunc with the first n of everything. Its panic is an
// error.
func (d *doer) callMany(ctx context.Context, n int) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v)
			clear(d.outs) // they may still be written to
		}
	}()
	d.many(ctx, d.ins[:n], d.outs[:n], d.errs[:n])
	return nil
}
