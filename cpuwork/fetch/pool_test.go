package fetch

import (
	"fmt"
	"iter"
	"testing"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/fetch/fetchtest"
)

// The kinds of pools that run in one process share one engine for all their
// workers: the limits hold for the job, and connections are reused.
func TestInPools(t *testing.T) {
	for _, kind := range []cpuwork.Kind{cpuwork.Sequential, cpuwork.Goroutine, cpuwork.Event} {
		t.Run(string(kind), func(t *testing.T) {
			s := start(t, fetchtest.Config{})
			dir := t.TempDir()
			var urls []string
			for i := range 300 {
				urls = append(urls, fmt.Sprintf("%s/ok/%d\tf%d", s.URL, i, i))
			}
			l, err := New(local(func(sp *Spec) {
				into(dir)(sp)
				sp.URLs, sp.HostConcurrency = urls, 8
			}))
			if err != nil {
				t.Fatal(err)
			}
			work, params := l.Work()
			pool, err := cpuwork.New(kind, cpuwork.Options{Work: work, Params: params, Retries: 3})
			if err != nil {
				t.Fatal(err)
			}
			sum, err := pool.Run(t.Context(), items(l.Items(t.Context())), func(r cpuwork.Result) error {
				line, err := l.Answer(batch.Named{Index: r.Index, Name: urls[r.Index]}, r)
				if err == nil && !line.OK {
					t.Errorf("%s: %+v", line.Item, line.Error)
				}
				return err
			})
			if err != nil || sum.OK != 300 {
				t.Errorf("%+v: %v", sum, err)
			}
			if err := l.Finish(t.Context(), &batch.Summary{}); err != nil {
				t.Error(err)
			}
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
			if got := files(t, dir); len(got) != 300 || got["f299"] != 299 {
				t.Errorf("%d files", len(got))
			}
			if n := s.Stats().Conns; n > 40 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// items are those of a load, as a pool takes them.
func items(all iter.Seq2[batch.Item, error]) iter.Seq2[cpuwork.Item, error] {
	return func(yield func(cpuwork.Item, error) bool) {
		for it, err := range all {
			if !yield(it.Item, err) {
				return
			}
		}
	}
}
