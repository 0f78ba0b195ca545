package advise

import (
	"fmt"
	"slices"

	"weft/cpuwork"
)

// Policy, beside the model.
const (
	alike = 1.05 // predictions that differ by less count as equal
	fewer = 1.02 // more workers must bring more than this
	// spare is how much faster than its rate a pool should be able to be, so that a
	// slow moment is caught up with.
	spare = 2

	processesPerCore = 4
	leastInFlight    = 8    // of an event pool: some that are slow to be answered do not hold up the others
	mostInFlight     = 4096 // what a job takes for --workers
)

// Advice is which pool suits a workload.
type Advice struct {
	Chosen       int          `json:"chosen"`       // in Alternatives
	Alternatives []Prediction `json:"alternatives"` // each pool once, in the order of [cpuwork.Kinds]
	Why          string       `json:"why"`          // two sentences
	Notes        []string     `json:"notes,omitempty"`
}

// Choice is the alternative that is advised.
func (a *Advice) Choice() *Prediction { return &a.Alternatives[a.Chosen] }

// Pools says which pool suits the workload on the machine.
func Pools(m *Machine, w *Workload) (*Advice, error) {
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("advise for this machine: %w", err)
	}
	if err := w.Check(); err != nil {
		return nil, fmt.Errorf("advise for this workload: %w", err)
	}
	a := &Advice{}
	for _, kind := range cpuwork.Kinds {
		p := m.best(w, kind)
		if w.Isolation != None && kind != cpuwork.Process {
			p.Refused = fmt.Sprintf("isolation %s: what an item does to its process is done to all", w.Isolation)
		}
		a.Alternatives = append(a.Alternatives, p)
	}
	a.Chosen = w.choose(a.Alternatives)
	a.Why = m.why(w, a)
	a.Notes = m.notes(w, a)
	return a, nil
}

// best is the pool with the fewest workers that are about as fast as any number.
func (m *Machine) best(w *Workload, kind cpuwork.Kind) Prediction {
	var all []Prediction
	for _, workers := range m.counts(w, kind) {
		all = append(all, m.Predict(w, kind, workers))
	}
	fastest := slices.MinFunc(all, func(a, b Prediction) int { return compare(w.cost(&a), w.cost(&b)) })
	for i := range all {
		if w.cost(&all[i]) <= fewer*w.cost(&fastest) {
			return all[i]
		}
	}
	return fastest
}

// counts are the numbers of workers that are considered, rising.
func (m *Machine) counts(w *Workload, kind cpuwork.Kind) []int {
	most := 1
	switch kind {
	case cpuwork.Sequential:
	case cpuwork.Goroutine:
		most = m.Cores
	case cpuwork.Process:
		most = m.Cores
		if w.waits() {
			most *= processesPerCore
		}
	default:
		most = mostInFlight
	}
	if w.MemoryPerItem > 0 && m.Memory > 0 {
		most = int(min(int64(most), max(1, m.Memory/w.MemoryPerItem)))
	}
	most = int(min(int64(most), w.Items, mostInFlight))
	if w.InFlight > 0 {
		most = min(most, w.InFlight)
	}
	least := 1
	if kind == cpuwork.Event {
		least = min(leastInFlight, most)
	}
	var counts []int
	for n := least; n < most; n *= 2 {
		counts = append(counts, n)
	}
	if least < m.Cores && m.Cores < most && !slices.Contains(counts, m.Cores) {
		counts = append(counts, m.Cores)
		slices.Sort(counts)
	}
	return append(counts, most)
}

// cost is what alternatives are compared by: the time or, with a rate, the time
// that would still keep up with it.
func (w *Workload) cost(p *Prediction) float64 {
	if w.Rate == 0 {
		return p.Seconds
	}
	return max(p.Seconds, p.once+spare*p.work)
}

// choose returns the index of the alternative to take: of those that take about as
// long as the fastest, the simplest. An event pool is for items that wait.
func (w *Workload) choose(all []Prediction) int {
	order := []cpuwork.Kind{cpuwork.Sequential, cpuwork.Goroutine, cpuwork.Process}
	if w.waits() && w.Items > 1 {
		order = []cpuwork.Kind{cpuwork.Event, cpuwork.Goroutine, cpuwork.Sequential, cpuwork.Process}
	}
	suits := func(p Prediction) bool { return p.Refused == "" && slices.Contains(order, p.Pool) }
	best := -1.0
	for i := range all {
		if c := w.cost(&all[i]); suits(all[i]) && (best < 0 || c < best) {
			best = c
		}
	}
	for _, kind := range order {
		for i := range all {
			if all[i].Pool == kind && suits(all[i]) && w.cost(&all[i]) <= alike*best {
				return i
			}
		}
	}
	return slices.IndexFunc(all, suits) // not reached: the best is one of them
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
