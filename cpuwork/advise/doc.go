// Package advise says which pool suits a workload, with how many workers, about
// how long each alternative would take on a machine, and why. For models to be
// trained it says which device, and how many of them at once.
//
//	advice, err := advise.Pools(&machine, &advise.Workload{Items: 10_000, Bytes: 1e6, CPU: 0.55e-3})
//	advice.Choice() // goroutine, 2 workers, about 2.8 s
//
// It is policy: a description and measured costs in, predictions and reasons out.
// It has no clock, does no I/O and draws no random numbers. Package measure finds
// the costs of a machine and of a workload.
//
// # The model
//
// A run takes what comes once (opening the job, starting processes), and then
// the longest of these, for n items and w workers on c cores:
//
//	workers   ceil(n/w) items after each other, each with its processor time and its waiting,
//	          or what that came to with so many in flight, if that was tried ([Level])
//	cores     n times all processor time of an item, over the cores that there are, with that
//	          of a server which has the same
//	order     n times what is done for each item in order: input, handing over, journal
//	rate      n over the rate
//	far end   n times what the other side takes for an item, however many ask
//	memory    n times an item's bytes, over what memory can move
//
// The first is greedy list scheduling of equal items (Graham 1969); that the
// longest counts and not the sum is the operational laws' bound (Lazowska et al.,
// Quantitative System Performance, 1984, chapter 5). Processor time counts as
// long as cores take for it when that many of them are busy ([Machine].Slowdown).
//
// Other programs are not in it: it is the time on a machine that is free.
//
// # The choice
//
// The fastest of the pools that the isolation allows. Those within 5 % of it
// count as equal: then the simplest is taken, or for work that mostly waits the
// one that waits best. With a rate, a pool should be able to be twice as fast. A pool has the fewest workers that reach its best time
// within 2 %; an event pool eight in flight at least. Goroutine pools have no more workers than cores, for what waits
// belongs into an event pool; process pools at most four times as many, for
// each is a process.
//
// # Imports
//
// Of weft, cpuwork only. Start reading at [Pools], then predict.go for the model.
package advise
