package gpu

import (
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestActivityCountsQuanta(t *testing.T) {
	p := page()
	for _, took := range []time.Duration{time.Microsecond, quantumBound, quantumBound + 1, 3 * time.Millisecond, time.Hour} {
		p.count(took, took/2)
	}
	p.clear() // a new worker's page keeps them
	a := newActivity()
	a.add(p.counters())
	want := make([]uint64, quantumBounds+1)
	want[0], want[1], want[6], want[quantumBounds] = 2, 1, 1, 1
	if !slices.Equal(a.Quanta.Counts, want) {
		t.Errorf("counts %v, want %v", a.Quanta.Counts, want)
	}
	sum := (time.Hour + 3*time.Millisecond + 2*quantumBound + time.Microsecond + 1).Seconds()
	if math.Abs(a.Quanta.Sum-sum) > 1e-6 || math.Abs(a.BusySeconds-sum/2) > 1e-6 {
		t.Errorf("%v s of quanta, %v s busy; want %v s, half of it busy", a.Quanta.Sum, a.BusySeconds, sum)
	}
	var past, after Activity = newActivity(), newActivity()
	p.takeCounters(&past)
	after.add(p.counters())
	if !slices.Equal(past.Quanta.Counts, want) || after.BusySeconds != 0 || after.Quanta.Sum != 0 ||
		slices.Max(after.Quanta.Counts) != 0 {
		t.Errorf("taken: %+v; left: %+v", past, after)
	}
}

func TestActivityNamesGangs(t *testing.T) {
	p := page()
	p.begin(3, 7)
	if got := p.gangs(false); len(got) != 1 || got[0].Lane != 3 || !slices.Equal(got[0].Jobs, []int64{7}) || !got[0].Working {
		t.Errorf("a lane at work on one job: %+v", got)
	}
	for _, job := range []int64{13, 11} {
		p.sit(5, job)
	}
	p.sit(2, 20)
	p.begin(5, wholeGang)
	got := p.gangs(true) // lane 3 is a preparer's
	if len(got) != 2 || got[0].Lane != 2 || got[0].Working || got[1].Lane != 5 || !got[1].Working ||
		!slices.Equal(got[1].Jobs, []int64{11, 13}) {
		t.Errorf("gangs: %+v", got)
	}
}

// What jobs are charged adds up to the time in which lanes were at work, over
// the lives of the worker.
func TestChargesAddUp(t *testing.T) {
	d, l := openHost(t, HostConfig{Threads: 1}), openLoader(t)
	charged, cpu := 0.0, 0.0
	spent := func(s Spent) {
		charged += s.DeviceSeconds
		cpu += s.CPUSeconds
	}
	for life := range 2 {
		for job := range int64(3) {
			start(t, d, l, job+1, parse(t, fmt.Sprintf(digitsSpec, 40*(job+1), "30s")), t.TempDir())
		}
		for range 3 {
			spent(await(t, d, "end", is[Finished]).(Finished).Spent)
		}
		if life == 0 {
			if err := syscall.Kill(d.Info().PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			await(t, d, "up", is[Up])
		}
	}
	a := d.Activity()
	if a.BusySeconds <= 0 || math.Abs(charged/a.BusySeconds-1) > 0.001 {
		t.Errorf("jobs were charged %.4f s of %.4f s", charged, a.BusySeconds)
	}
	if cpu <= 0 || cpu > charged*1.05 {
		t.Errorf("%.4f s of processor time in %.4f s on one lane", cpu, charged)
	}
	if got := a.Quanta.Sum; math.Abs(got-a.BusySeconds) > 1e-6 {
		t.Errorf("quanta took %v s, the lane %v s", got, a.BusySeconds)
	}
	go func() {
		for range d.Events() { // Kill waits for its events to be read
		}
	}()
	d.Kill()
	if after := d.Activity(); after.BusySeconds != a.BusySeconds || len(after.Gangs) > 0 {
		t.Errorf("after its end: %+v, before: %+v", after, a)
	}
}
