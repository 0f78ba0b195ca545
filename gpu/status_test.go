package gpu

import (
	"slices"
	"testing"
)

func page() statusPage { return newStatusPage(make([]byte, statusSize)) }

func TestStatusNamesJobsAtWork(t *testing.T) {
	p := page()
	if jobs, age := p.busy(); len(jobs) != 0 || age != 0 {
		t.Errorf("an idle page: %v, %d", jobs, age)
	}
	p.begin(3, 7)
	for _, job := range []int64{11, 12, 13} {
		p.sit(5, job)
	}
	p.sit(6, 20) // its lane is idle
	p.begin(5, wholeGang)
	jobs, age := p.busy()
	if slices.Sort(jobs); !slices.Equal(jobs, []int64{7, 11, 12, 13}) || age <= 0 {
		t.Errorf("at work: %v for %d ns", jobs, age)
	}
	p.clear()
	if jobs, _ := p.busy(); len(jobs) != 0 {
		t.Errorf("a cleared page: %v", jobs)
	}
}

func TestStatusSeatsAreUsedAgain(t *testing.T) {
	p := page()
	seats := map[int]bool{}
	for job := range int64(maxSeats) {
		seats[p.sit(0, job+1)] = true
	}
	if len(seats) != maxSeats || seats[-1] {
		t.Fatalf("%d seats", len(seats))
	}
	if seat := p.sit(0, 1); seat != -1 {
		t.Errorf("seat %d where there is none", seat)
	}
	p.rise(-1)
	p.rise(17)
	if seat := p.sit(9, 5); seat != 17 {
		t.Errorf("seat %d, not the free one", seat)
	}
	p.begin(9, wholeGang)
	if jobs, _ := p.busy(); !slices.Equal(jobs, []int64{5}) {
		t.Errorf("at work: %v", jobs)
	}
}

// The host marks every quantum, so it may cost nanoseconds only.
func BenchmarkStatus(b *testing.B) {
	p := page()
	for b.Loop() {
		p.begin(1, 42)
		p.end(1)
	}
}
