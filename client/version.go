package client

import (
	"context"
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

func (p *program) versionVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "version", Category: groupDaemon,
			Usage:       "versions of this program and of the daemon",
			Description: `Prints this program's version, and the daemon's if one answers.`,
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				return p.version(c.Context)
			},
		},
		examples: []example{{"weft version -o json", "for scripts"}},
	}
}

// ownVersion is the linker's, or what the daemon calls a build without one.
func (p *program) ownVersion() string { return firstOf(p.app.Version, "(devel)") }

// versions is version's JSON.
type versions struct {
	Client struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Go      string `json:"go"`
	} `json:"client"`
	Daemon *api.Version `json:"daemon"` // null: none answers
}

func (p *program) version(ctx context.Context) error {
	var v versions
	v.Client.Version, v.Client.Commit, v.Client.Go = p.ownVersion(), p.app.Commit, runtime.Version()
	if c, err := p.client(); err != nil {
		return err
	} else if d, err := c.Version(ctx); err == nil {
		v.Daemon = d
		c.Close()
	}
	if p.global.output == outJSON {
		return p.writeJSON(v)
	}
	line := func(who, version, commit, golang string) string {
		if commit != "" {
			version += " (" + commit + ")"
		}
		return fmt.Sprintf("%-7s %s, %s", who, version, golang)
	}
	out := line("client", v.Client.Version, v.Client.Commit, v.Client.Go) + "\n"
	if d := v.Daemon; d != nil {
		out += line("daemon", d.Version, d.Commit, d.Go) + fmt.Sprintf(", pid %d, state %s\n", d.PID, d.StateDir)
	} else {
		out += "daemon  none answers\n"
	}
	_, err := fmt.Fprint(p.stdout, out)
	return err
}
