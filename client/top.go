package client

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/client/top"
	"weft/daemon/api"
)

type topOptions struct {
	once    bool
	sort    string
	filter  string
	refresh time.Duration
}

func (p *program) topVerb() verb {
	return verb{
		outputs: []string{outTable},
		instead: "weft ls -o json, or weft gpu -o json",
		cmd: &cli.Command{
			Name: "top", Category: groupLook,
			Usage: "devices and jobs on the full screen, live",
			Description: `Shows every device with its load, memory, power and history, which jobs share its
lanes, and all jobs with their progress, share of the device, time left and
metric, or why they wait. Keys sort, filter, mark, follow, cancel, pause and
more; ? lists them. A - is what is not known. When the daemon goes away the last
view stays until it is back.`,
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "once", Usage: "write one frame with all jobs that have not ended, and end"},
				&cli.StringFlag{Name: "sort", Value: "state",
					Usage: "`COLUMN` to sort by: " + strings.Join(top.SortKeys(), ", ") + "; -COLUMN the other way round"},
				&cli.StringFlag{Name: "filter", Usage: "only jobs with all these `WORDS`; KEY=VALUE is a label"},
				&cli.DurationFlag{Name: "refresh", Value: time.Second, Usage: "redraw every `DURATION`, 100ms to 1m"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				return p.top(c.Context, topOptions{once: c.Bool("once"), sort: c.String("sort"),
					filter: c.String("filter"), refresh: c.Duration("refresh")})
			},
		},
		examples: []example{
			{"weft top", "everything, live"},
			{"weft top --filter sweep=digits-mlp --sort left", "one sweep, what ends first at the top"},
			{"weft top --once", "one frame, for a script or a bug report"},
		},
		exits: []exit{{exitUnreachable, "no daemon answers"}},
	}
}

// topBackoff paces the client's own attempts; the screen has its own.
var topBackoff = api.Backoff{First: 100 * time.Millisecond, Most: 2 * time.Second}

func (p *program) top(ctx context.Context, o topOptions) error {
	if o.refresh < 100*time.Millisecond || o.refresh > time.Minute {
		return usagef("--refresh 1s", "cannot redraw every %s: 100ms to 1m", o.refresh)
	}
	if !o.once && (!p.global.terminal || !isTerminal(p.stdin)) {
		return usagef("weft top --once, or weft ls", "weft top needs a terminal, and there is none")
	}
	c, err := api.New(p.global.host, api.Options{UserAgent: "weft/" + p.app.Version, Backoff: topBackoff})
	if err != nil {
		return err
	}
	defer c.Close()
	screen, err := top.New(top.Options{Client: c, Refresh: o.refresh, Sort: o.sort, Filter: o.filter,
		Colour: p.global.colour, Now: p.app.Now})
	if e, ok := errors.AsType[*api.Error](err); ok {
		return usagef(e.Hint, "%s", e.Message)
	}
	if err != nil {
		return err
	}
	if o.once {
		return screen.Once(ctx, p.stdout, p.onceWidth())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	screen.Bind(ctx)
	return p.live(ctx, "jobs and devices", screen, screen.Feed)
}

// onceWidth is the terminal's columns; COLUMNS or 80 where there is none.
func (p *program) onceWidth() int {
	if p.global.terminal {
		return p.global.width
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 80
}
