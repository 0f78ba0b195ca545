package client

import (
	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

// sha256Task is what a job of kind sha256 does, as the daemon reads it.
type sha256Task struct {
	Files         filesSpec `json:"files"`
	Special       bool      `json:"special,omitempty"`
	Output        string    `json:"output,omitempty"`
	Zero          bool      `json:"zero,omitempty"`
	Tag           bool      `json:"tag,omitempty"`
	Check         bool      `json:"check,omitempty"`
	Quiet         bool      `json:"quiet,omitempty"`
	IgnoreMissing bool      `json:"ignore_missing,omitempty"`
	Strict        bool      `json:"strict,omitempty"`
}

func (p *program) cpuSHA256Verb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "cpu sha256", Category: groupSubmit, ArgsUsage: "FILE…",
			Usage: "SHA-256 digests of files, as sha256sum writes them, or their check",
			Description: `Computes digests of files, several side by side on each core where the processor
has instructions for SHA, and writes them in the order of the input, in
sha256sum's format: to --out, or with -f or --wait to the output. With --check
the files are lists of digests, and the files that they name are checked.`,
			Flags: cpuFlags(append(filesFlags(),
				&cli.StringFlag{Name: "out", Aliases: []string{"O"}, Usage: "write the digests, or verdicts, to `FILE`"},
				&cli.BoolFlag{Name: "check", Aliases: []string{"c"}, Usage: "the files are lists of digests: check what they name"},
				&cli.BoolFlag{Name: "tag", Usage: "digests in BSD's format"},
				&cli.BoolFlag{Name: "zero", Aliases: []string{"z"}, Usage: "end lines with a zero byte and escape no names"},
				&cli.BoolFlag{Name: "quiet", Usage: "with --check, no lines for files that are right"},
				&cli.BoolFlag{Name: "ignore-missing", Usage: "with --check, pass over files that are not there"},
				&cli.BoolFlag{Name: "strict", Usage: "with --check, a malformed line is a failure"},
				&cli.BoolFlag{Name: "special", Usage: "read pipes and devices, too"},
			)...),
			Action: func(c *cli.Context) error {
				o, err := p.readCPU(c)
				if err != nil {
					return err
				}
				t := sha256Task{Special: c.Bool("special"), Zero: c.Bool("zero"), Tag: c.Bool("tag"), Check: c.Bool("check"),
					Quiet: c.Bool("quiet"), IgnoreMissing: c.Bool("ignore-missing"), Strict: c.Bool("strict")}
				switch {
				case t.Check && (t.Zero || t.Tag):
					return usagef("leave them out; both formats are recognized", "--zero and --tag are not for --check")
				case !t.Check && (t.Quiet || t.IgnoreMissing || t.Strict):
					return usagef("--check", "--quiet, --ignore-missing and --strict are for --check")
				}
				if t.Files, err = p.readFiles(c); err != nil {
					return err
				}
				if t.Output, err = absolute(c.String("out")); err != nil {
					return err
				}
				return p.submitCPU(c.Context, api.KindSHA256, t, t.Output == "", o)
			},
		},
		examples: []example{
			{"weft cpu sha256 *.iso --wait", "digests, as sha256sum prints them"},
			{"weft cpu sha256 -r /data --out SHA256SUMS -f", "a tree, watched until it ends"},
			{"weft cpu sha256 --check SHA256SUMS --wait", "is everything as it was?"},
			{"find /data -print0 | weft cpu sha256 --list - -0 --out SUMS", "names from a pipe"},
		},
		exits: cpuExits,
	}
}
