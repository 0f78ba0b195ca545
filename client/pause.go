package client

import "weft/daemon/api"

func (p *program) pauseVerb() verb {
	return p.actVerb(act{
		verb: "pause", states: []api.State{api.Queued, api.Running}, do: action(api.ActionPause),
		done: became(api.Paused, "paused", "is being paused"),
	},
		"take jobs off their device, to go on later",
		`Running jobs write a checkpoint and give their memory back; queued jobs stay
out of the queue. weft resume lets them go on with the same bits as if they had
never stopped.`,
		"every queued or running job",
		[]example{
			{"weft pause 12", "one job"},
			{"weft pause --all", "free the device for a while"},
		})
}
