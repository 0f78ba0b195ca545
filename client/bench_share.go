package client

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/bench/load"
	"weft/bench/peers"
	"weft/client/nearest"
	"weft/daemon/api"
)

// The arms: values of serve's --sharing.
const (
	armSequential = "sequential"
	armStreams    = "streams"
	armFused      = "fused"
	armAuto       = "auto"
)

var shareArms = []string{armSequential, armStreams, armFused, armAuto}

// armAbout says what an arm is, for those who read its name alone.
var armAbout = map[string]string{
	armSequential: "one model at a time",
	armStreams:    "every model on a lane of its own",
	armFused:      "models in gangs",
	armAuto:       "what the daemon chooses",
}

const (
	shareRepeat = 5
	shareMost   = 1000 // rounds
	quickModels = 16   // at most, with --quick
	quickPart   = 10   // what --quick divides epochs and steps by
)

// shareOptions are the flags of weft bench share.
type shareOptions struct {
	load     string   // "": the files are
	files    []string // specifications of the user's own
	models   int      // of the load; 0: its own number
	copies   int      // of each file
	epochs   int      // 0: as the load has it
	steps    int64    // 0: as the load has it
	quick    bool
	arms     []string
	baseline string
	repeat   int
	device   string
	seed     uint64 // of the arms' order
	save     string
	force    bool
	keep     bool

	peers       []string
	peerTimeout time.Duration // of one run
	sweep       []int         // --sweep-models: one result for each
	report      string        // an HTML file
	noHistory   bool
}

func (p *program) benchShareVerb() verb {
	return verb{
		outputs: []string{outTable, outWide, outJSON},
		cmd: &cli.Command{
			Name: "bench share", Category: groupResult, ArgsUsage: "[SPEC.yaml…]",
			Usage: "measure ways of sharing a device against each other",
			Description: `Trains the same models in several arms, ways of sharing one device, and compares
wall time and models. An arm runs on a daemon of its own, started and warmed up
before the clock; the models are queued behind one job, and the clock runs from
that job's end to the last model's. Every round runs each arm once, in an order
that rotates. A speedup is the median of the rounds' ratios. Every model file is
compared byte for byte, between arms and rounds. --peers measures PyTorch and JAX
in the same rounds, on the same rows, batches and initial parameters; one that
cannot run here is told with the reason. WEFT_PYTHON names their interpreter.
The result is kept for weft bench history and weft bench plot.

Arms: sequential (one model at a time), streams (every model on a lane of its
own), fused (models in gangs), auto (what the daemon chooses).

Loads, unless specifications are given:

` + loadsText() + `
docs/benchmarks.md says what is measured and how to read it.`,
			Flags: shareFlags(),
			Action: func(c *cli.Context) error {
				o, err := readShare(c)
				if err != nil {
					return err
				}
				return p.benchShare(c.Context, o)
			},
		},
		examples: []example{
			{"weft bench share", "the load lab: ten small models on digits"},
			{"weft bench share --load wide --device gpu", "128 wider ones on the GPU"},
			{"weft bench share --load tiny --quick", "does it work here; figures mean little"},
			{"weft bench share spec.yaml --copies 32", "your own model, 32 times with seeds of its own"},
			{"weft bench share --load lab --peers auto --report lab.html", "PyTorch and JAX beside it; a page"},
			{"weft bench share --load tiny --sweep-models 1,4,16,64", "a plot's worth of results"},
			{"weft bench share --arms sequential,auto --save run.json", "two arms; all numbers in a file"},
		},
		exits: []exit{
			{exitFailed, "a job failed, or models differ between arms"},
			{exitNotFound, "a specification is not there"},
			{exitUnreachable, "the benchmark's daemon did not start"},
			{exitInterrupted, "interrupted; everything is cleaned up"},
		},
	}
}

// loadsText lists the loads, one a line.
func loadsText() string {
	var b strings.Builder
	for _, l := range load.All {
		fmt.Fprintf(&b, "  %-6s %s\n", l.Name, l.About)
	}
	return b.String()
}

func shareFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "load", Usage: "`NAME`: " + strings.Join(load.Names(), ", ") + "; default lab"},
		&cli.IntFlag{Name: "models", Usage: "`N` models of the load, fewer or more than it has"},
		&cli.StringSliceFlag{Name: "sweep-models", Usage: "`COUNTS` of models, as 1,2,4,8: a result for each, to plot"},
		&cli.IntFlag{Name: "copies", Usage: "`N` copies of each SPEC.yaml, with seeds of their own; default 1"},
		&cli.IntFlag{Name: "epochs", Usage: "`N` passes over the data instead of the load's"},
		&cli.Int64Flag{Name: "steps", Usage: "`N` optimizer steps a model instead of epochs"},
		&cli.BoolFlag{Name: "quick", Usage: "one round of a tenth of the epochs, 16 models at most"},
		&cli.StringSliceFlag{Name: "arms", Usage: "`ARMS` to run, as sequential,auto; default all four"},
		&cli.StringFlag{Name: "baseline", Usage: "`ARM` that speedups are against; default sequential, else the first"},
		&cli.StringSliceFlag{Name: "peers", Value: cli.NewStringSlice(peersNone),
			Usage: "`PEERS` to measure too: auto (what runs here), none, or " + strings.Join(peers.Names(), ",")},
		&cli.DurationFlag{Name: "peer-timeout", Value: peerTimeout, Usage: "`TIME` that a peer's run may take"},
		&cli.IntFlag{Name: "repeat", Aliases: []string{"r"}, Usage: "`N` rounds; default 5"},
		&cli.StringFlag{Name: "device", Value: "auto", Usage: "`DEVICE`: auto, cpu, gpu, gpu:0"},
		&cli.Uint64Flag{Name: "order-seed", Usage: "`N` that the order of the arms is drawn from"},
		&cli.StringFlag{Name: "save", Usage: "write everything measured to `FILE`, as -o json does"},
		&cli.StringFlag{Name: "report", Usage: "write a page with table and plot to `FILE`.html"},
		&cli.BoolFlag{Name: "no-history", Usage: "do not keep the result for weft bench history"},
		&cli.BoolFlag{Name: "force", Usage: "replace an existing file"},
		&cli.BoolFlag{Name: "keep", Usage: "keep the daemons' directories, with models and logs"},
	}
}

// readShare reads the flags and refuses what contradicts itself.
func readShare(c *cli.Context) (shareOptions, error) {
	o := shareOptions{load: c.String("load"), files: c.Args().Slice(), models: c.Int("models"),
		copies: c.Int("copies"), epochs: c.Int("epochs"), steps: c.Int64("steps"), quick: c.Bool("quick"),
		repeat: c.Int("repeat"), device: c.String("device"), seed: c.Uint64("order-seed"),
		save: c.String("save"), force: c.Bool("force"), keep: c.Bool("keep"), report: c.String("report"),
		noHistory: c.Bool("no-history"), peerTimeout: c.Duration("peer-timeout")}
	for _, n := range []struct {
		name  string
		value int64
	}{{"models", int64(o.models)}, {"copies", int64(o.copies)}, {"epochs", int64(o.epochs)}, {"steps", o.steps},
		{"repeat", int64(o.repeat)}} {
		if c.IsSet(n.name) && n.value < 1 {
			return o, usagef("--"+n.name+" 10", "--%s must be at least 1", n.name)
		}
	}
	switch {
	case o.load != "" && len(o.files) > 0:
		return o, usagef("leave one of them out", "--load and a specification contradict each other")
	case o.epochs > 0 && o.steps > 0:
		return o, usagef("leave one of them out", "--epochs and --steps contradict each other")
	case o.copies > 0 && len(o.files) == 0:
		return o, usagef("--models", "--copies is for specifications of your own")
	case o.models > 0 && len(o.files) > 0:
		return o, usagef("--copies", "--models is for a load")
	case o.models > api.MaxJobsPerPost:
		return o, usagef(fmt.Sprintf("--models %d", api.MaxJobsPerPost), "there can be %d models at most",
			api.MaxJobsPerPost)
	case o.copies > api.MaxJobsPerPost:
		return o, usagef(fmt.Sprintf("--copies %d", api.MaxJobsPerPost/len(o.files)),
			"there can be %d models at most", api.MaxJobsPerPost)
	case o.repeat > shareMost:
		return o, usagef("--repeat 5", "--repeat must be 1 to %d", shareMost)
	case o.force && o.save == "" && o.report == "":
		return o, usagef("--save FILE --force", "--force without --save or --report would do nothing")
	case o.peerTimeout <= 0:
		return o, usagef("--peer-timeout 10m", "--peer-timeout must be positive")
	}
	if err := o.readSweep(splitAll(c.StringSlice("sweep-models"))); err != nil {
		return o, err
	}
	var err error
	if o.peers, err = checkPeers(splitAll(c.StringSlice("peers"))); err != nil {
		return o, err
	}
	o.defaults()
	if err := o.checkNames(); err != nil {
		return o, err
	}
	if o.arms = splitAll(c.StringSlice("arms")); len(o.arms) == 0 {
		o.arms = shareArms
	}
	return o, o.checkArms(c.String("baseline"))
}

// readSweep reads --sweep-models: whole numbers, each there once.
func (o *shareOptions) readSweep(counts []string) error {
	for _, text := range counts {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < 1 || n > api.MaxJobsPerPost:
			return usagef("--sweep-models 1,2,4,8", "--sweep-models takes numbers from 1 to %d, not %q",
				api.MaxJobsPerPost, text)
		case slices.Contains(o.sweep, n):
			return usagef("name each once", "--sweep-models has %d twice", n)
		}
		o.sweep = append(o.sweep, n)
	}
	switch {
	case len(o.sweep) > 0 && len(o.files) > 0:
		return usagef("--copies", "--sweep-models is for a load")
	case len(o.sweep) > 0 && o.models > 0:
		return usagef("leave one of them out", "--models and --sweep-models contradict each other")
	}
	return nil
}

// defaults fills in what the command line leaves open.
func (o *shareOptions) defaults() {
	if o.load == "" && len(o.files) == 0 {
		o.load = load.All[0].Name
	}
	if o.copies == 0 {
		o.copies = 1
	}
	if o.repeat == 0 {
		o.repeat = shareRepeat
		if o.quick {
			o.repeat = 1
		}
	}
}

func (o *shareOptions) checkNames() error {
	if _, ok := load.Find(o.load); !ok && o.load != "" {
		h := "a load, or a specification of your own: weft bench share SPEC.yaml"
		if n := nearest.Name(o.load, load.Names()); n != "" {
			h = "--load " + n
		}
		return usagef(h, "unknown load %q; there are %s", o.load, strings.Join(load.Names(), ", "))
	}
	number, isOne := strings.CutPrefix(o.device, "gpu:")
	if slices.Contains([]string{"auto", "cpu", "gpu"}, o.device) || (isOne && number != "" &&
		strings.Trim(number, "0123456789") == "") {
		return nil
	}
	return usagef("--device "+firstOf(nearest.Name(o.device, []string{"auto", "cpu", "gpu", "gpu:0"}), "auto"),
		"unknown device %q; there are auto, cpu, gpu, gpu:0", o.device)
}

// checkArms checks the arms' names, each there once, and finds the baseline.
func (o *shareOptions) checkArms(baseline string) error {
	unknown := func(flag, arm string) error {
		return usagef("--"+flag+" "+firstOf(nearest.Name(arm, shareArms), armAuto),
			"unknown arm %q; there are %s", arm, strings.Join(shareArms, ", "))
	}
	for i, arm := range o.arms {
		if !slices.Contains(shareArms, arm) {
			return unknown("arms", arm)
		}
		if slices.Contains(o.arms[:i], arm) {
			return usagef("--arms "+strings.Join(slices.Compact(slices.Sorted(slices.Values(o.arms))), ","),
				"--arms has %s twice", arm)
		}
	}
	switch o.baseline = baseline; {
	case baseline == "" && slices.Contains(o.arms, armSequential):
		o.baseline = armSequential
	case baseline == "":
		o.baseline = o.arms[0]
	case !slices.Contains(shareArms, baseline):
		return unknown("baseline", baseline)
	case !slices.Contains(o.arms, baseline):
		return usagef("--arms "+strings.Join(append([]string{baseline}, o.arms...), ","),
			"the baseline %s is not among the arms", baseline)
	}
	return nil
}
