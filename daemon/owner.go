package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weft/daemon/api"
	"weft/daemon/metrics"
	"weft/daemon/store"
	"weft/daemon/watchdog"
)

const (
	sweepEvery  = 250 * time.Millisecond // deadlines are looked at, progress is told
	reportEvery = time.Second            // progress is stored
	maxBatch    = 512                    // changes in one transaction
	sharesEvery = time.Minute            // owners' shares of device time are read anew
)

// The owner holds the table of jobs that have not ended. Its methods run on
// its own goroutine, except for ask and post.
type owner struct {
	cfg    Config
	log    *slog.Logger
	store  *store.Store
	hub    *hub
	board  *board
	meter  *meter
	loader loader
	loop   *watchdog.Loop

	drawn func(device string) drawn // what a device drew so far
	inbox *inbox
	done  chan struct{}      // closed when run has returned
	ctx   context.Context    // of everything the owner starts; it outlives a drain
	loads sync.WaitGroup     // data being loaded; a drain or abort ends it
	abort context.CancelFunc // ends ctx and with it run, at once

	// The table.
	jobs    map[int64]*job
	seats   []*seat
	waited  map[int64]int       // how many jobs in the table wait for this one
	ended   map[int64]api.State // of those waited for that have ended
	seconds map[string]float64  // recent device time by owner

	// What the next commit records.
	batch   []pending
	touched map[int64]bool // jobs in batch
	reports []store.Report
	uses    []store.DeviceUse
	kept    []pending // told by devices, and refused by a failing disk
	failing error     // why the last commit failed; nil: it did not

	planning
	lastReport time.Time
	lastShares time.Time
	wards      int64 // of suspects, given out
	draining   bool
	drained    bool
}

// restoredWard is the ward of all that were suspects when the last daemon
// ended: which of them had been together it does not know.
const restoredWard = -1

// A pending change is recorded by the next commit.
type pending struct {
	change store.Change
	told   bool                      // by a device, which will not say it again
	done   func(store.Record, error) // after it is recorded and announced; may be nil
}

func newOwner(cfg Config, st *store.Store, h *hub, m *meter, hw hardware) *owner {
	ctx, abort := context.WithCancel(context.Background())
	o := &owner{
		cfg: cfg, log: cfg.Log, store: st, hub: h, board: newBoard(), meter: m, loader: hw.loader,
		loop:  watchdog.New(watchdog.Config{}).Loop("owner"),
		drawn: func(string) drawn { return drawn{} },
		inbox: newInbox(), done: make(chan struct{}), ctx: ctx, abort: abort,
		jobs: map[int64]*job{}, waited: map[int64]int{}, ended: map[int64]api.State{},
		touched: map[int64]bool{},
	}
	for _, d := range hw.devices {
		o.seats = append(o.seats, &seat{dev: d, info: d.Info(), residents: map[int64]*residency{}})
	}
	return o
}

// restore fills the table from the store; it is called before run.
func (o *owner) restore(ctx context.Context) error {
	now := time.Now()
	recovered, events, err := o.store.Recover(ctx, now)
	if err != nil {
		return fmt.Errorf("recover jobs: %w", err)
	}
	o.hub.publish(events)
	if len(recovered) > 0 {
		o.log.Info("jobs go on from their last checkpoints", "jobs", len(recovered))
	}
	if o.seconds, err = o.store.OwnerShares(ctx, now); err != nil {
		return fmt.Errorf("read owners' shares: %w", err)
	}
	active, err := o.store.Active(ctx)
	if err != nil {
		return fmt.Errorf("read jobs: %w", err)
	}
	for _, rec := range active {
		o.note(rec)
	}
	return o.lookUpEnded(ctx)
}

// lookUpEnded learns the states of jobs that are waited for and have ended.
func (o *owner) lookUpEnded(ctx context.Context) error {
	var missing []int64
	for id := range o.waited {
		if o.jobs[id] == nil && o.ended[id] == "" {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	states, err := o.store.States(ctx, missing)
	if err != nil {
		return fmt.Errorf("read states of jobs waited for: %w", err)
	}
	for id, s := range states {
		o.ended[id] = s
	}
	return nil
}

// run is the owner's life: it ends when a drain is complete or ctx ends.
func (o *owner) run() {
	defer close(o.done)
	defer o.inbox.close()
	defer o.loop.Done()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	o.planTimer = time.NewTimer(time.Hour)
	defer o.planTimer.Stop()
	o.dirty = true
	for !o.drained {
		o.settle()
		o.planIfDue(time.Now())
		o.loop.Tick()
		select {
		case <-o.inbox.signal:
			for _, f := range o.inbox.take() {
				f()
				if len(o.batch) >= maxBatch {
					o.settle()
				}
			}
		case <-sweep.C:
			o.sweep(time.Now())
		case <-o.planTimer.C:
			o.dirty = true
		case <-o.ctx.Done():
			return
		}
	}
	o.accounts(time.Now(), true)
	o.settle()
}

// pump brings a device's events to the owner until the device is closed.
func (o *owner) pump(s *seat, loop *watchdog.Loop) {
	defer loop.Done()
	for {
		loop.Idle()
		e, ok := <-s.dev.Events()
		loop.Tick()
		if !ok {
			o.inbox.post(func() { o.seatGone(s) })
			return
		}
		o.inbox.post(func() { o.onEvent(s, e) })
	}
}

// reply answers an ask; calls after the first are ignored.
type reply func(store.Record, error)

// ask runs f on the owner and waits for its answer.
func (o *owner) ask(ctx context.Context, f func(reply)) (store.Record, error) {
	type answer struct {
		rec store.Record
		err error
	}
	answers := make(chan answer, 1)
	posted := o.inbox.post(func() {
		f(func(rec store.Record, err error) {
			select {
			case answers <- answer{rec, err}:
			default:
			}
		})
	})
	if !posted {
		return store.Record{}, errStopped()
	}
	select {
	case a := <-answers:
		return a.rec, a.err
	case <-o.done:
		select {
		case a := <-answers:
			return a.rec, a.err
		default:
			return store.Record{}, errStopped()
		}
	case <-ctx.Done():
		return store.Record{}, ctx.Err()
	}
}

func errStopped() error {
	return &api.Error{Code: api.CodeUnavailable,
		Message: "the daemon is stopping",
		Hint:    "start it again: weft serve; what was acknowledged is kept"}
}

// do queues a change for the next commit. A second change of one job waits
// for the first, so that it is decided on what the first led to.
func (o *owner) do(p pending) {
	if o.touched[p.change.ID] {
		o.settle()
	}
	if p.change.At.IsZero() {
		p.change.At = time.Now()
	}
	o.touched[p.change.ID] = true
	o.batch = append(o.batch, p)
}

// settle records everything queued, and what follows from it.
func (o *owner) settle() {
	o.flushReports()
	for len(o.batch) > 0 {
		batch := o.batch
		if len(o.kept) > 0 {
			batch = append(o.kept, batch...)
			o.kept = nil
		}
		o.batch = nil
		clear(o.touched)
		o.commit(batch)
	}
}

func (o *owner) commit(batch []pending) {
	changes := make([]store.Change, len(batch))
	for i := range batch {
		changes[i] = batch[i].change
	}
	recs, events, errs, err := o.store.Apply(o.ctx, changes)
	if err != nil {
		o.storeFailed(batch, err)
		return
	}
	o.storeWorks()
	for i := range batch {
		if errs[i] == nil {
			o.seconds[recs[i].Owner] += changes[i].DeviceSeconds
			o.note(recs[i])
		} else if batch[i].told {
			o.log.Error("a device's word on a job was refused", "job", changes[i].ID, "error", errs[i])
		}
	}
	o.hub.publish(events)
	o.dirty = true
	for i := range batch {
		if batch[i].done != nil {
			batch[i].done(recs[i], errs[i])
		}
	}
}

// storeFailed keeps what devices told for the next try and refuses the rest.
func (o *owner) storeFailed(batch []pending, err error) {
	if o.failing == nil {
		o.log.Error("the store takes no changes; nothing starts until it does", "error", err)
	}
	o.failing = err
	o.board.update(func(b *board) { b.storeErr = err })
	refusal := errStore(err)
	for _, p := range batch {
		switch {
		case p.told:
			o.kept = append(o.kept, p)
		case p.done != nil:
			p.done(store.Record{}, refusal)
		}
	}
}

func (o *owner) storeWorks() {
	if o.failing == nil {
		return
	}
	o.failing = nil
	o.board.update(func(b *board) { b.storeErr = nil })
	o.log.Info("the store takes changes again")
}

func errStore(err error) error {
	return &api.Error{Code: api.CodeDisk,
		Message: fmt.Sprintf("the daemon cannot write its state: %v", err),
		Hint:    "free space on the state directory's file system, then try again"}
}

// note makes the table agree with a record.
func (o *owner) note(rec store.Record) {
	rec.Spec = nil
	j := o.jobs[rec.ID]
	if j == nil && rec.State.Final() {
		return
	}
	if j == nil {
		j = &job{suspect: rec.Faults > 0, ward: restoredWard}
		if rec.Attempt <= 1 {
			j.ran = time.Duration(rec.Usage.WallSeconds * float64(time.Second))
		}
		o.jobs[rec.ID] = j
		for _, id := range rec.After {
			o.waited[id]++
		}
	} else {
		o.count(&j.rec, -1)
	}
	was := j.rec
	j.rec = rec
	if rec.State.Final() {
		o.forget(j)
	} else {
		o.count(&rec, +1)
	}
	o.logLife(was.State, rec)
}

func (o *owner) count(rec *store.Record, n int) {
	o.board.update(func(b *board) { b.counts[metrics.Class{Kind: rec.Kind, State: rec.State}] += n })
}

// forget takes a job that has ended out of the table.
func (o *owner) forget(j *job) {
	rec := &j.rec
	delete(o.jobs, rec.ID)
	if o.waited[rec.ID] > 0 {
		o.ended[rec.ID] = rec.State
	}
	for _, id := range rec.After {
		if o.waited[id]--; o.waited[id] <= 0 {
			delete(o.waited, id)
			delete(o.ended, id)
		}
	}
	o.meter.JobEnded(rec.Kind, rec.State, rec.Usage.WallSeconds)
}

func (o *owner) logLife(was api.State, rec store.Record) {
	if was == rec.State || was == "" {
		return
	}
	args := []any{"job", rec.ID, "name", rec.Name}
	if rec.Device != "" {
		args = append(args, "device", rec.Device)
	}
	if rec.Error != nil {
		args = append(args, "code", rec.Error.Code, "error", rec.Error.Message)
	}
	o.log.Info("job "+string(rec.State), args...)
}
