package client

import (
	"strings"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

// primesTask is what a job of kind primes does, as the daemon reads it.
type primesTask struct {
	Numbers []string   `json:"numbers,omitempty"`
	Files   *filesSpec `json:"files,omitempty"`
	First   bool       `json:"first,omitempty"`
	List    bool       `json:"list,omitempty"`
}

func (p *program) cpuPrimesVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "cpu primes", Category: groupSubmit, ArgsUsage: "NUMBER|FROM..TO…",
			Usage: "which numbers are prime, with certainty, up to 2^64",
			Description: `Decides numbers, given or from files with numbers between white space. A range
FROM..TO includes both ends and counts its primes; it is cut into spans of
131,072 numbers, an item each. With -f or --wait it ends with a table: the number,
the answer, the time.`,
			Flags: cpuFlags(
				&cli.StringSliceFlag{Name: "file", Usage: "`FILE` of numbers and ranges, - for the standard input; may be repeated"},
				&cli.BoolFlag{Name: "first", Usage: "end at the first prime that is found, whichever that is"},
				&cli.BoolFlag{Name: "each", Usage: "name each prime of a range, not only how many there are"},
			),
			Action: func(c *cli.Context) error {
				o, err := p.readCPU(c)
				if err != nil {
					return err
				}
				t, err := p.readPrimes(c)
				if err != nil {
					return err
				}
				return p.submitCPU(c.Context, api.KindPrimes, t, true, o)
			},
		},
		examples: []example{
			{"weft cpu primes 112272535095293 115280095190773 --wait", "the table of the textbooks"},
			{"weft cpu primes 1..1000000000 -f", "how many primes there are below a billion"},
			{"weft cpu primes --file numbers.txt --first --wait", "any prime among them"},
			{"weft cpu primes 9900000..9900100 --each --wait", "each prime between two numbers"},
		},
		exits: cpuExits,
	}
}

func (p *program) readPrimes(c *cli.Context) (primesTask, error) {
	t := primesTask{Numbers: c.Args().Slice(), First: c.Bool("first"), List: c.Bool("each")}
	var files []fileName
	for _, file := range c.StringSlice("file") {
		if file != "-" {
			files = append(files, fileName(file))
			continue
		}
		text, err := readAll(p.stdin, "--file FILE")
		if err != nil {
			return t, err
		}
		t.Numbers = append(t.Numbers, strings.Fields(text)...)
	}
	switch {
	case len(t.Numbers)+len(files) == 0:
		return t, usagef("weft cpu primes 97 1..1000", "weft cpu primes needs numbers")
	case t.First && t.List:
		return t, usagef("leave one of them out", "--first ends at one prime, --each names all")
	case len(files) == 0:
		return t, nil
	}
	dir, err := here()
	t.Files = &filesSpec{Dir: dir, Paths: files}
	return t, err
}
