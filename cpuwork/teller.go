package cpuwork

// teller gives results to each, and counts them.
type teller struct {
	o    *Options
	s    *Summary
	each func(Result) error
}

// tell gives one result away. It reports whether the run is to end with it.
func (d *teller) tell(t *task) (bool, error) {
	r := Result{Index: t.index, Output: t.out, Err: t.err, Attempts: int(t.attempts), Took: t.took}
	s := d.s
	s.Items++
	s.Attempts += int64(t.attempts)
	s.Busy += t.took
	s.Bytes += int64(len(t.in))
	if t.err == nil {
		s.OK++
		s.Answered += int64(len(t.out))
	} else {
		r.Err = asItemError(t.err)
		s.Failed++
	}
	if err := d.each(r); err != nil {
		return true, err
	}
	if d.o.Stop == StopOnFailure && t.err != nil || d.o.Stop == StopOnSuccess && t.err == nil {
		s.Stopped = true
		return true, nil
	}
	return false, nil
}
