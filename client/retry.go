package client

import "weft/daemon/api"

func (p *program) retryVerb() verb {
	return p.actVerb(act{
		verb: "retry", states: []api.State{api.Failed, api.Cancelled}, do: action(api.ActionRetry),
		done: func(j *api.Job) string { return "starts again, " + string(j.State) },
	},
		"start ended jobs again from their beginning",
		`Queues jobs that have ended once more, under the same id, from their
beginning. Its earlier metrics are replaced. With --label or --all it retries
failed and cancelled jobs; a succeeded job must be named by its id.`,
		"every failed or cancelled job",
		[]example{
			{"weft retry 12", "one job"},
			{"weft retry --label sweep=digits-mlp", "what failed of a sweep"},
		})
}
