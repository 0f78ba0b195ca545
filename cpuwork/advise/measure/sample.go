package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/advise"
	"weft/cpuwork/batch"
	"weft/cpuwork/jobs"
)

// Limits of a sample.
const (
	countTime = time.Second
	mostItems = 16384
	mostAsked = 48   // of other machines
	mostLocal = 6000 // of this one
	passTime  = 700 * time.Millisecond

	// Waiting that is less than this part of the processor time, or less than this
	// in seconds, is others' doing: they had the core.
	ownWaiting   = 0.3
	leastWaiting = 10e-6
)

// A Sample is what was measured.
type Sample struct {
	Counted int64   `json:"counted"` // items in the input
	More    bool    `json:"more"`    // counting was ended after a second: there are more
	Items   int64   `json:"items"`   // that were run
	Failed  int64   `json:"failed"`
	Error   string  `json:"error,omitempty"` // the first failure's
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"` // of input that was read, in all
	Others  float64 `json:"others"`
}

// A drawn item, with its place in the input.
type drawn struct {
	index int64
	item  batch.Item
}

// sampling is one sample on its way.
type sampling struct {
	machine *advise.Machine
	load    batch.Load
	plan    *jobs.Plan
	dir     string
	work    cpuwork.Work
	pace    jobs.Pace
	hosts   int

	servers servers // that are asked, of those on this machine
	began   load    // when the first item did

	s      Sample
	picked []drawn // not run yet
}

// sample measures some of a plan's items. What they write goes below dir.
func sample(ctx context.Context, kind string, plan *jobs.Plan, dir string, machine *advise.Machine) (w advise.Workload, s Sample, err error) {
	began := time.Now()
	m := &sampling{machine: machine, plan: plan, dir: dir, pace: plan.Pace(kind)}
	if m.load, err = plan.Load(); err != nil {
		return w, s, err
	}
	if c, ok := m.load.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	m.work, _ = m.load.Work()
	if err = m.draw(ctx); err != nil {
		return w, m.s, err
	}
	if kind == "fetch" {
		m.sparing()
	}
	m.began = readLoad(m.servers)
	w, err = m.measure(ctx)
	w.First = plan.First()
	if plan.Pool == cpuwork.Process {
		w.Isolation = advise.Crash // that pool suits the kind because of what items may do
	}
	m.s.Seconds, m.s.Others = time.Since(began).Seconds(), m.began.others()
	return w, m.s, err
}

// draw counts the items and draws some: each is as likely to be drawn (reservoir
// sampling), and the same ones are whenever it is done.
func (m *sampling) draw(ctx context.Context) error {
	began := time.Now()
	rng := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- no secret
	for item, err := range m.load.Items(ctx) {
		if err != nil {
			return fmt.Errorf("list items: %w", err)
		}
		at := m.s.Counted
		m.s.Counted++
		if len(m.picked) < mostItems {
			m.picked = append(m.picked, drawn{at, item})
		} else if i := rng.Int64N(m.s.Counted); i < mostItems {
			m.picked[i] = drawn{at, item}
		}
		if m.s.Counted%64 == 0 && time.Since(began) > countTime {
			m.s.More = true
			break
		}
	}
	if len(m.picked) == 0 {
		return &jobs.Fault{Code: "invalid", Message: "there are no items to measure"}
	}
	rng.Shuffle(len(m.picked), func(i, j int) { m.picked[i], m.picked[j] = m.picked[j], m.picked[i] })
	return nil
}

// sparing leaves few enough requests for servers of others not to mind, and finds
// those that are here.
func (m *sampling) sparing() {
	most := mostLocal
	hosts, ports := map[string]bool{}, map[uint16]bool{}
	for _, d := range m.picked {
		u, err := url.Parse(d.item.Name)
		if err != nil {
			continue
		}
		hosts[u.Host] = true
		if !local(u) {
			most = mostAsked
		} else if port, err := portOf(u); err == nil {
			ports[port] = true
		}
	}
	m.hosts = max(1, len(hosts))
	m.picked = m.picked[:min(len(m.picked), most)]
	m.servers = serving(ports)
}

// measure runs what was drawn: an item to warm up, some one after the other, some
// as many at once as a worker does, some in flight together.
func (m *sampling) measure(ctx context.Context) (advise.Workload, error) {
	w := advise.Workload{Items: m.s.Counted, Rate: m.rate(), InFlight: m.inFlight()}
	rest := len(m.picked) - 1
	if _, err := m.pass(ctx, cpuwork.Sequential, 1, min(1, rest)); err != nil {
		return w, err
	}
	part := rest
	if m.work.NewBatch != nil || m.hosts > 0 {
		part = (rest + 2) / 3
	}
	alone, err := m.pass(ctx, cpuwork.Sequential, 1, max(1, part))
	if err != nil {
		return w, err
	}
	w.Order = alone.order()
	w.CPU = max(0, alone.cpu/alone.n-w.Order)
	took := alone.took(w.Rate)
	if len(m.servers) > 0 && m.began.others() > busy {
		took = min(took, alone.median()) // in the rest others had a core, of the server's or of this process
	}
	if m.work.NewBatch != nil && len(m.picked) > 1 {
		group, err := m.pass(ctx, cpuwork.Goroutine, 1, len(m.picked))
		if err != nil {
			return w, err
		}
		w.Batch, w.Group = m.work.Batch, max(0, group.cpu/group.n-w.Order)
	}
	if m.hosts > 0 || alone.fromDisk() {
		w.IO = max(0, took-w.CPU)
	}
	if w.IO < max(ownWaiting*w.CPU, leastWaiting) {
		w.IO = 0
	}
	if m.hosts > 0 && len(m.picked) > 1 {
		err = m.together(ctx, &w, took)
	}
	return w, err
}

func (m *sampling) rate() float64 {
	rate := m.pace.Rate
	if host := m.pace.HostRate * float64(max(1, m.hosts)); host > 0 && (rate == 0 || host < rate) {
		rate = host
	}
	return rate
}

func (m *sampling) inFlight() int {
	if m.pace.Host == 0 {
		return m.pace.All
	}
	return min(m.pace.All, m.pace.Host*max(1, m.hosts))
}

// pass runs the next items that were drawn, up to most of them, until its time is
// over.
func (m *sampling) pass(ctx context.Context, kind cpuwork.Kind, workers, most int) (*part, error) {
	most = min(most, len(m.picked))
	p := &part{Load: m.load, items: m.picked[:most], until: time.Now().Add(passTime)}
	if most == 0 {
		return p, nil
	}
	o := m.plan.Options()
	o.Kind, o.Workers, o.Dir = kind, workers, filepath.Join(m.dir, fmt.Sprintf("pass-%d", len(m.picked)))
	o.Stop = cpuwork.StopNever // the first success says little about the others
	if _, err := batch.Run(ctx, p, o); err != nil {
		return p, fmt.Errorf("run a sample: %w", err)
	}
	m.picked = m.picked[p.given:]
	m.s.Items += int64(p.n)
	m.s.Failed += p.failed
	m.s.Bytes += p.bytes
	if m.s.Error == "" {
		m.s.Error = p.why
	}
	return p, nil
}

// part is a load of some of another's items, which takes the time.
type part struct {
	batch.Load
	items []drawn
	until time.Time
	given int

	began    time.Time
	startCPU float64
	startIn  int64
	n        float64 // answers
	failed   int64
	why      string
	bytes    int64
	times    []float64 // that items took
	ended    []time.Duration
	cpu      float64
	blocks   int64 // read from a disk
}

// Count implements [batch.Load].
func (p *part) Count() int64 { return int64(len(p.items)) }

// Items implements [batch.Load].
func (p *part) Items(context.Context) iter.Seq2[batch.Item, error] {
	return func(yield func(batch.Item, error) bool) {
		p.began, p.startCPU, p.startIn = time.Now(), processorTime(unix.RUSAGE_SELF), blocksRead()
		for _, d := range p.items {
			if p.given > 0 && time.Now().After(p.until) {
				return
			}
			p.given++
			if !yield(d.item, nil) {
				return
			}
		}
	}
}

// Answer implements [batch.Load].
func (p *part) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	item.Index = p.items[item.Index].index
	line, err := p.Load.Answer(item, r)
	p.n++
	p.bytes += line.Bytes
	p.times = append(p.times, r.Took.Seconds())
	p.ended = append(p.ended, time.Since(p.began))
	if r.Err != nil {
		p.failed++
		if p.why == "" {
			p.why = item.Name + ": " + r.Err.Error()
		}
	}
	return line, err
}

// Finish takes the processor time. What the load does in the end is not done: it
// is for all items.
func (p *part) Finish(context.Context, *batch.Summary) error {
	p.cpu, p.blocks = processorTime(unix.RUSAGE_SELF)-p.startCPU, blocksRead()-p.startIn
	return nil
}

// fromDisk reports whether most of the input came from a disk, and not from memory.
func (p *part) fromDisk() bool { return 2*blockSize*p.blocks > p.bytes && p.blocks > 0 }

const blockSize = 512 // of ru_inblock (getrusage(2))

// blocksRead is what this process had to wait for a disk for.
func blocksRead() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // it cannot fail
		return 0
	}
	return u.Inblock
}

// order is what was done for an item outside of its work, where items came one
// after the other. It is much the same for all, so that the tenth that took
// longest is left out: there others had the core.
func (p *part) order() float64 {
	gaps := make([]float64, len(p.ended))
	before := time.Duration(0)
	for i, end := range p.ended {
		gaps[i] = max(0, (end-before).Seconds()-p.times[i])
		before = end
	}
	slices.Sort(gaps)
	gaps = gaps[:(9*len(gaps)+9)/10]
	sum := 0.0
	for _, g := range gaps {
		sum += g
	}
	return sum / float64(len(gaps))
}

// took is how long an item takes. With a rate, items waited for their turns: then
// it is what those took that had not to.
func (p *part) took(rate float64) float64 {
	sum := 0.0
	for _, t := range p.times {
		sum += t
	}
	mean := sum / p.n
	if rate == 0 || mean < 0.7/rate {
		return mean
	}
	times := slices.Clone(p.times)
	slices.Sort(times)
	return times[len(times)/10]
}

// median is how long the item in the middle takes.
func (p *part) median() float64 {
	times := slices.Clone(p.times)
	slices.Sort(times)
	return times[len(times)/2]
}

// between is the time between two answers when so many are in flight, from when
// all of those have been answered once. Of few answers it is what Little's law
// makes of the time that they took: where the last of them ends would be chance.
func (p *part) between(abreast int) float64 {
	n := len(p.ended)
	if n < perLevel/2*abreast {
		sum := 0.0
		for _, t := range p.times {
			sum += t
		}
		return sum / p.n / float64(abreast)
	}
	return (p.ended[n-1] - p.ended[abreast-1]).Seconds() / float64(n-abreast)
}
