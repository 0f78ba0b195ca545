package client

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	poolbench "weft/bench/pools"
	"weft/client/nearest"
	"weft/cpuwork"
)

const (
	poolsRepeat     = 3
	poolsMost       = 1000 // rounds
	poolsMostWorker = 1024
	poolsMostItems  = 10_000_000
	poolsMostSize   = 32 << 20 // bytes: with some in flight, what pools hold at most
	poolsPeerTime   = 10 * time.Minute
)

// poolsOptions are the flags of weft bench pools.
type poolsOptions struct {
	cases     []poolbench.Case
	kinds     []cpuwork.Kind
	workers   []int
	given     bool // workers are the user's
	items     int  // 0: as the case has it
	size      int  // 0: as the case has it
	quick     bool
	full      bool
	repeat    int
	seed      uint64
	peers     []string
	peerTime  time.Duration
	save      string
	report    string
	force     bool
	noHistory bool
}

func (p *program) benchPoolsVerb() verb {
	return verb{
		outputs: []string{outTable, outWide, outJSON},
		cmd: &cli.Command{
			Name: "bench pools", Category: groupResult, ArgsUsage: "[WORKLOAD…]",
			Usage: "measure CPU work on each kind of pool, and other programs at it",
			Description: `Does the same work on each kind of pool, with 1 to twice as many workers as there
are cores, and lets other programs do it in the same rounds. Every contestant runs
in a process of its own; its clock starts when its workers have. Every round runs
each once, in an order that rotates. A speedup is the median of the rounds' ratios
against the sequential pool, efficiency is speedup by workers. Memory is what all
of a contestant's processes have together, read every 50 ms. All answers of all
arms are compared, byte for byte. The result is kept for weft bench history and
weft bench plot.

Workloads, each by the name of a group or of one case:

` + casesText() + `
Peers (--peers): ` + peersText() + `.
One that cannot run here is told with the reason. WEFT_PYTHON names the
interpreter of those in Python. The server that is fetched from has a process of
its own on this machine, and so a part of its cores; it counts for nobody.

docs/benchmarks.md says what is measured and how to read it.`,
			Flags: poolsFlags(),
			Action: func(c *cli.Context) error {
				o, err := readPools(c)
				if err != nil {
					return err
				}
				return p.benchPools(c.Context, o)
			},
		},
		examples: []example{
			{"weft bench pools", "everything; some six minutes on two cores"},
			{"weft bench pools sha256 jpeg", "two workloads"},
			{"weft bench pools --quick", "does it work here; figures mean little"},
			{"weft bench pools sha256-blobs --full --peers none", "10,000 x 1 MB through bounded memory"},
			{"weft bench pools fetch --workers 1,16,64 --repeat 5", "with numbers of workers of your own"},
			{"weft bench pools --save run.json --report run.html", "all numbers in a file; a page"},
		},
		exits: []exit{
			{exitFailed, "an arm failed, or answers differ"},
			{exitInterrupted, "interrupted; everything is cleaned up"},
		},
	}
}

// casesText lists the cases, one a line.
func casesText() string {
	var b strings.Builder
	group := ""
	for _, c := range poolbench.Cases {
		name := ""
		if c.Group != group {
			group, name = c.Group, c.Group
		}
		fmt.Fprintf(&b, "  %-8s %-16s %s\n", name, c.Name, c.About)
	}
	return b.String()
}

// casesNamed are what weft bench pools may be told to measure, to complete.
func casesNamed() []candidate {
	names := poolbench.Names()
	out := make([]candidate, len(names))
	for i, name := range names {
		out[i].word = name
		if found := poolbench.Find(name); len(found) == 1 {
			out[i].what = found[0].About
		}
	}
	return out
}

// peersText lists the peers, in lines of a help's width.
func peersText() string {
	var b strings.Builder
	width := len("Peers (--peers): ")
	for i, name := range poolbench.PeerNames() {
		if i > 0 {
			b.WriteByte(',')
			width++
			if width+len(name)+2 > 80 {
				b.WriteByte('\n')
				width = 0
			} else {
				b.WriteByte(' ')
				width++
			}
		}
		b.WriteString(name)
		width += len(name)
	}
	return b.String()
}

func poolsFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "quick", Usage: "one round of fewer items"},
		&cli.BoolFlag{Name: "full", Usage: "more items: 10,000 x 1 MB for sha256"},
		&cli.IntFlag{Name: "items", Usage: "`N` items of each case"},
		&cli.IntFlag{Name: "size", Usage: "`BYTES` of an item of sha256; default 1000000"},
		&cli.StringSliceFlag{Name: "arms", Usage: "`POOLS` to run, as sequential,goroutine; default all four"},
		&cli.StringSliceFlag{Name: "workers", Usage: "`COUNTS` of workers, as 1,2,4; default powers of two up to twice the cores"},
		&cli.StringSliceFlag{Name: "peers", Value: cli.NewStringSlice(peersAuto),
			Usage: "`PEERS` to measure too: auto (what runs here), none, or names"},
		&cli.DurationFlag{Name: "peer-timeout", Value: poolsPeerTime, Usage: "`TIME` that a peer's run may take"},
		&cli.IntFlag{Name: "repeat", Aliases: []string{"r"}, Usage: "`N` rounds; default 3"},
		&cli.Uint64Flag{Name: "order-seed", Usage: "`N` that the order of the arms is drawn from"},
		&cli.StringFlag{Name: "save", Usage: "write everything measured to `FILE`, as -o json does"},
		&cli.StringFlag{Name: "report", Usage: "write a page with tables and plot to `FILE`.html"},
		&cli.BoolFlag{Name: "no-history", Usage: "do not keep the result for weft bench history"},
		&cli.BoolFlag{Name: "force", Usage: "replace an existing file"},
	}
}

// readPools reads the flags and refuses what contradicts itself.
func readPools(c *cli.Context) (poolsOptions, error) {
	o := poolsOptions{items: c.Int("items"), size: c.Int("size"), quick: c.Bool("quick"), full: c.Bool("full"),
		repeat: c.Int("repeat"), seed: c.Uint64("order-seed"), peerTime: c.Duration("peer-timeout"),
		save: c.String("save"), report: c.String("report"), force: c.Bool("force"), noHistory: c.Bool("no-history")}
	for _, n := range []struct {
		name        string
		value, most int
	}{{"items", o.items, poolsMostItems}, {"size", o.size, poolsMostSize}, {"repeat", o.repeat, poolsMost}} {
		if c.IsSet(n.name) && (n.value < 1 || n.value > n.most) {
			return o, usagef("--"+n.name+" 100", "--%s must be 1 to %d", n.name, n.most)
		}
	}
	switch {
	case o.quick && o.full:
		return o, usagef("leave one of them out", "--quick and --full contradict each other")
	case o.force && o.save == "" && o.report == "":
		return o, usagef("--save FILE --force", "--force without --save or --report would do nothing")
	case o.peerTime <= 0:
		return o, usagef("--peer-timeout 10m", "--peer-timeout must be positive")
	}
	if o.repeat == 0 {
		o.repeat = poolsRepeat
		if o.quick {
			o.repeat = 1
		}
	}
	if err := o.readCases(c.Args().Slice()); err != nil {
		return o, err
	}
	if c.IsSet("size") && !slices.ContainsFunc(o.cases, func(c poolbench.Case) bool { return c.Size > 0 }) {
		return o, usagef("weft bench pools sha256 --size 4096", "--size is for sha256")
	}
	if err := o.readArms(splitAll(c.StringSlice("arms"))); err != nil {
		return o, err
	}
	if err := o.readWorkers(splitAll(c.StringSlice("workers"))); err != nil {
		return o, err
	}
	var err error
	o.peers, err = checkPeerNames(splitAll(c.StringSlice("peers")), poolbench.PeerNames())
	return o, err
}

// readCases finds the cases that the names mean, in the order of all.
func (o *poolsOptions) readCases(names []string) error {
	if len(names) == 0 {
		o.cases = poolbench.Cases
		return nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		found := poolbench.Find(name)
		if len(found) == 0 {
			return usagef("weft bench pools "+firstOf(nearest.Name(name, poolbench.Names()), "sha256"),
				"unknown workload %q; there are %s", name, strings.Join(poolbench.Names(), ", "))
		}
		for _, c := range found {
			wanted[c.Name] = true
		}
	}
	for _, c := range poolbench.Cases {
		if wanted[c.Name] {
			o.cases = append(o.cases, c)
		}
	}
	return nil
}

// readArms reads --arms: kinds of pools, each there once, in their order.
func (o *poolsOptions) readArms(names []string) error {
	all := poolKinds()
	for i, name := range names {
		switch {
		case !slices.Contains(all, name):
			return usagef("--arms "+firstOf(nearest.Name(name, all), all[0]), "unknown pool %q; there are %s",
				name, strings.Join(all, ", "))
		case slices.Contains(names[:i], name):
			return usagef("name each once", "--arms has %s twice", name)
		}
	}
	for _, k := range cpuwork.Kinds {
		if len(names) == 0 || slices.Contains(names, string(k)) {
			o.kinds = append(o.kinds, k)
		}
	}
	return nil
}

// readWorkers reads --workers: whole numbers, each there once, in their order.
func (o *poolsOptions) readWorkers(counts []string) error {
	for _, text := range counts {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < 1 || n > poolsMostWorker:
			return usagef("--workers 1,2,4", "--workers takes numbers from 1 to %d, not %q", poolsMostWorker, text)
		case slices.Contains(o.workers, n):
			return usagef("name each once", "--workers has %d twice", n)
		}
		o.workers = append(o.workers, n)
	}
	slices.Sort(o.workers)
	if o.given = len(counts) > 0; !o.given {
		o.workers = defaultWorkers(runtime.NumCPU())
	}
	return nil
}

// defaultWorkers are the powers of two up to twice the cores, the cores and twice
// the cores.
func defaultWorkers(cores int) []int {
	counts := []int{cores, 2 * cores}
	for n := 1; n < 2*cores; n *= 2 {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	return slices.Compact(counts)
}

// itemsOf is how many items of a case are done.
func (o *poolsOptions) itemsOf(c poolbench.Case) int {
	switch {
	case o.items > 0:
		return o.items
	case o.quick:
		return c.Quick
	case o.full:
		return c.Full
	}
	return c.Items
}

// sizeOf is how large an item of a case is; 0 where that says nothing.
func (o *poolsOptions) sizeOf(c poolbench.Case) int {
	if c.Size > 0 && o.size > 0 {
		return o.size
	}
	return c.Size
}
