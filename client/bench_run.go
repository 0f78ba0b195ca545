package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/bench/load"
	"weft/daemon/api"
)

// sharing is one run of weft bench share.
type sharing struct {
	p       *program
	o       shareOptions
	load    *shareLoad
	dir     string // of all its daemons
	device  string // as serve's --device takes it, once it is known
	rows    []int  // training rows of each model
	result  *shareResult
	runs    []shareRun
	tensors []load.Tensors // of each model, once the baseline has run

	python    string // runs the peers
	peersDir  string // has their scripts and data
	peerSteps int64  // of all models, which each peer is to do
	say       *shareProgress
}

const shareKeep = "weft bench share --keep"

// benchShare measures one load, or with --sweep-models one after the other for
// every count, and tells all.
func (p *program) benchShare(ctx context.Context, o shareOptions) error {
	for _, name := range []string{o.save, o.report} {
		if name == "" {
			continue
		}
		if err := mayCreate(name, o.force); err != nil {
			return err
		}
	}
	counts := o.sweep
	if len(counts) == 0 {
		counts = []int{o.models}
	}
	var results []*shareResult
	for _, n := range counts {
		one := o
		one.models = n
		if len(o.sweep) > 0 {
			fmt.Fprintf(p.stderr, "%s\n", counted(n, "model"))
		}
		r, err := p.shareOnce(ctx, one)
		if err != nil {
			return err
		}
		if !o.noHistory {
			if _, err := remember(r); err != nil { // the result itself is whole
				fmt.Fprintf(p.stderr, "weft: the result is not kept: %v\n", err)
			}
		}
		results = append(results, r)
	}
	return p.tellAllShared(results, o)
}

// shareOnce measures one set of models.
func (p *program) shareOnce(ctx context.Context, o shareOptions) (r *shareResult, err error) {
	models, err := p.compose(o)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return nil, fmt.Errorf("make benchmark directory: %w", err)
	}
	defer func() {
		if o.keep {
			fmt.Fprintf(p.stderr, "kept %s\n", dir)
		} else if e := os.RemoveAll(dir); e != nil && err == nil {
			err = fmt.Errorf("remove benchmark directory: %w", e)
		}
	}()
	s := &sharing{p: p, o: o, load: models, dir: dir, say: newShareProgress(p, o, len(models.drafts))}
	err = s.run(ctx)
	s.say.end()
	if ctx.Err() != nil {
		return nil, &exitError{code: exitInterrupted, cause: ctx.Err(),
			message: fmt.Sprintf("interrupted after %d of %d runs; nothing is left behind", s.say.ran, s.say.runs),
			hint:    "--quick, --repeat 1 or fewer --arms for a shorter run"}
	}
	return s.result, err
}

// run measures and sums up.
func (s *sharing) run(ctx context.Context) error {
	s.result = &shareResult{Benchmark: "share", Format: shareFormat, Date: s.p.app.Now().UTC(), Rounds: s.o.repeat,
		OrderSeed: s.o.seed, Baseline: s.o.baseline, Machine: thisMachine(),
		Load: shareAbout{s.load.name, s.load.about, len(s.load.drafts), s.o.quick}}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.preparePeers(ctx); err != nil {
		return err
	}
	contestants := slices.Concat(s.o.arms, s.running())
	s.say.runs = s.o.repeat * len(contestants)
	for _, name := range contestants {
		s.say.width = max(s.say.width, len(name))
	}
	for round := range s.o.repeat {
		for place, arm := range armOrder(contestants, round, s.o.seed) {
			isArm := slices.Contains(s.o.arms, arm)
			if !isArm && !slices.Contains(s.running(), arm) {
				continue // a peer that has failed keeps its place in the order
			}
			s.say.begin(round, arm)
			if !isArm {
				if err := s.measurePeer(ctx, round, place, arm); err != nil {
					return err
				}
				continue
			}
			run, err := s.measure(ctx, round, place, arm)
			if err != nil {
				return err
			}
			s.runs = append(s.runs, *run)
			s.say.done(run)
		}
	}
	r := s.result
	for _, run := range s.runs {
		if run.Arm == r.Baseline && run.Round == 1 {
			r.Floor.count(r.Jobs, run.models, s.tensors)
		}
	}
	r.sumUp(s.o.arms, s.runs)
	r.sumUpPeers()
	return nil
}

// prepare checks the models with the daemon, finds the device, and measures
// what the floor needs. The daemon for it is not one of the measured ones.
func (s *sharing) prepare(ctx context.Context) error {
	return s.withDaemon(ctx, "first", s.o.device, armAuto, func(ctx context.Context, d *ownDaemon) error {
		subs := s.load.submissions()
		plans, err := d.client.DryRun(ctx, subs)
		if err != nil {
			if s.load.drafts[0].doc == nil {
				return err
			}
			return locate(err, s.load.drafts)
		}
		for i := range plans {
			s.rows = append(s.rows, plans[i].Rows)
			s.result.Jobs = append(s.result.Jobs, shareJob{Name: subs[i].Name, Parameters: plans[i].Parameters,
				Spec: subs[i].Spec})
		}
		s.tensors = make([]load.Tensors, len(subs))
		if err := s.findDevice(ctx, d.client); err != nil {
			return err
		}
		rate, whyNot := 0.0, "--quick leaves its measurement out"
		if s.result.Device.Kind == "cpu" && !s.o.quick {
			s.say.calibrating()
			if rate, err = calibrate(ctx, d.client, s.result.Device.Lanes); err != nil {
				return err
			}
		}
		s.result.Floor.rates(s.result.Device, rate, whyNot)
		return nil
	})
}

// findDevice chooses the one device that is measured, a GPU where there is
// one, and describes it and the daemon.
func (s *sharing) findDevice(ctx context.Context, c *api.Client) error {
	devices, err := c.Devices(ctx)
	if err != nil {
		return err
	}
	if len(devices) == 0 {
		return errors.New("find device: the daemon has none")
	}
	found := devices[0]
	for _, d := range devices {
		if d.Kind == "gpu" {
			found = d
			break
		}
	}
	s.result.Device = shareDevice{found.ID, found.Kind, found.Name, found.Lanes}
	s.device = found.ID // "cpu"
	if n, ok := strings.CutPrefix(found.ID, "gpu"); ok {
		s.device = "gpu:" + n
		s.result.Machine.GPU = &gpuFound{Name: found.Name, MemoryBytes: found.MemoryBytes, Driver: driver(ctx, c)}
	}
	v, err := c.Version(ctx)
	if err != nil {
		return err
	}
	s.result.Weft = shareVersion{v.Version, firstOf(v.Commit, commitIn(v.Version)), v.Go}
	return nil
}

// described is what git describe makes of a commit: 0123abc, or v1.2-3-g0123abc,
// and -dirty where files differed from it.
var described = regexp.MustCompile(`^(?:.+-[0-9]+-g)?([0-9a-f]{7,40})(-dirty)?$`)

// commitIn finds the commit in a version that make took from git; "" if it is
// another. A binary need not have more: go build may be told to record none.
func commitIn(version string) string {
	m := described.FindStringSubmatch(version)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

// driver is what the daemon's doctor says of it; "" if it says nothing.
func driver(ctx context.Context, c *api.Client) string {
	d, err := c.Doctor(ctx)
	if err != nil {
		return "" // the description of the machine lacks it then
	}
	for _, check := range d.Checks {
		if strings.Contains(strings.ToLower(check.Name), "driver") {
			return check.Found
		}
	}
	return ""
}

// withDaemon runs do beside a daemon of its own, which is stopped and whose
// files are gone afterwards.
func (s *sharing) withDaemon(ctx context.Context, name, device, arm string, do func(context.Context, *ownDaemon) error) error {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make daemon's directory: %w", err)
	}
	d, err := s.p.startDaemon(ctx, dir, shareKeep, "--sharing", arm, "--device", device,
		"--sample-every", benchSample.String())
	if err != nil {
		return err
	}
	err = d.while(ctx, do)
	d.stop()
	if !s.o.keep {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// while runs do, and ends it when the daemon ends.
func (d *ownDaemon) while(ctx context.Context, do func(context.Context, *ownDaemon) error) error {
	within, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { // ends with within, which while cancels
		defer close(watched)
		select {
		case <-d.ended:
			cancel()
		case <-within.Done():
		}
	}()
	err := do(within, d)
	gone := within.Err() != nil && ctx.Err() == nil
	cancel()
	<-watched
	if err != nil && gone {
		err = &api.Error{Code: api.CodeUnreachable, Message: "the daemon ended in the middle of a run"}
	}
	return d.explain(err)
}

// measure runs one arm once.
func (s *sharing) measure(ctx context.Context, round, place int, arm string) (*shareRun, error) {
	run := &shareRun{Round: round + 1, Place: place + 1, Arm: arm}
	began := s.p.app.Now()
	err := s.withDaemon(ctx, fmt.Sprintf("%d-%s", run.Round, arm), s.device, arm, func(ctx context.Context, d *ownDaemon) error {
		if err := warm(ctx, d.client, s.load.warmUp()); err != nil {
			return err
		}
		run.ReadySeconds = s.p.app.Now().Sub(began).Seconds()
		start, ids, err := s.enqueue(ctx, d.client)
		if err != nil {
			return err
		}
		if err := s.clock(ctx, d.client, start, ids, run); err != nil {
			return err
		}
		if err := s.collect(ctx, d.client, ids, run); err != nil {
			return err
		}
		run.deviceUse = s.sensorsOf(ctx, d.client, window{run.ReleasedAt, run.ReleasedAt.Add(seconds(run.Wall))})
		return ctx.Err()
	})
	return run, err
}

// warm trains jobs that nobody times.
func warm(ctx context.Context, c *api.Client, subs []api.Submission) error {
	jobs, err := c.Submit(ctx, subs, "")
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	ended, err := track(ctx, c, idsOf(jobs), silent{})
	if err != nil {
		return err
	}
	return outcome(ended)
}

// enqueue submits the models behind one short job, which is held: when that
// has been released and has ended, all of them may start in the same instant.
func (s *sharing) enqueue(ctx context.Context, c *api.Client) (start int64, ids []int64, err error) {
	subs := s.load.submissions()
	gate := short(subs[0], "start", 1)
	gate.Hold = true
	held, err := c.Submit(ctx, []api.Submission{gate}, "")
	if err != nil {
		return 0, nil, fmt.Errorf("submit the first job: %w", err)
	}
	for i := range subs {
		subs[i].After = []int64{held[0].ID}
	}
	jobs, err := c.Submit(ctx, subs, "")
	if err != nil {
		return 0, nil, fmt.Errorf("submit models: %w", err)
	}
	return held[0].ID, idsOf(jobs), nil
}

// clock releases the models and waits until all have ended. Its own time goes
// from hearing of the first job's end to hearing of the last model's.
func (s *sharing) clock(ctx context.Context, c *api.Client, start int64, ids []int64, run *shareRun) error {
	history, err := c.History(ctx, start)
	if err != nil {
		return err
	}
	last := int64(0)
	for _, e := range history {
		last = max(last, e.ID)
	}
	if _, err := c.Do(ctx, start, api.ActionRelease); err != nil {
		return fmt.Errorf("release models: %w", err)
	}
	open := make(map[int64]bool, len(ids))
	for _, id := range ids {
		open[id] = true
	}
	var released time.Time
	for m, err := range c.Events(ctx, api.EventFilter{}, last) {
		switch {
		case err != nil:
			return err
		case m.Event == nil || !m.Event.State.Final():
			continue
		case m.Event.Job == start:
			if m.Event.State != api.Succeeded {
				return fmt.Errorf("release models: the first job %s: %s", m.Event.State, m.Event.Message)
			}
			released = s.p.app.Now()
			s.say.released()
		case open[m.Event.Job]:
			delete(open, m.Event.Job)
			s.say.ended(len(ids) - len(open))
		}
		if len(open) == 0 {
			run.Client = s.p.app.Now().Sub(released).Seconds()
			return s.times(ctx, c, start, ids, run)
		}
	}
	return errors.New("wait for models: the event stream ended")
}

// times takes the daemon's word on when things were.
func (s *sharing) times(ctx context.Context, c *api.Client, start int64, ids []int64, run *shareRun) error {
	jobs, err := c.Jobs(ctx, api.Filter{IDs: append([]int64{start}, ids...)})
	if err != nil {
		return err
	}
	byID := make(map[int64]*api.Job, len(jobs))
	for i := range jobs {
		byID[jobs[i].ID] = &jobs[i]
	}
	models := make([]*api.Job, len(ids))
	for i, id := range ids {
		if models[i] = byID[id]; models[i] == nil {
			return fmt.Errorf("collect results: job %d is gone", id)
		}
	}
	if err := outcome(models); err != nil {
		return err
	}
	gate := byID[start]
	if gate == nil || gate.FinishedAt == nil {
		return fmt.Errorf("collect results: job %d has no end", start)
	}
	return s.add(run, *gate.FinishedAt, models)
}

// leastWall is the resolution of the daemon's timestamps.
const leastWall = time.Microsecond

// add sums the models of a run up.
func (s *sharing) add(run *shareRun, released time.Time, models []*api.Job) error {
	run.ReleasedAt = released
	var wall time.Duration
	first := time.Duration(-1)
	took := make([]float64, len(models))
	for i, j := range models {
		if j.StartedAt == nil || j.FinishedAt == nil {
			return fmt.Errorf("collect results: job %d has no start or no end", j.ID)
		}
		wall = max(wall, j.FinishedAt.Sub(released))
		if begin := j.StartedAt.Sub(released); first < 0 || begin < first {
			first = max(begin, 0)
		}
		took[i] = j.FinishedAt.Sub(*j.StartedAt).Seconds()
		batch, dropLast := batchOf(s.load.drafts[i].Spec)
		m := modelRun{steps: j.Progress.Step, samples: samplesOf(j.Progress.Step, s.rows[i], batch, dropLast)}
		m.metric, m.value = headline(j.Metrics)
		if v, ok := j.Metrics["val_loss"]; ok {
			m.valLoss = &v
		}
		run.models = append(run.models, m)
		run.Steps += m.steps
		run.Samples += m.samples
		run.DeviceSeconds += j.Usage.DeviceSeconds
	}
	run.Wall, run.FirstStart = max(wall, leastWall).Seconds(), first.Seconds()
	run.JobSeconds = spreadOf(took)
	return nil
}

// headline is a job's most telling metric.
func headline(m map[string]float64) (string, float64) {
	for _, name := range headlines {
		if v, ok := m[name]; ok {
			return name, v
		}
	}
	return "", 0
}
