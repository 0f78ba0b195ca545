package client

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"
)

type predictOptions struct {
	id    int64
	data  string
	file  string
	force bool
}

func (p *program) predictVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "predict", Category: groupResult, ArgsUsage: "ID --data FILE [-o FILE]",
			Usage: "predictions of a job's model, as CSV",
			Description: `Runs a succeeded job's model on the rows of a file that has the features it was
trained on; the target may be missing. Rows are standardized as the training
data were. Writes one CSV line a row: the class and each class's probability,
or the number predicted.`,
			Flags: append([]cli.Flag{
				&cli.StringFlag{Name: "data", Aliases: []string{"d"}, Usage: "the `FILE` of rows: csv, parquet or npy"},
			}, fileFlags("the `FILE` to write; default: the standard output")...),
			Action: func(c *cli.Context) error {
				if err := exactly(c, 1); err != nil {
					return err
				}
				id, err := parseID(c.Args().First())
				if err != nil {
					return err
				}
				o := predictOptions{id: id, file: c.String("out"), force: c.Bool("force")}
				if c.String("data") == "" {
					return usagef(fmt.Sprintf("weft predict %d --data rows.csv", id),
						"weft predict needs rows to predict")
				}
				if o.data, err = filepath.Abs(c.String("data")); err != nil {
					return fmt.Errorf("find %s: %w", c.String("data"), err)
				}
				return p.predict(c.Context, o)
			},
		},
		examples: []example{
			{"weft predict 12 --data new.csv", "to the terminal"},
			{"weft predict 12 --data new.csv -o out.csv", "to a file"},
		},
		exits: []exit{
			{exitFailed, "the job has no model, or the rows do not fit it"},
			{exitNotFound, "there is no such job or file"},
			{exitUnreachable, "no daemon answers"},
		},
	}
}

func (p *program) predict(ctx context.Context, o predictOptions) error {
	toFile := o.file != "" && o.file != "-"
	if toFile {
		if err := mayCreate(o.file, o.force); err != nil {
			return err
		}
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := c.Predict(ctx, o.id, o.data)
	if err != nil {
		return err
	}
	defer body.Close()
	if toFile {
		return saveFile(o.file, o.force, func(w io.Writer) error { return copyBody(w, body, -1) })
	}
	return copyBody(p.stdout, body, -1)
}
