package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"weft/client/table"
	"weft/daemon/api"
)

func (p *program) doctorVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "doctor", Category: groupDaemon,
			Usage: "what was found, and what to do about what was not",
			Description: `Looks at the daemon, its devices, limits and versions, and says for everything
that is missing or wrong what to do. Succeeds unless something fails.`,
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				return p.doctor(c.Context, c.Bool("probe"))
			},
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "probe", Usage: "have the daemon ask the NVIDIA driver anew, which may take seconds"},
			},
		},
		examples: []example{
			{"weft doctor", "first thing when something is odd"},
			{"weft doctor --probe", "after a driver was installed, or a GPU set free"},
		},
		exits: []exit{{exitFailed, "a check fails"}, {exitUnreachable, "no daemon answers"}},
	}
}

// leastFiles is how many open files a daemon with many jobs and clients wants.
const leastFiles = 4096

func (p *program) doctor(ctx context.Context, probe bool) error {
	checks, err := p.ownChecks(ctx, probe)
	if err != nil {
		return err
	}
	if p.global.output == outJSON {
		if err := p.writeJSON(api.Doctor{Checks: checks}); err != nil {
			return err
		}
	} else if err := p.tellChecks(checks); err != nil {
		return err
	}
	if i := slices.IndexFunc(checks, func(c api.DoctorCheck) bool { return c.Status == api.CheckFail }); i >= 0 {
		code := exitFailed
		if checks[i].Name == "daemon" {
			code = exitUnreachable
		}
		return &exitError{code: code} // the table has said it
	}
	return nil
}

// ownChecks checks from the client's side, and adds the daemon's own checks.
func (p *program) ownChecks(ctx context.Context, probe bool) ([]api.DoctorCheck, error) {
	client := api.DoctorCheck{Name: "client", Status: api.CheckOK, Found: p.ownVersion()}
	limit := p.fileLimit()
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	v, err := c.Version(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		fail := api.DoctorCheck{Name: "daemon", Status: api.CheckFail, Found: err.Error(), Hint: hint(err)}
		return []api.DoctorCheck{client, fail, limit}, nil
	}
	daemon := api.DoctorCheck{Name: "daemon", Status: api.CheckOK,
		Found: fmt.Sprintf("%s, pid %d at %s, state in %s", v.Version, v.PID, c.Host(), v.StateDir)}
	if v.Version != p.ownVersion() {
		daemon.Status = api.CheckWarn
		daemon.Hint = "restart the daemon: client and daemon are the same program, of one version"
	}
	checks := []api.DoctorCheck{client, daemon, limit}
	ask := c.Doctor
	if probe {
		ask = c.Probe
	}
	d, err := ask(ctx)
	if err != nil {
		return append(checks, api.DoctorCheck{Name: "checks", Status: api.CheckFail, Found: err.Error(),
			Hint: hint(err)}), nil
	}
	return append(checks, d.Checks...), nil
}

// openFiles is the soft limit on this process's descriptors.
func openFiles() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return r.Cur, err
}

func (p *program) fileLimit() api.DoctorCheck {
	n, err := p.app.OpenFiles()
	check := api.DoctorCheck{Name: "shell's open files", Status: api.CheckOK, Found: fmt.Sprintf("%d at most", n)}
	switch {
	case err != nil:
		check.Status, check.Found = api.CheckWarn, err.Error()
	case n == unix.RLIM_INFINITY:
		check.Found = "unlimited"
	case n < leastFiles:
		check.Status, check.Hint = api.CheckWarn, fmt.Sprintf("ulimit -n %d before weft serve", leastFiles)
	}
	return check
}

func (p *program) tellChecks(checks []api.DoctorCheck) error {
	var b strings.Builder
	t := &table.Table{Colour: p.global.colour, Columns: []table.Column{
		{Head: "CHECK"}, {Head: "STATUS", Paint: paintStatus}, {Head: "FOUND"}}}
	for _, c := range checks {
		t.Rows = append(t.Rows, []string{c.Name, c.Status, c.Found})
	}
	if err := t.Write(&b); err != nil {
		return err
	}
	for _, c := range checks {
		if c.Status != api.CheckOK && c.Hint != "" {
			fmt.Fprintf(&b, "\n%s: %s\ntry: %s\n", table.Clean(c.Name), table.Clean(c.Found), table.Clean(c.Hint))
		}
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

func paintStatus(s string) string {
	style := lipgloss.NewStyle()
	switch s {
	case api.CheckOK:
		style = style.Foreground(lipgloss.Green)
	case api.CheckWarn:
		style = style.Foreground(lipgloss.Yellow)
	default:
		style = style.Foreground(lipgloss.Red)
	}
	return style.Render(s)
}
