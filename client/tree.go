package client

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// verb is one command with what its help says beyond flags.
type verb struct {
	cmd      *cli.Command
	outputs  []string  // formats of -o it can write; none: it has no format
	instead  string    // the hint to who asks for another; "": the first it has
	examples []example // shown in help, in order
	exits    []exit    // beyond 0 and 2
}

// example is a command line and what it does.
type example struct{ line, does string }

// exit is an exit code and when a verb ends with it.
type exit struct {
	code int
	when string
}

// The groups of the overview, in order.
const (
	groupSubmit = "Submit"
	groupLook   = "Look"
	groupAct    = "Act"
	groupResult = "Results"
	groupDaemon = "Daemon"
)

var groups = []string{groupSubmit, groupLook, groupAct, groupResult, groupDaemon}

// Formats that verbs have in common.
var (
	formatsRows   = []string{outTable, outWide, outJSON, outJSONL, outID}
	formatsResult = []string{outTable, outJSON, outJSONL, outID}
	formatsPlain  = []string{outTable, outJSON}
)

// tree lists every verb, in the order of the overview.
func (p *program) tree() []verb {
	return []verb{
		p.trainVerb(),
		p.cpuVerb(),
		p.cpuSHA256Verb(),
		p.cpuJPEGVerb(),
		p.cpuFetchVerb(),
		p.cpuPrimesVerb(),
		p.demoVerb(),

		p.lsVerb(),
		p.showVerb(),
		p.followVerb(),
		p.waitVerb(),
		p.logsVerb(),
		p.gpuVerb(),
		p.topVerb(),
		p.usageVerb(),
		p.adviseVerb(),

		p.cancelVerb(),
		p.pauseVerb(),
		p.resumeVerb(),
		p.retryVerb(),
		p.holdVerb(),
		p.releaseVerb(),
		p.priorityVerb(),
		p.rmVerb(),

		p.modelVerb(),
		p.predictVerb(),
		p.resultsVerb(),
		p.benchVerb(),
		p.benchShareVerb(),
		p.benchPoolsVerb(),
		p.benchHistoryVerb(),
		p.benchPlotVerb(),

		p.serveVerb(),
		p.doctorVerb(),
		p.completionVerb(),
		p.versionVerb(),

		p.helpVerb(),
		p.workerVerb(),
		p.completeVerb(),
	}
}

// group is the first word of a verb of two, such as "bench" of "bench share".
func (v verb) group() string {
	group, _, _ := strings.Cut(v.cmd.Name, " ")
	if group == v.cmd.Name {
		return ""
	}
	return group
}

// accepts refuses an output format that the verb cannot write: nothing that
// was asked for is ignored.
func (v verb) accepts(g globals) error {
	if !g.chosen || slices.Contains(v.outputs, g.output) {
		return nil
	}
	if len(v.outputs) == 0 {
		return usagef("leave out -o", "weft %s has no output formats", v.cmd.Name)
	}
	return usagef(firstOf(v.instead, "-o "+v.outputs[0]), "weft %s cannot write %s; it has %s",
		v.cmd.Name, g.output, strings.Join(v.outputs, ", "))
}

// exactly checks the number of positional arguments.
func exactly(c *cli.Context, n int) error {
	if c.NArg() == n {
		return nil
	}
	want := strings.TrimSpace("weft " + c.Command.Name + " " + c.Command.ArgsUsage)
	if c.NArg() < n {
		return usagef(want, "weft %s needs %s", c.Command.Name, counted(n, "argument"))
	}
	if n == 0 {
		return usagef(want, "weft %s takes no arguments, and got %q", c.Command.Name, c.Args().Get(0))
	}
	return usagef(want, "weft %s takes %s, and got %q besides", c.Command.Name, counted(n, "argument"), c.Args().Get(n))
}

// counted writes a number with its noun: "1 job", "3 jobs".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
