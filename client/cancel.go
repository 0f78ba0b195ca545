package client

import "weft/daemon/api"

func (p *program) cancelVerb() verb {
	return p.actVerb(act{
		verb: "cancel", states: activeStates, do: action(api.ActionCancel),
		done: became(api.Cancelled, "cancelled", "is being cancelled"),
	},
		"end jobs",
		`Ends queued, running and paused jobs. A running job leaves its device within
milliseconds; its metrics stay, its model is not written. weft retry starts a
cancelled job again from its beginning.`,
		"every job that has not ended",
		[]example{
			{"weft cancel 12 14", "two jobs"},
			{"weft cancel 20-29", "ten jobs"},
			{"weft cancel --label sweep=digits-mlp", "what is left of a sweep"},
		})
}
