package client

import (
	"slices"
	"strings"
)

// noFigure stands where the sensors told nothing.
const noFigure = "-"

func (a *armUse) utilizationText() string {
	if a.Utilization == nil {
		return noFigure
	}
	return percentText(a.Utilization.Median)
}

// energyText is the median run's energy, divided.
func (a *armUse) energyText(by float64) string {
	if a.EnergyJoules == nil || by <= 0 {
		return noFigure
	}
	return threeDigits(a.EnergyJoules.Median/by) + "J"
}

// A footLine stands under the tables: what it is of, and the text.
type footLine struct{ Name, Text string }

// unknownText says why there is no utilization or energy, where there is none.
func (r *shareResult) unknownText() []footLine {
	type who struct {
		name string
		use  *armUse
		runs []*deviceUse
	}
	var all []who
	for i := range r.Arms {
		a := &r.Arms[i]
		w := who{a.Arm, &a.armUse, nil}
		for k := range a.Runs {
			w.runs = append(w.runs, &a.Runs[k].deviceUse)
		}
		all = append(all, w)
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		w := who{p.Peer, &p.armUse, nil}
		for k := range p.Runs {
			w.runs = append(w.runs, &p.Runs[k].deviceUse)
		}
		if len(w.runs) > 0 {
			all = append(all, w)
		}
	}
	var out []footLine
	tell := func(what string, known func(*armUse) bool, why func(*deviceUse) string) {
		var reasons []string
		names := map[string][]string{}
		for _, w := range all {
			if known(w.use) {
				continue
			}
			reason := firstOf(why(w.runs[0]), "not recorded")
			if !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
			names[reason] = append(names[reason], w.name)
		}
		for _, reason := range reasons {
			of := ""
			if len(names[reason]) < len(all) {
				of = " of " + strings.Join(names[reason], ", ")
			}
			out = append(out, footLine{what, "not known" + of + ": " + reason})
		}
	}
	tell("util", func(u *armUse) bool { return u.Utilization != nil }, func(u *deviceUse) string { return u.UtilizationReason })
	tell("energy", func(u *armUse) bool { return u.EnergyJoules != nil }, func(u *deviceUse) string { return u.EnergyReason })
	return out
}
