package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	poolbench "weft/bench/pools"
	"weft/cpuwork"
)

// pooling is one run of weft bench pools.
type pooling struct {
	p      *program
	o      poolsOptions
	dir    string
	self   string
	python string // "": there is none, for the reason
	noPy   string
	result *poolsResult
	say    *shareProgress
}

// benchPools measures and tells.
func (p *program) benchPools(ctx context.Context, o poolsOptions) error {
	for _, name := range []string{o.save, o.report} {
		if name == "" {
			continue
		}
		if err := mayCreate(name, o.force); err != nil {
			return err
		}
	}
	r, err := p.poolsOnce(ctx, o)
	if err != nil {
		return err
	}
	if !o.noHistory {
		if _, err := rememberPools(r); err != nil { // the result itself is whole
			fmt.Fprintf(p.stderr, "weft: the result is not kept: %v\n", err)
		}
	}
	return p.tellPooled(r, o)
}

func (p *program) poolsOnce(ctx context.Context, o poolsOptions) (r *poolsResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return nil, fmt.Errorf("make benchmark directory: %w", err)
	}
	defer func() {
		if e := os.RemoveAll(dir); e != nil && err == nil {
			err = fmt.Errorf("remove benchmark directory: %w", e)
		}
	}()
	s := &pooling{p: p, o: o, dir: dir, self: self,
		say: &shareProgress{p: p, live: isTerminal(p.stderr), rounds: o.repeat, began: p.app.Now()}}
	err = s.run(ctx)
	s.say.end()
	if ctx.Err() != nil {
		return nil, &exitError{code: exitInterrupted, cause: ctx.Err(),
			message: fmt.Sprintf("interrupted after %s; nothing is left behind", counted(s.say.ran, "run")),
			hint:    "--quick, --repeat 1 or fewer workloads for a shorter run"}
	}
	return s.result, err
}

// run measures case after case.
func (s *pooling) run(ctx context.Context) error {
	s.result = &poolsResult{Benchmark: "pools", Format: poolsFormat, Date: s.p.app.Now().UTC(), Rounds: s.o.repeat,
		OrderSeed: s.o.seed, Quick: s.o.quick, Machine: thisMachine(),
		Weft: shareVersion{s.p.ownVersion(), firstOf(s.p.app.Commit, commitIn(s.p.ownVersion())), runtime.Version()}}
	if path, err := python(); err == nil {
		s.python = path
	} else {
		s.noPy = err.Error()
	}
	for _, c := range s.o.cases {
		s.say.runs += s.o.repeat * (len(s.arms(c)) + len(poolbench.PeersOf(c, s.o.peers)))
		s.say.width = max(s.say.width, len(c.Name)+len(" python-shared-memory"))
	}
	for _, c := range s.o.cases {
		if err := s.measureCase(ctx, c); err != nil {
			return fmt.Errorf("measure %s: %w", c.Name, err)
		}
	}
	s.result.sumUp()
	return nil
}

// arms are the case's arms that this machine has all for.
func (s *pooling) arms(c poolbench.Case) []poolbench.Arm {
	return slices.DeleteFunc(c.Arms(s.o.kinds, s.o.workers, s.o.given), func(a poolbench.Arm) bool { return !a.Here() })
}

// measureCase measures one case in all rounds.
func (s *pooling) measureCase(ctx context.Context, c poolbench.Case) (err error) {
	measured := poolsCase{Case: c.Name, Group: c.Group, About: c.About, Items: s.o.itemsOf(c), Size: s.o.sizeOf(c)}
	measured.Ideal = c.Ideal(measured.Items)
	arms := s.arms(c)
	peers := poolbench.PeersOf(c, s.o.peers)
	s.say.preparing("preparing " + c.Name)
	b, err := poolbench.Prepare(ctx, c, poolbench.Setup{Dir: s.dir, Self: s.self, Items: measured.Items, Size: measured.Size,
		Python: s.python, Cores: runtime.NumCPU()})
	if cannot, ok := errors.AsType[*poolbench.CannotError](err); ok {
		measured.Skipped = cannot.Reason
		s.result.Cases = append(s.result.Cases, measured)
		s.say.runs -= s.o.repeat * (len(arms) + len(peers))
		return nil
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	measured.Arms = make([]poolsArm, len(arms))
	for i, a := range arms {
		measured.Arms[i] = poolsArm{Arm: a.Name(), Pool: a.Pool, Workers: a.Workers, Variant: a.Variant}
	}
	measured.Baseline = arms[0].Name()
	if err := s.probe(ctx, b, &measured, peers); err != nil {
		return err
	}
	if err := s.rounds(ctx, b, &measured, arms, peers); err != nil {
		return err
	}
	if err := s.measureMaking(ctx, b, &measured); err != nil {
		return err
	}
	s.result.Cases = append(s.result.Cases, measured)
	return nil
}

// measureMaking measures what making the items costs alone.
func (s *pooling) measureMaking(ctx context.Context, b *poolbench.Bench, c *poolsCase) error {
	var took []float64
	for range s.o.repeat {
		d, err := b.MakingCost(ctx)
		if err != nil {
			return err
		}
		if d == 0 {
			return nil
		}
		took = append(took, d.Seconds())
	}
	making := spreadOf(took)
	c.Making = &making
	return nil
}

// probe asks each peer of a case whether it can run here.
func (s *pooling) probe(ctx context.Context, b *poolbench.Bench, c *poolsCase, peers []poolbench.Peer) error {
	for _, p := range peers {
		s.say.preparing("asking " + p.Name)
		answer, err := s.ask(ctx, b, p)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			answer = &poolbench.Answer{Skip: err.Error()}
		}
		if answer.Skip != "" {
			s.say.runs -= s.o.repeat
		}
		c.Peers = append(c.Peers, poolsPeer{Peer: p.Name, About: p.About, Workers: b.PeerWorkers(p), Runtime: answer.Runtime,
			Skipped: answer.Skip, poolsFigures: poolsFigures{Runs: []poolsRun{}}})
	}
	return nil
}

func (s *pooling) ask(ctx context.Context, b *poolbench.Bench, p poolbench.Peer) (*poolbench.Answer, error) {
	within, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	a, err := b.Probe(within, p)
	if err == nil && a.Skip != "" && s.python == "" && s.noPy != "" && p.NeedsPython() {
		a.Skip = s.noPy
	}
	return a, err
}

// rounds runs every contestant once a round, in an order that rotates.
func (s *pooling) rounds(ctx context.Context, b *poolbench.Bench, c *poolsCase, arms []poolbench.Arm, peers []poolbench.Peer) error {
	var names []string
	for _, a := range arms {
		names = append(names, a.Name())
	}
	for i := range c.Peers {
		if c.Peers[i].Skipped == "" {
			names = append(names, c.Peers[i].Peer)
		}
	}
	for round := range s.o.repeat {
		for place, name := range armOrder(names, round, s.o.seed) {
			run := poolsRun{Round: round + 1, Place: place + 1}
			if i := slices.IndexFunc(arms, func(a poolbench.Arm) bool { return a.Name() == name }); i >= 0 {
				s.say.begin(round, c.Case+" "+name)
				err := s.once(ctx, &run, func() (*poolbench.Answer, error) { return b.Arm(ctx, arms[i]) })
				if err != nil {
					return err
				}
				c.Arms[i].Runs = append(c.Arms[i].Runs, run)
				continue
			}
			i := slices.IndexFunc(c.Peers, func(p poolsPeer) bool { return p.Peer == name })
			if err := s.measurePoolsPeer(ctx, b, &c.Peers[i], peers[i], run); err != nil {
				return err
			}
		}
	}
	return nil
}

// measurePoolsPeer runs a peer once. One that fails is told, and left out of further
// rounds: it is not what the benchmark is about.
func (s *pooling) measurePoolsPeer(ctx context.Context, b *poolbench.Bench, p *poolsPeer, peer poolbench.Peer, run poolsRun) error {
	if p.Failed != "" {
		return nil
	}
	s.say.begin(run.Round-1, b.Case.Name+" "+p.Peer)
	within, cancel := context.WithTimeout(ctx, s.o.peerTime)
	defer cancel()
	err := s.once(ctx, &run, func() (*poolbench.Answer, error) { return b.Peer(within, peer) })
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		err = fmt.Errorf("it had not ended after %s", s.o.peerTime)
	}
	if err != nil {
		p.Failed = err.Error()
		s.say.peerFailed(err, s.o.repeat-run.Round)
		return nil
	}
	p.Runs = append(p.Runs, run)
	return nil
}

// once measures one run.
func (s *pooling) once(ctx context.Context, run *poolsRun, measure func() (*poolbench.Answer, error)) error {
	began := s.p.app.Now()
	a, err := measure()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	run.Whole = s.p.app.Now().Sub(began).Seconds()
	run.Answer = *a
	s.say.finished(a.Wall)
	return nil
}

// poolKinds are the names of the pools, in their order.
func poolKinds() []string {
	names := make([]string, len(cpuwork.Kinds))
	for i, k := range cpuwork.Kinds {
		names[i] = string(k)
	}
	return names
}
