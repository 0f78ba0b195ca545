package sched

import (
	"fmt"
	"testing"
	"time"

	"weft/daemon/api"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// crowd is 10,000 queued jobs of 10 owners at 3 priorities before 2 devices.
func crowd(busy bool) Snapshot {
	s := Snapshot{Now: noon, Owners: map[string]Owner{}, States: map[int64]api.State{1: api.Succeeded}}
	for i := range 10_000 {
		job := Job{ID: int64(100_000 + i), Owner: fmt.Sprint("owner", i%10), Priority: i % 3,
			MemoryBytes: int64(1+i%50) << 20, GPUBytes: int64(1+i%50) << 20,
			DataBytes: 64 << 20, DataHash: fmt.Sprint("data", i%20), Submitted: noon, Queued: noon}
		if i%5 == 0 {
			job.WantDevice = "gpu"
		}
		if i%100 == 0 {
			job.After = []int64{1}
		}
		s.Queue = append(s.Queue, job)
	}
	for i, kind := range []string{"cpu", "gpu"} {
		d := Device{ID: kind, Kind: kind, Ready: true, MemoryBytes: 64 << 30, Slots: 1000}
		for k := range 1000 {
			if busy {
				d.Running = append(d.Running, Running{Job: int64(i*1000 + k + 1), Owner: fmt.Sprint("owner", k%10), Priority: 2,
					MemoryBytes: 10 << 20, DataBytes: 64 << 20, DataHash: fmt.Sprint("data", k%20), Since: noon})
			}
		}
		s.Devices = append(s.Devices, d)
	}
	return s
}

// crowds are the ways in which 10,000 jobs can be hard to plan.
func crowds() map[string]Snapshot {
	preempting, short, owners := crowd(true), crowd(true), crowd(true)
	for i := range preempting.Devices {
		for k := range preempting.Devices[i].Running {
			preempting.Devices[i].Running[k].Priority = -1
		}
	}
	for i := range short.Devices { // slots for all, memory for none
		short.Devices[i].Slots, short.Devices[i].MemoryBytes = 100_000, 1000*10<<20+20*64<<20
	}
	for i := range owners.Queue {
		owners.Queue[i].Owner = fmt.Sprint("owner", i)
	}
	return map[string]Snapshot{"full": crowd(true), "empty": crowd(false), "preempting": preempting,
		"short of memory": short, "owner each": owners}
}

// BenchmarkSchedule is one plan for 10,000 queued jobs. An empty pair of
// devices takes 2,000 of them, a preempting plan moves 2,000 away.
func BenchmarkSchedule(b *testing.B) {
	for name, s := range crowds() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if plan := Schedule(s); len(plan.Start)+len(plan.Reasons) != len(s.Queue) {
					b.Fatal(len(plan.Start), len(plan.Reasons))
				}
			}
		})
	}
}
