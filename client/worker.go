package client

import (
	"errors"

	"github.com/urfave/cli/v2"
)

// workerVerb is how the daemon starts its workers; people have no use for it.
func (p *program) workerVerb() verb {
	return verb{cmd: &cli.Command{Name: "worker", Hidden: true, ArgsUsage: "KIND", SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usagef("weft serve starts its workers itself", "weft worker is not for people")
			}
			if p.app.Worker == nil {
				return errors.New("this program was built without workers")
			}
			return p.app.Worker(c.Context, c.Args().Slice())
		}}}
}
