package client

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

type modelOptions struct {
	id    int64
	file  string
	force bool
}

// fileFlags are those of verbs that write a file; -o is the file here, and
// the format of messages has only its long name.
func fileFlags(what string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: what},
		&cli.BoolFlag{Name: "force", Usage: "replace the file if it exists"},
	}
}

func (p *program) modelVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "model", Category: groupResult, ArgsUsage: "ID -o FILE",
			Usage: "the trained parameters of a job, as safetensors",
			Description: `Copies a succeeded job's model to a file. It is safetensors with the names of
torch.nn.Sequential, so that torch loads it, and holds the specification and
the data's preparation as metadata. The file appears whole or not at all.`,
			Flags: fileFlags("the `FILE` to write; - is the standard output"),
			Action: func(c *cli.Context) error {
				if err := exactly(c, 1); err != nil {
					return err
				}
				id, err := parseID(c.Args().First())
				if err != nil {
					return err
				}
				if c.String("out") == "" {
					return usagef(fmt.Sprintf("weft model %d -o model.safetensors", id),
						"weft model needs a file to write")
				}
				return p.model(c.Context, modelOptions{id, c.String("out"), c.Bool("force")})
			},
		},
		examples: []example{
			{"weft model 12 -o digits.safetensors", "to a file"},
			{"weft model 12 -o - | sha256sum", "to the next program"},
		},
		exits: []exit{
			{exitFailed, "the job has no model, or the file exists"},
			{exitNotFound, "there is no such job"},
			{exitUnreachable, "no daemon answers"},
		},
	}
}

func (p *program) model(ctx context.Context, o modelOptions) error {
	if o.file != "-" {
		if err := mayCreate(o.file, o.force); err != nil {
			return err
		}
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	body, size, err := c.Model(ctx, o.id)
	if err != nil {
		return err
	}
	defer body.Close()
	if o.file == "-" {
		return copyBody(p.stdout, body, size)
	}
	return saveFile(o.file, o.force, func(w io.Writer) error { return copyBody(w, body, size) })
}
