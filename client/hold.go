package client

import "weft/daemon/api"

func (p *program) holdVerb() verb {
	return p.actVerb(act{
		verb: "hold", states: []api.State{api.Queued}, keep: func(j *api.Job) bool { return !j.Held },
		do: action(api.ActionHold), done: func(*api.Job) string { return "held" },
	},
		"keep queued jobs from starting",
		`Held jobs keep their place in the queue and do not start until weft release.
weft train --hold submits a job so.`,
		"every queued job",
		[]example{
			{"weft hold 12", "one job"},
			{"weft hold --label sweep=b", "a sweep that can wait"},
		})
}
