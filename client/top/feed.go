package top

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// news is what happened in one refresh, in one message, so that the screen is
// made once for all of it.
type news struct {
	at      time.Time
	devices []api.Device  // nil: nothing new
	whole   bool          // jobs are all that there are, of those asked for
	ended   bool          // and those that have ended are among them
	jobs    []api.Job     // as they are now
	missing []int64       // jobs that are no more
	past    []api.History // of devices seen for the first time
}

// lost tells that the daemon does not answer any more; found that it does again.
type (
	lost struct {
		since time.Time
		err   error
	}
	found struct{}
)

// The paces of a feed beside its refresh.
const (
	answerWithin = 5 * time.Second  // or the daemon is taken for gone
	firstResync  = 2 * time.Second  // what happened between the first list and the stream
	resyncEvery  = 30 * time.Second // at least: reasons change without an event
	resyncShare  = 100              // a resync takes this part of the time at most
	pastSpan     = 10 * time.Minute // of the graphs
	pastPoints   = 600
)

// paced is how a daemon that is gone is tried again.
var paced = api.Backoff{First: 100 * time.Millisecond, Most: 2 * time.Second}

// A feed asks the daemon. Its goroutines end with the context of run.
type feed struct {
	client *api.Client
	every  time.Duration
	now    func() time.Time
	send   func(tea.Msg)
	soon   chan struct{}   // news that should not wait for the next refresh
	seen   map[string]bool // devices whose past was asked for; watchDevices' own

	mu      sync.Mutex // guards what follows
	next    news
	pending map[int64]api.Job  // of next
	changed map[int64]struct{} // jobs to be asked for
	whole   bool               // all are to be asked for
	ended   bool               // also those that have ended
	listed  time.Time          // when all were, the last time
	resync  time.Duration      // when to list them again after that
}

func newFeed(c *api.Client, every time.Duration, now func() time.Time) *feed {
	return &feed{client: c, every: every, now: now, soon: make(chan struct{}, 1), seen: map[string]bool{}, whole: true,
		pending: map[int64]api.Job{}, changed: map[int64]struct{}{}, resync: firstResync}
}

// run feeds the screen until ctx ends. A daemon that does not answer the first
// question is an error; one that goes away later is waited for.
func (f *feed) run(ctx context.Context, send func(tea.Msg)) error {
	f.send = send
	if err := f.look(ctx); err != nil {
		return err
	}
	var g sync.WaitGroup
	for _, loop := range []func(context.Context){f.watchDevices, f.listen, f.list, f.tell} {
		g.Go(func() { loop(ctx) })
	}
	g.Wait()
	return ctx.Err()
}

// wantEnded says whether jobs that have ended are wanted too.
func (f *feed) wantEnded(ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ended && !f.ended {
		f.whole = true
	}
	f.ended = ended
}

// ask has jobs asked for one by one.
func (f *feed) ask(ids []int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.changed[id] = struct{}{}
	}
}

// pause waits; false: the context has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// tell sends the news, once a refresh and when some are wanted soon.
func (f *feed) tell(ctx context.Context) {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		f.send(f.gather())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.soon:
		}
	}
}

// gather takes the news there are.
func (f *feed) gather() news {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.next
	n.at = f.now()
	n.jobs = slices.AppendSeq(n.jobs, maps.Values(f.pending))
	f.next = news{}
	clear(f.pending)
	return n
}

func (f *feed) hurry() {
	select {
	case f.soon <- struct{}{}:
	default: // one is under way
	}
}

// watchDevices looks at the devices once a refresh; that they cannot be is how
// a daemon is known to be gone.
func (f *feed) watchDevices(ctx context.Context) {
	answered, failures := f.now(), 0
	for {
		err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			f.send(lost{since: answered, err: err})
			if paced.Wait(ctx, failures) != nil {
				return
			}
			continue
		case failures > 0:
			failures = 0
			clear(f.seen) // the graphs' gap is known to nobody else, but may be to the daemon
			f.again()
			f.send(found{})
		}
		answered = f.now()
		if !pause(ctx, f.every) {
			return
		}
	}
}

// look asks for the devices, and for the past of those not seen before.
func (f *feed) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	devices, err := f.client.Devices(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(devices, byKind)
	var past []api.History
	for i := range devices {
		id := devices[i].ID
		if f.seen[id] {
			continue
		}
		f.seen[id] = true
		step := max(f.every, pastSpan/pastPoints)
		h, err := f.client.DeviceHistory(ctx, id, api.HistoryFilter{Since: f.now().Add(-pastPoints * step), Step: step})
		if err == nil { // without a past the graph begins now
			past = append(past, *h)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next.devices = devices
	f.next.past = append(f.next.past, past...)
	return nil
}

// byKind orders GPUs first.
func byKind(a, b api.Device) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) }

// rank orders devices: GPUs, the CPU, and what CPU jobs run on.
func rank(kind string) int {
	switch kind {
	case "cpu":
		return 1
	case kindPools:
		return 2
	}
	return 0
}

// again has all jobs listed anew.
func (f *feed) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.whole = true
}

// shown are the events after which a job looks different. Its epochs it tells as
// progress, four times a second; of what they came to, series.go asks.
var shown = api.EventTypesBut(api.EventEpoch, api.EventCheckpoint)

// listen reads the one stream of events.
func (f *feed) listen(ctx context.Context) {
	for failures := 1; ; failures++ {
		for m, err := range f.client.Events(ctx, api.EventFilter{Types: shown}, -1) {
			if err != nil {
				break
			}
			failures = 0
			f.take(m)
		}
		f.again()
		if paced.Wait(ctx, max(failures, 1)) != nil {
			return
		}
	}
}

// take notes one message of the stream.
func (f *feed) take(m api.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case m.Reconnected:
		f.whole = true
	case m.Progress != nil:
		f.pending[m.Progress.ID] = *m.Progress
	case m.Event != nil:
		f.changed[m.Event.Job] = struct{}{}
	}
}

// list asks for the jobs that changed, and now and then for all.
func (f *feed) list(ctx context.Context) {
	for {
		_ = f.listOnce(ctx) // it is tried again; that the daemon is gone is seen by its devices
		if !pause(ctx, f.every) {
			return
		}
	}
}

// mostChanged is how many jobs are asked for one by one; more are listed all.
const mostChanged = 500

func (f *feed) listOnce(ctx context.Context) error {
	f.mu.Lock()
	begun := f.now()
	due := f.whole || len(f.changed) > mostChanged || begun.Sub(f.listed) > f.resync
	ids := slices.Collect(maps.Keys(f.changed))
	ended, first := f.ended, f.listed.IsZero()
	f.whole = false
	clear(f.changed)
	f.mu.Unlock()
	if !due && len(ids) == 0 {
		return nil
	}
	filter := api.Filter{IDs: ids}
	if due {
		filter = api.Filter{}
		if !ended {
			filter.States = activeStates
		}
	}
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	jobs, err := f.client.Jobs(within, filter)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil:
		f.whole = true // what was to be asked for is asked for with the rest
		return err
	case due:
		f.next.whole, f.next.ended, f.next.jobs, f.next.missing = true, ended, jobs, nil
		f.listed = f.now()
		f.resync = max(resyncEvery, resyncShare*f.listed.Sub(begun))
		if first {
			f.resync = firstResync
			f.hurry()
		}
	default:
		f.answered(ids, jobs)
	}
	return nil
}

// answered notes jobs asked for one by one; it needs the lock.
func (f *feed) answered(ids []int64, jobs []api.Job) {
	for i := range jobs {
		f.pending[jobs[i].ID] = jobs[i]
	}
	for _, id := range ids {
		if !slices.ContainsFunc(jobs, func(j api.Job) bool { return j.ID == id }) {
			f.next.missing = append(f.next.missing, id)
			delete(f.pending, id)
		}
	}
}

var activeStates = []api.State{api.Queued, api.Running, api.Paused}
