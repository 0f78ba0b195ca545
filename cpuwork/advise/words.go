package advise

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"weft/cpuwork"
)

// why says in two sentences why the choice is what it is: what its time comes
// from, and what another would come to.
func (m *Machine) why(w *Workload, a *Advice) string {
	return m.whyBound(w, a) + " " + m.whyNot(w, a)
}

func (m *Machine) whyBound(w *Workload, a *Advice) string {
	c := a.Choice()
	items := plural(w.Items, "item")
	cpu := w.cpuIn(c.Pool)
	switch c.Bound {
	case ByRate:
		return fmt.Sprintf("%s at %s a second take %s however they are run, and %s %s enough to keep up, as an item takes %s.",
			items, number(w.Rate), duration(float64(w.Items)/w.Rate), inFlight(c), areIs(c.Workers), duration(cpu+w.IO))
	case ByFarEnd:
		return fmt.Sprintf("The other side takes %s for an item whatever is asked of it at once, so %s take %s, and %s keep it busy.",
			duration(w.FarEnd), items, duration(c.Seconds), inFlight(c))
	case ByOrder:
		return fmt.Sprintf("An item's own work of %s is less than the %s that reading it and writing its result take, which is done in order, so %s take %s.",
			duration(cpu), duration(m.Order(w, c.Pool)), items, duration(c.Seconds))
	case ByMemory:
		return fmt.Sprintf("%s of data take memory %s to deliver, longer than the cores need for the work.",
			humanize.IBytes(uint64(float64(w.Items)*float64(w.Bytes))), duration(c.work))
	case ByStart:
		return fmt.Sprintf("All of the work is %s, less than a job takes to be opened and closed.", duration(c.Seconds-c.once))
	}
	if w.waits() && w.Server > w.IO/2 {
		return fmt.Sprintf("An item takes %s of processor time here and %s of its server's, which has the same %s, so %s at the same time bring %s down from %s to %s.",
			duration(cpu), duration(w.Server), plural(int64(m.Cores), "core"), inFlight(c), items, duration(a.sequential()), duration(c.Seconds))
	}
	if w.waits() {
		return fmt.Sprintf("An item waits for %s and computes for %s, so %s at the same time bring %s down from %s to %s.",
			duration(w.IO), duration(cpu), inFlight(c), items, duration(a.sequential()), duration(c.Seconds))
	}
	if c.Workers == 1 {
		return fmt.Sprintf("%s of %s of processor time each take %s, and more workers would not make that less.", items, duration(cpu), duration(c.Seconds))
	}
	return fmt.Sprintf("%s of %s of processor time each are %s of work, which %s divide among %s: %s times as fast as one after the other.",
		items, duration(cpu), duration(float64(w.Items)*cpu), inFlight(c), plural(int64(m.Cores), "core"), ratio(a.sequential()/c.Seconds))
}

// sequential is what doing one after the other would take.
func (a *Advice) sequential() float64 {
	for i := range a.Alternatives {
		if a.Alternatives[i].Pool == cpuwork.Sequential {
			return a.Alternatives[i].Seconds
		}
	}
	return math.NaN()
}

// whyNot compares the choice with what somebody might have taken instead.
func (m *Machine) whyNot(w *Workload, a *Advice) string {
	c := a.Choice()
	switch {
	case w.Isolation == Crash:
		return "An item that crashes, leaks or hangs costs its worker process, which is replaced, and in any other pool it would cost all of them."
	case w.Isolation == Hostile:
		return "What an item does to its worker process ends there, one item at a time, though a process that was taken over still has your rights: run weft as a user that has few."
	}
	other := cpuwork.Process
	switch c.Pool {
	case cpuwork.Event:
		other = cpuwork.Goroutine
	case cpuwork.Sequential:
		other = cpuwork.Goroutine
	case cpuwork.Process:
		other = cpuwork.Goroutine
	}
	var p *Prediction
	for i := range a.Alternatives {
		if a.Alternatives[i].Pool == other {
			p = &a.Alternatives[i]
		}
	}
	than, longer := "as long", false
	if r := p.Seconds / c.Seconds; r > alike {
		than, longer = ratio(r)+" times as long", true
	}
	switch other {
	case cpuwork.Process:
		cost := fmt.Sprintf("starting one costs %s and an item %s", duration(m.Spawn), duration(m.handing(w)))
		return fmt.Sprintf("Worker processes would take %s (%s) and pay only for items that may crash, leak or hang.", than, cost)
	default:
		if c.Pool == cpuwork.Event && !longer {
			return fmt.Sprintf("One goroutine a core would take %s, but would sit idle when its item is slow to be answered.", than)
		}
		if c.Pool == cpuwork.Event {
			return fmt.Sprintf("One goroutine a core would take %s, as it sits idle while its item waits.", than)
		}
		return fmt.Sprintf("Goroutines, one a core, would take %s, so there is nothing to gain from them.", than)
	}
}

// handing is what handing an item to a worker process adds to it.
func (m *Machine) handing(w *Workload) float64 {
	return max(0, m.Process-m.Sequential) + m.RoundTrip/float64(w.chunkOf(cpuwork.Process)) + float64(w.Bytes)/m.CopyRate
}

// notes say what the prediction leaves out.
func (m *Machine) notes(w *Workload, a *Advice) []string {
	var notes []string
	if w.First {
		notes = append(notes, "it ends at the first success: these are the longest times it can take")
	}
	if w.Bytes > cpuwork.DefaultMemory {
		notes = append(notes, fmt.Sprintf("an item of %s is more than the %s that a pool has in memory at once: hand over paths and read in the worker",
			humanize.IBytes(uint64(w.Bytes)), humanize.IBytes(cpuwork.DefaultMemory)))
	}
	c := a.Choice()
	if need := int64(c.Workers) * w.MemoryPerItem; m.Memory > 0 && need > m.Memory {
		notes = append(notes, fmt.Sprintf("one item's %s is more than the %s that are free", humanize.IBytes(uint64(w.MemoryPerItem)),
			humanize.IBytes(uint64(m.Memory))))
	} else if need > 0 && m.Memory > 0 && int64(m.Cores)*w.MemoryPerItem > m.Memory && c.Workers < m.Cores {
		notes = append(notes, fmt.Sprintf("memory allows no more workers: %s of %s for each", humanize.IBytes(uint64(m.Memory)),
			humanize.IBytes(uint64(w.MemoryPerItem))))
	}
	if w.CPU == 0 && w.IO == 0 && w.Rate == 0 {
		notes = append(notes, "nothing is known of the items' own time: only what pools add is predicted")
	}
	return notes
}

// inFlight names workers as a pool's people would.
func inFlight(c *Prediction) string {
	n := int64(c.Workers)
	switch c.Pool {
	case cpuwork.Event:
		return humanize.Comma(n) + " in flight"
	case cpuwork.Process:
		if n == 1 {
			return "one process"
		}
		return humanize.Comma(n) + " processes"
	case cpuwork.Goroutine:
		return plural(n, "goroutine")
	default:
		return "one after the other"
	}
}

func areIs(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "one " + noun
	}
	return humanize.Comma(n) + " " + noun + "s"
}

// duration writes seconds with two digits that matter: 12 µs, 1.9 ms, 3.4 s, 2 min.
func duration(s float64) string {
	for _, u := range []struct {
		least, unit float64
		name        string
	}{{3600, 3600, " h"}, {120, 60, " min"}, {1, 1, " s"}, {1e-3, 1e-3, " ms"}, {1e-6, 1e-6, " µs"}} {
		if s >= u.least {
			return number(s/u.unit) + u.name
		}
	}
	return number(s*1e9) + " ns"
}

// number writes two digits that matter, and all before the point.
func number(v float64) string {
	switch {
	case v >= 1000:
		return humanize.Comma(int64(math.Round(v)))
	case v >= 9.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

func ratio(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
