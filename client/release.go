package client

import "weft/daemon/api"

func (p *program) releaseVerb() verb {
	return p.actVerb(act{
		verb: "release", states: []api.State{api.Queued, api.Paused}, keep: func(j *api.Job) bool { return j.Held },
		do: action(api.ActionRelease), done: func(*api.Job) string { return "released" },
	},
		"let held jobs start",
		`Takes back weft hold, or the --hold a job was submitted with.`,
		"every held job",
		[]example{
			{"weft release 12", "one job"},
			{"weft release --all", "all that are held"},
		})
}
