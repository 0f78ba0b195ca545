package client

import (
	"context"

	"weft/daemon/api"
)

func (p *program) rmVerb() verb {
	v := p.actVerb(act{
		verb: "rm", states: finalStates,
		do: func(ctx context.Context, c *api.Client, id int64) (*api.Job, error) {
			return &api.Job{ID: id}, c.Delete(ctx, id)
		},
		done: func(*api.Job) string { return "removed" },
	},
		"forget ended jobs, with their models and metrics",
		`Removes jobs that have ended: their models, checkpoints, metrics and history.
There is no way back; weft model copies a model out first. A job that has not
ended must be cancelled before.`,
		"every job that has ended",
		[]example{
			{"weft rm 12", "one job"},
			{"weft rm --label sweep=digits-mlp", "a sweep"},
		})
	v.outputs = []string{outTable, outID} // nothing else is left of them
	return v
}
