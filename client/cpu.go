package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"weft/client/nearest"
	"weft/client/table"
	"weft/daemon/api"
)

// cpuVerb is the first word of the CPU verbs; alone it says which there are.
func (p *program) cpuVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "cpu", Category: groupSubmit, ArgsUsage: "VERB",
			Usage: "jobs for the processors: weft cpu sha256, jpeg, fetch, primes",
			Description: `Submits jobs that run on the processors beside those that train: batches of
items, on a pool of goroutines or processes. An item that fails is told and
fails alone; a job goes on where it was after a crash, a pause or a restart.

  weft cpu sha256    digests of files, and checking them
  weft cpu jpeg      pictures to JPEG
  weft cpu fetch     URLs to files, within a rate
  weft cpu primes    which numbers are prime`,
			Action: func(*cli.Context) error { return p.help("cpu") },
		},
		examples: []example{{"weft cpu", "this text; weft help cpu sha256 for the verb's own"}},
	}
}

// isCPU reports whether a job is one of items, on the processors.
func isCPU(k api.Kind) bool { return k != api.KindTrain && k != "" }

// cpuOptions are the flags that all CPU jobs have.
type cpuOptions struct {
	pool    string
	workers int
	retries int // 0: as suits the kind, -1: none
	timeout time.Duration
	dryRun  bool
	submit  submitOptions
}

// pools are the values of --pool.
var pools = []string{"auto", "sequential", "goroutine", "process", "event"}

func cpuFlags(own ...cli.Flag) []cli.Flag {
	return append(append(own,
		&cli.StringFlag{Name: "pool", Value: "auto",
			Usage: "`KIND` of pool: auto, sequential, goroutine, process (a crash costs one item) or event (for waiting)"},
		&cli.IntFlag{Name: "workers", Aliases: []string{"j"}, Usage: "`N` items at the same time; default as suits the pool"},
		&cli.IntFlag{Name: "item-retries", Usage: "further attempts at an item, up to `N`; -1: none; default as suits the kind"},
		&cli.DurationFlag{Name: "item-timeout", Usage: "end an attempt at an item after `DURATION`"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "check, say what the job would take, and submit nothing"},
	), submitFlags()...)
}

func (p *program) readCPU(c *cli.Context) (cpuOptions, error) {
	o := cpuOptions{pool: c.String("pool"), workers: c.Int("workers"), retries: c.Int("item-retries"),
		timeout: c.Duration("item-timeout"), dryRun: c.Bool("dry-run")}
	switch {
	case !slices.Contains(pools, o.pool):
		return o, usagef("--pool "+firstOf(nearest.Name(o.pool, pools), "auto"), "unknown pool %q; there are %s",
			o.pool, strings.Join(pools, ", "))
	case o.workers < 0:
		return o, usagef("--workers 8", "--workers %d is negative", o.workers)
	case o.timeout < 0:
		return o, usagef("--item-timeout 30s", "--item-timeout %s is negative", o.timeout)
	}
	if c.IsSet("item-retries") && o.retries == 0 {
		o.retries = -1
	}
	var err error
	o.submit, err = readSubmit(c, p.app.Now())
	return o, err
}

// cpuSpec is a CPU job's specification, as the daemon reads it.
type cpuSpec struct {
	Pool        string  `json:"pool"`
	Workers     int     `json:"workers,omitempty"`
	ItemRetries int     `json:"item_retries,omitempty"`
	ItemTimeout float64 `json:"item_timeout_seconds,omitempty"`
	Task        any     `json:"task"`
}

// submitCPU submits one job and stays with it if asked to; print says whether what
// its items came to is printed then.
func (p *program) submitCPU(ctx context.Context, kind api.Kind, task any, print bool, o cpuOptions) error {
	spec, err := json.Marshal(cpuSpec{Pool: o.pool, Workers: o.workers, ItemRetries: o.retries,
		ItemTimeout: o.timeout.Seconds(), Task: task})
	if err != nil {
		return fmt.Errorf("encode specification: %w", err)
	}
	if p.instead != nil {
		return p.instead(kind, spec, o)
	}
	s := o.submit
	job := api.Submission{Kind: kind, Name: s.name, Labels: s.labels, Priority: s.priority, After: s.after, At: s.at,
		Hold: s.hold, Retries: s.retries, Timeout: s.timeout.Seconds(), Spec: spec}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if o.dryRun {
		plans, err := c.DryRun(ctx, []api.Submission{job})
		if err != nil {
			return flagged(err)
		}
		return p.tellPlans(plans)
	}
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("draw idempotency key: %w", err)
	}
	accepted, err := c.Submit(ctx, []api.Submission{job}, hex.EncodeToString(key))
	if err != nil {
		return flagged(err)
	}
	out := p.global.output
	told := (s.follow || s.wait) && (out == outTable || out == outWide)
	printed := p.stdout
	if told && print && !p.global.terminal {
		p.stdout = p.stderr // what is piped on are the answers alone
	}
	err = p.submitted(ctx, c, accepted, s)
	p.stdout = printed
	if code := exitCode(err); err != nil && code != exitFailed && code != exitTimeout {
		return err // it is not known how the job ended
	}
	if told {
		if e := p.tellItems(ctx, c, accepted[0].ID, print); err == nil {
			err = e
		}
	}
	return err
}

// tellCPUPlans writes what a dry run found out about CPU jobs.
func (p *program) tellCPUPlans(plans []api.DryRun) error {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "NAME", Flexible: true}, {Head: "POOL"},
		{Head: "WORKERS", Right: true}, {Head: "MEMORY", Right: true}, {Head: "DEVICE"}}}
	for _, d := range plans {
		t.Rows = append(t.Rows, []string{d.Name, d.Pool, strconv.Itoa(d.Workers), sizeText(d.MemoryBytes), d.Device})
	}
	return t.Write(p.stdout)
}

// cpuFlagNames are the flags behind fields of specifications that have another
// name; the others have their field's.
var cpuFlagNames = map[string]string{"max_bytes": "max-size", "name": "as", "output": "to", "item_timeout_seconds": "item-timeout",
	"lists": "list", "files": "file"}

// flagged puts the daemon's faults, which point into a specification that nobody
// has written, into terms of flags.
func flagged(err error) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || len(p.Errors) == 0 {
		return err
	}
	var all faults
	for _, f := range p.Errors {
		message := f.Message
		field, pointer, _ := strings.Cut(strings.TrimLeft(f.Location, "/0"), "/")
		parts := strings.Split(pointer, "/")
		at := parts[len(parts)-1]
		if _, err := strconv.Atoi(at); err == nil && len(parts) > 1 { // one of several
			at = parts[len(parts)-2]
		}
		switch {
		case at == "paths": // arguments
		case field != "spec" && submissionFlags[field] != "":
			message = submissionFlags[field] + ": " + message
		case field == "spec" && at != "task" && at != "":
			message = "--" + firstOf(cpuFlagNames[at], strings.ReplaceAll(at, "_", "-")) + ": " + message
		}
		all = append(all, &api.Error{Code: p.Code, Message: message, Hint: f.Hint})
	}
	return all
}

// filesFlags are those of kinds that read files.
func filesFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "recursive", Aliases: []string{"r"}, Usage: "take directories for the files in them"},
		&cli.BoolFlag{Name: "follow-links", Usage: "with --recursive, also through symbolic links"},
		&cli.BoolFlag{Name: "hidden", Usage: "with --recursive, also names that begin with a dot"},
		&cli.StringSliceFlag{Name: "glob", Usage: "files that match `PATTERN`, looked up when the job runs; may be repeated"},
		&cli.StringSliceFlag{Name: "list", Aliases: []string{"files-from"},
			Usage: "`FILE` with a name a line, - for the standard input; may be repeated"},
		&cli.BoolFlag{Name: "null", Aliases: []string{"0"}, Usage: "names in lists end with a zero byte, as find -print0 writes them"},
	}
}

// A fileName is a path as the system knows it: a string in JSON where it is
// UTF-8, else {"bytes": base64}.
type fileName string

func (n fileName) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(map[string][]byte{"bytes": []byte(n)})
}

// filesSpec says which files a job reads, as the daemon reads it.
type filesSpec struct {
	Dir       string     `json:"dir"`
	Paths     []fileName `json:"paths,omitempty"`
	Globs     []fileName `json:"globs,omitempty"`
	Lists     []fileName `json:"lists,omitempty"`
	Zero      bool       `json:"zero,omitempty"`
	Recursive bool       `json:"recursive,omitempty"`
	Follow    bool       `json:"follow,omitempty"`
	Hidden    bool       `json:"hidden,omitempty"`
}

// readFiles reads arguments and filesFlags. Names stay relative, to the directory
// that weft was called in, for they are shown.
func (p *program) readFiles(c *cli.Context) (filesSpec, error) {
	dir, err := here()
	if err != nil {
		return filesSpec{}, err
	}
	f := filesSpec{Dir: dir, Paths: names(c.Args().Slice()), Globs: names(c.StringSlice("glob")),
		Zero: c.Bool("null"), Recursive: c.Bool("recursive"), Follow: c.Bool("follow-links"), Hidden: c.Bool("hidden")}
	for _, list := range c.StringSlice("list") {
		if list != "-" {
			f.Lists = append(f.Lists, fileName(list))
			continue
		}
		more, err := readNames(p.stdin, f.Zero)
		if err != nil {
			return f, err
		}
		f.Paths = append(f.Paths, more...)
	}
	switch verb := "weft " + c.Command.Name; {
	case slices.Contains(f.Paths, "-"):
		return f, usagef("--list - if it has names of files, else a file", "%s cannot read the standard input: the daemon does the work", verb)
	case len(f.Paths)+len(f.Globs)+len(f.Lists) == 0:
		return f, usagef(verb+" FILE…, or --recursive DIRECTORY", "%s needs files", verb)
	case (f.Follow || f.Hidden) && !f.Recursive:
		return f, usagef("--recursive", "--follow-links and --hidden are for --recursive")
	case f.Zero && len(c.StringSlice("list")) == 0:
		return f, usagef("--list FILE --null", "--null is for --list")
	}
	return f, nil
}

// here is the directory that weft was called in.
func here() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find this directory: %w", err)
	}
	return dir, nil
}

func names(list []string) []fileName {
	out := make([]fileName, len(list))
	for i, s := range list {
		out[i] = fileName(s)
	}
	return out
}

// maxNames is how much of the standard input is read: what one request holds.
const maxNames = 32 << 20

func readAll(r io.Reader, instead string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxNames+1))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	if len(b) > maxNames {
		return "", usagef(instead, "the standard input has more than %s of names", sizeText(maxNames))
	}
	return string(b), nil
}

func readNames(r io.Reader, zero bool) ([]fileName, error) {
	text, err := readAll(r, "--list FILE")
	if err != nil {
		return nil, err
	}
	end := "\n"
	if zero {
		end = "\x00"
	}
	var out []fileName
	for name := range strings.SplitSeq(text, end) {
		if name != "" {
			out = append(out, fileName(name))
		}
	}
	return out, nil
}

// absolute makes a path that a flag names absolute: the daemon has another
// directory. "" stays.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return abs, nil
}

var cpuExits = []exit{
	{exitFailed, "with -f or --wait: an item failed, or the job did"},
	{exitUnreachable, "no daemon answers; weft serve starts one"},
	{exitTimeout, "with -f or --wait: the job ran out of its --timeout"},
	{exitInterrupted, "interrupted; a submitted job goes on"},
}
