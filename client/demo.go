package client

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

type demoOptions struct {
	jobs   int
	epochs int
	keep   bool
}

// The demo's models: every width with every learning rate, widths first.
var (
	demoWidths = []int{16, 32, 64, 128, 256}
	demoRates  = []float64{1e-3, 3e-3}
)

const (
	demoJobs   = 10
	demoEpochs = 100
	demoMost   = 200
)

func (p *program) demoVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "demo", Category: groupSubmit,
			Usage: "ten small models sharing one device, against one after the other",
			Description: `Starts a daemon of its own in a temporary directory, trains ten networks of
different width and learning rate on handwritten digits, all together, then the
same ten one after the other, and compares times and models. Nothing is left
behind. The baseline is the same daemon on the same device, given each job when
the one before has ended; a job that nobody times warms both up.`,
			Flags: []cli.Flag{
				&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: demoJobs, Usage: "`N` models; default 10"},
				&cli.IntFlag{Name: "epochs", Aliases: []string{"e"}, Value: demoEpochs,
					Usage: "`N` passes over the data; default 100"},
				&cli.BoolFlag{Name: "keep", Usage: "keep the daemon's directory, with its models and log"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				o := demoOptions{c.Int("jobs"), c.Int("epochs"), c.Bool("keep")}
				switch {
				case o.jobs < 1 || o.jobs > demoMost:
					return usagef("--jobs 10", "--jobs must be 1 to %d", demoMost)
				case o.epochs < 1:
					return usagef("--epochs 100", "--epochs must be at least 1")
				}
				return p.demo(c.Context, o)
			},
		},
		examples: []example{
			{"weft demo", "about half a minute"},
			{"weft demo --jobs 40 --epochs 10", "more, shorter"},
		},
		exits: []exit{
			{exitFailed, "a job failed, or models of the two runs differ"},
			{exitUnreachable, "the demo's daemon did not start"},
			{exitInterrupted, "interrupted; everything is cleaned up"},
		},
	}
}

// demoResult is the demo's JSON, and what its table is made of.
type demoResult struct {
	Device            string    `json:"device"`
	Baseline          string    `json:"baseline"`
	TogetherSeconds   float64   `json:"together_seconds"`
	SequentialSeconds float64   `json:"sequential_seconds"`
	Speedup           float64   `json:"speedup"`
	Equal             int       `json:"equal_models"`
	Jobs              []demoJob `json:"jobs"`
}

type demoJob struct {
	Name            string  `json:"name"`
	Width           int     `json:"width"`
	LR              float64 `json:"lr"`
	ValAccuracy     float64 `json:"val_accuracy"`
	TogetherSeconds float64 `json:"together_seconds"` // running, beside the others
	AloneSeconds    float64 `json:"alone_seconds"`    // running, alone
	Equal           bool    `json:"equal"`            // both models, byte for byte
}

const demoBaseline = "the same jobs on the same daemon and device, each submitted when the one before had ended"

func (p *program) demo(ctx context.Context, o demoOptions) (err error) {
	dir, err := os.MkdirTemp("", "weft-demo-")
	if err != nil {
		return fmt.Errorf("make demo directory: %w", err)
	}
	defer func() {
		if o.keep {
			fmt.Fprintf(p.stderr, "kept %s; weft serve --state-dir %s/state goes on from it\n", dir, dir)
		} else if e := os.RemoveAll(dir); e != nil && err == nil {
			err = fmt.Errorf("remove demo directory: %w", e)
		}
	}()
	d, err := p.startDaemon(ctx, dir, "weft demo --keep")
	if err != nil {
		return err
	}
	defer d.stop()
	r, err := p.demoRuns(ctx, d.client, o)
	if err != nil {
		return d.explain(err)
	}
	if p.global.output == outJSON {
		err = p.writeJSON(r)
	} else {
		err = p.tellDemo(r)
	}
	if err == nil && r.Equal < len(r.Jobs) {
		differ := len(r.Jobs) - r.Equal
		err = &exitError{code: exitFailed,
			message: fmt.Sprintf("%d of %d models differ between the runs", differ, len(r.Jobs)),
			hint:    "this should never be; weft demo --keep keeps both for a report"}
	}
	return err
}

// demoRuns trains the models together, then one after the other.
func (p *program) demoRuns(ctx context.Context, c *api.Client, o demoOptions) (*demoResult, error) {
	r := &demoResult{Baseline: demoBaseline}
	jobs := make([]api.Submission, o.jobs)
	for i := range jobs {
		width, lr := demoWidths[i%len(demoWidths)], demoRates[i/len(demoWidths)%len(demoRates)]
		jobs[i] = demoSubmission(width, lr, o.epochs, i)
		r.Jobs = append(r.Jobs, demoJob{Name: jobs[i].Name, Width: width, LR: lr})
	}
	warm, err := c.Submit(ctx, []api.Submission{demoSubmission(16, 1e-3, 1, 0)}, "")
	if err != nil {
		return nil, err
	}
	ended, err := track(ctx, c, []int64{warm[0].ID}, silent{})
	if err != nil {
		return nil, err
	}
	if err := outcome(ended); err != nil {
		return nil, err
	}
	r.Device = deviceText(ctx, c, ended[0].Device)

	p.demoSay("\n%s\n", p.heading(fmt.Sprintf("%d models together on %s", o.jobs, r.Device)))
	begun := p.app.Now()
	together, err := p.demoTrain(ctx, c, jobs)
	if err != nil {
		return nil, err
	}
	r.TogetherSeconds = p.app.Now().Sub(begun).Seconds()

	p.demoSay("\n%s\n", p.heading("the same, one after the other"))
	begun = p.app.Now()
	var alone []*api.Job
	for i := range jobs {
		one, err := p.demoTrain(ctx, c, jobs[i:i+1])
		if err != nil {
			return nil, err
		}
		alone = append(alone, one...)
	}
	r.SequentialSeconds = p.app.Now().Sub(begun).Seconds()
	if r.TogetherSeconds > 0 {
		r.Speedup = r.SequentialSeconds / r.TogetherSeconds
	}
	return r, compareDemo(ctx, c, r, together, alone)
}

// demoSubmission is one network on digits; the seed makes models of equal
// width and rate differ where there are more than ten.
func demoSubmission(width int, lr float64, epochs, i int) api.Submission {
	name := fmt.Sprintf("mlp-%d lr=%g", width, lr)
	seed := i / (len(demoWidths) * len(demoRates))
	if seed > 0 {
		name += fmt.Sprintf(" seed=%d", seed)
	}
	spec, err := json.Marshal(map[string]any{
		"name": name, "data": map[string]any{"source": "digits"},
		"model": []any{map[string]any{"linear": width}, "relu", map[string]any{"linear": width}, "relu",
			map[string]any{"linear": 10}},
		"loss": "cross_entropy", "optimizer": map[string]any{"name": "adam", "lr": lr},
		"batch_size": 32, "epochs": epochs, "seed": seed,
	})
	if err != nil { // strings and numbers always marshal
		spec = nil
	}
	return api.Submission{Kind: api.KindTrain, Name: name, Spec: spec}
}

// demoTrain submits jobs and follows them until all have succeeded.
func (p *program) demoTrain(ctx context.Context, c *api.Client, jobs []api.Submission) ([]*api.Job, error) {
	accepted, err := c.Submit(ctx, jobs, "")
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(accepted))
	for i := range accepted {
		ids[i] = accepted[i].ID
	}
	var ended []*api.Job
	switch {
	case p.global.output == outJSON:
		ended, err = track(ctx, c, ids, silent{})
	case p.global.terminal && isTerminal(p.stdin):
		ended, err = p.trackBars(ctx, c, ids)
	default:
		ended, err = track(ctx, c, ids, &demoLines{lines{w: p.stdout}})
	}
	if err != nil {
		return nil, err
	}
	return ended, outcome(ended)
}

// demoLines tells only the ends: ten jobs' epochs are too many lines.
type demoLines struct{ lines }

func (demoLines) begin([]*api.Job)           {}
func (demoLines) epoch(*api.Job, *api.Epoch) {}
func (demoLines) changed(*api.Job)           {}

// compareDemo fills in each job's numbers and whether its models are equal.
func compareDemo(ctx context.Context, c *api.Client, r *demoResult, together, alone []*api.Job) error {
	for i := range r.Jobs {
		j := &r.Jobs[i]
		j.ValAccuracy = together[i].Metrics["val_accuracy"]
		j.TogetherSeconds = together[i].Usage.WallSeconds
		j.AloneSeconds = alone[i].Usage.WallSeconds
		a, err := modelHash(ctx, c, together[i].ID)
		if err != nil {
			return err
		}
		b, err := modelHash(ctx, c, alone[i].ID)
		if err != nil {
			return err
		}
		if j.Equal = a == b; j.Equal {
			r.Equal++
		}
	}
	return nil
}

func modelHash(ctx context.Context, c *api.Client, id int64) (sum [sha256.Size]byte, err error) {
	body, size, err := c.Model(ctx, id)
	if err != nil {
		return sum, err
	}
	defer body.Close()
	h := sha256.New()
	if err := copyBody(h, body, size); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// deviceText names a device as its hardware does.
func deviceText(ctx context.Context, c *api.Client, id string) string {
	devices, err := c.Devices(ctx)
	if err != nil {
		return id // the name is an ornament
	}
	for _, d := range devices {
		if d.ID == id && d.Name != "" {
			return fmt.Sprintf("%s (%s, %s)", id, d.Name, counted(d.Lanes, "lane"))
		}
	}
	return id
}

func (p *program) demoSay(format string, args ...any) {
	if p.global.output != outJSON {
		_, _ = io.WriteString(p.stdout, fmt.Sprintf(format, args...)) // a broken pipe shows at the table
	}
}

// demoPatience is how long the demo's daemon may take to be ready, and to end.
const (
	demoPatience = 30 * time.Second
	demoGrace    = 10 * time.Second
)
