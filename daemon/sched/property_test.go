package sched

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weft/daemon/api"
)

func diffPlans(a, b Plan) string {
	if reflect.DeepEqual(a, b) { // much faster
		return ""
	}
	return cmp.Diff(a, b, cmp.AllowUnexported(Reason{}))
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func drawDevices(t *rapid.T) []Device {
	devices := []Device{{ID: "cpu", Kind: "cpu", Ready: true}}
	for i := range rapid.IntRange(0, 2).Draw(t, "gpus") {
		devices = append(devices, Device{ID: fmt.Sprint("gpu", i), Kind: "gpu", Ready: true})
	}
	devices = append(devices, Device{ID: KindPools, Kind: KindPools, Ready: true}) // there is one in every daemon
	for i := range devices {
		devices[i].MemoryBytes = int64(rapid.IntRange(30, 60).Draw(t, "memory"))
		devices[i].TakenBytes = int64(rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(t, "taken"))
		devices[i].MemoryBytes += devices[i].TakenBytes // it stays taken, and all jobs are to end
		devices[i].Slots = rapid.IntRange(1, 6).Draw(t, "slots")
	}
	return devices
}

func drawJob(t *rapid.T, n int) Job {
	job := Job{
		Owner:       rapid.SampledFrom([]string{"ada", "bob", "cy"}).Draw(t, "owner"),
		Priority:    rapid.SampledFrom([]int{0, 0, 0, 1, 5, -1}).Draw(t, "priority"),
		MemoryBytes: int64(rapid.IntRange(0, 20).Draw(t, "bytes")),
		GPUBytes:    int64(rapid.IntRange(0, 20).Draw(t, "gpu bytes")),
		WantDevice:  rapid.SampledFrom([]string{"auto", "", "cpu", "cpu", KindPools}).Draw(t, "device"),
		Alone:       rapid.IntRange(0, 19).Draw(t, "alone") == 0,
	}
	if job.Alone {
		job.Ward = int64(rapid.IntRange(0, 2).Draw(t, "ward"))
	}
	if hash := rapid.IntRange(0, 3).Draw(t, "data"); hash > 0 {
		job.DataHash, job.DataBytes = fmt.Sprint("d", hash), int64(hash*3)
	}
	if n > 0 && rapid.IntRange(0, 4).Draw(t, "depends") == 0 {
		job.After = []int64{int64(rapid.IntRange(1, n).Draw(t, "after"))}
	}
	if rapid.IntRange(0, 9).Draw(t, "later") == 0 {
		job.At = noon.Add(seconds(rapid.IntRange(0, 100).Draw(t, "at")))
	}
	return job
}

// TestRandomTraces holds every plan of random traces to the rules, and sees
// to it that every job ends, within the time that all work takes one after
// the other, and the patience that each job may cost.
func TestRandomTraces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(drawDevices(t), Owner{Name: "bob", Weight: 2}, Owner{Name: "cy", Seconds: 50})
		bound := seconds(100)
		for n := range rapid.IntRange(1, 40).Draw(t, "jobs") {
			work := time.Duration(rapid.IntRange(1, 20_000).Draw(t, "work")) * time.Millisecond
			arrive := noon.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "arrive")) * time.Millisecond)
			s.add(drawJob(t, n), arrive, work)
			bound += work + Patience + stopTime
		}
		if err := s.run(noon.Add(bound)); err != nil {
			t.Fatal(err)
		}
		for _, id := range s.ids {
			if j := s.jobs[id]; j.state != api.Succeeded {
				t.Fatalf("job %d is %s after %s", id, j.state, bound)
			}
		}
	})
}

// TestNoStarvation sends small jobs without end past one that needs most of a
// device, or all of it. Once every job before it has started, it starts when
// its patience and the longest of those that passed it are over.
func TestNoStarvation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const longest = 8
		s := newSimulation([]Device{{ID: "cpu", Kind: "cpu", Ready: true, MemoryBytes: 64, Slots: 16}})
		arrive := noon.Add(seconds(rapid.IntRange(0, 20).Draw(t, "arrive")))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var big *simJob
		for at := noon; at.Before(noon.Add(seconds(90))); at = at.Add(time.Duration(r.IntN(1200)) * time.Millisecond) {
			if big == nil && !at.Before(arrive) {
				big = s.add(Job{Owner: "ada", MemoryBytes: int64(50 + r.IntN(15)), Alone: r.IntN(4) == 0}, at, seconds(5))
			}
			s.add(Job{Owner: "ada", MemoryBytes: int64(8 + r.IntN(8))}, at,
				time.Duration(1000+r.IntN(longest*1000-1000))*time.Millisecond)
		}
		if err := s.run(noon.Add(seconds(120))); err != nil {
			t.Fatal(err)
		}
		if big.first.IsZero() {
			t.Fatal("the large job never started")
		}
		first, passed := big.arrive, 0
		for _, id := range s.ids {
			j := s.jobs[id]
			if id < big.ID && j.first.After(first) {
				first = j.first
			}
			if id > big.ID && !j.first.IsZero() && j.first.Before(big.first) {
				passed++
			}
		}
		if waited := big.first.Sub(first); waited > Patience+seconds(longest) {
			t.Fatalf("the large job waited %s, passed by %d", waited, passed)
		}
	})
}

// TestFairShares gives owners more work than there is time for, in jobs of
// different lengths and numbers, and compares what they got.
func TestFairShares(t *testing.T) {
	for name, owners := range map[string][]Owner{
		"equal":    {{Name: "ada"}, {Name: "bob"}, {Name: "cy"}},
		"weighted": {{Name: "ada", Weight: 1}, {Name: "bob", Weight: 2}, {Name: "cy", Weight: 5}},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				s := newSimulation([]Device{{ID: "cpu", Kind: "cpu", Ready: true, MemoryBytes: 64, Slots: 6},
					{ID: "gpu0", Kind: "gpu", Ready: true, MemoryBytes: 64, Slots: 4}}, owners...)
				s.check = func(Snapshot, Plan) error { return nil } // the other tests do
				r := rand.New(rand.NewPCG(seed, 0))
				// Keep 15 jobs waiting; ada's are the longest, cy's the largest.
				for end := noon; end.Before(noon.Add(time.Hour)); end = end.Add(seconds(10)) {
					waiting := map[string]int{}
					for _, id := range s.live {
						if j := s.jobs[id]; j.state == api.Queued {
							waiting[j.Owner]++
						}
					}
					for i, o := range owners {
						for range 15 - waiting[o.Name] {
							bytes := int64(1 + r.IntN(2+4*i))
							s.add(Job{Owner: o.Name, MemoryBytes: bytes, GPUBytes: bytes}, s.now,
								time.Duration(1+r.IntN(30_000/(i+1)))*time.Millisecond)
						}
					}
					if err := s.run(end); err != nil {
						t.Fatal(err)
					}
				}
				fairShare(t, s, owners)
			})
		}
	}
}

func fairShare(t *testing.T, s *simulation, owners []Owner) {
	total, weights := 0.0, 0.0
	for _, o := range owners {
		total += s.owners[o.Name].Seconds
		weights += max(o.Weight, 1)
	}
	for _, o := range owners {
		fair := total * max(o.Weight, 1) / weights
		if got := s.owners[o.Name].Seconds; got < 0.95*fair || got > 1.05*fair {
			t.Errorf("%s has %.0f s, its share is %.0f s", o.Name, got, fair)
		}
	}
}
