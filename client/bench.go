package client

import "github.com/urfave/cli/v2"

// benchVerb is the first word of the bench verbs; alone it says which there
// are.
func (p *program) benchVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "bench", Category: groupResult, ArgsUsage: "VERB",
			Usage: "measured comparisons: weft bench share, weft bench pools",
			Description: `Measures ways of doing the same work against each other, in turns, in one run:

  weft bench share     ways of sharing a device: one model after the other, streams, fused
  weft bench pools     ways of doing CPU work: pools, workers, and other programs
  weft bench history   the results so far
  weft bench plot      a plot of them`,
			Action: func(*cli.Context) error { return p.help("bench") },
		},
		examples: []example{{"weft bench", "this text; weft help bench pools for a verb's own"}},
	}
}
