package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"weft/cpuwork/advise"
	"weft/cpuwork/batch"
	"weft/cpuwork/jobs"
)

// checkTime is how long all runs of a check may take; one that is under way is
// let to its end, unless that takes as long again.
const (
	checkTime   = 45 * time.Second
	checkRounds = 15
)

// A Checked is an alternative that was run: as often as there was time for, all
// alternatives in turns.
type Checked struct {
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"` // of the fastest: what other programs took away is least in it
	Median  float64 `json:"median_seconds"`
	Failed  int64   `json:"failed"` // items, in the last run
	Others  float64 `json:"others"` // share of the processors that others took, on average
}

// check runs the whole of a plan on every alternative, with results below dir.
func check(ctx context.Context, kind string, plan *jobs.Plan, dir string, all []advise.Prediction) ([]Checked, error) {
	asked, err := checkable(ctx, kind, plan)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*checkTime, errTooLong)
	defer cancel()
	began := time.Now()
	times, out := make([][]float64, len(all)), make([]Checked, len(all))
	for round := range checkRounds {
		for i := range all {
			if round > 0 && time.Since(began).Seconds()+all[i].Seconds > checkTime.Seconds() {
				continue
			}
			l := readLoad(asked)
			took, failed, err := runWhole(ctx, kind, plan, filepath.Join(dir, fmt.Sprintf("check-%d-%d", round, i)), &all[i])
			if err != nil {
				return nil, fmt.Errorf("check the %s pool: %w", all[i].Pool, err)
			}
			times[i] = append(times[i], took)
			out[i].Failed, out[i].Others = failed, out[i].Others+l.others()
		}
	}
	for i := range out {
		slices.Sort(times[i])
		c := &out[i]
		c.Runs, c.Seconds, c.Median = len(times[i]), times[i][0], times[i][len(times[i])/2]
		c.Others /= float64(c.Runs)
	}
	return out, nil
}

var errTooLong = &jobs.Fault{Code: "too_large", Message: fmt.Sprintf("running all of it on every pool takes more than %v", 2*checkTime),
	Hint: "--check with less of the input"}

// runWhole runs a job and returns how long it took, from opening it to its end.
func runWhole(ctx context.Context, kind string, plan *jobs.Plan, dir string, p *advise.Prediction) (took float64, failed int64, err error) {
	aside, err := plan.Aside(kind, filepath.Join(dir, "out"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	load, err := aside.Load()
	if err != nil {
		return 0, 0, err
	}
	o := aside.Options()
	o.Kind, o.Workers, o.Dir = p.Pool, p.Workers, filepath.Join(dir, "job")
	if p.Chunk == 1 {
		o.Chunk = 1
	}
	s, err := batch.Run(ctx, load, o)
	took = time.Since(began).Seconds()
	if c, ok := load.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	if s != nil {
		failed = s.Failed
	}
	return took, failed, err
}

// checkable refuses to ask other people's servers for everything several times. It
// returns those on this machine that are asked.
func checkable(ctx context.Context, kind string, plan *jobs.Plan) (_ servers, err error) {
	if kind != "fetch" {
		return nil, nil
	}
	load, err := plan.Load()
	if err != nil {
		return nil, err
	}
	if c, ok := load.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	ports := map[uint16]bool{}
	for item, err := range load.Items(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list items: %w", err)
		}
		u, err := url.Parse(item.Name)
		if err != nil || !local(u) {
			return nil, &jobs.Fault{Code: "invalid", Message: item.Name + " is not on this machine: a check would fetch it several times",
				Hint: "leave --check out"}
		}
		if port, err := portOf(u); err == nil {
			ports[port] = true
		}
	}
	return serving(ports), nil
}

// local reports whether a URL names this machine by its loopback.
func local(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
