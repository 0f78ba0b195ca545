package client

import "weft/daemon/api"

func (p *program) resumeVerb() verb {
	return p.actVerb(act{
		verb: "resume", states: []api.State{api.Paused}, do: action(api.ActionResume),
		done: func(j *api.Job) string { return "resumed, " + string(j.State) },
	},
		"let paused jobs go on from their checkpoints",
		`Puts paused jobs back into the queue. They go on from their checkpoints, with
the same bits as if they had never stopped.`,
		"every paused job",
		[]example{
			{"weft resume 12", "one job"},
			{"weft resume --all", "all that are paused"},
		})
}
