package main

import (
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	r := &result{Benchmark: "pools", Date: "2026-03-01T12:00:00Z", Rounds: 3, file: "pools.json", Cases: []cell{
		{Case: "primes-64", Items: 10,
			Arms:  []arm{{Arm: "goroutine-2", Workers: 2, Wall: spread{0.5, 0.4, 0.6}, Items: spread{Median: 20}, Speedup: spread{Median: 2}, Peak: spread{Median: 64e6}}},
			Peers: []arm{{Peer: "python-processes", Workers: 2, Wall: spread{12.5, 12, 13}, Items: spread{Median: 0.8}, Speedup: spread{Median: 0.08}}}},
		{Case: "fetch-limited", Skipped: "no server"},
	}}
	r.Machine.CPU, r.Machine.Cores, r.Weft.Go = "Some  CPU", 2, "go1.26"
	got, err := fill("a\n<!-- pools: primes-64 -->\nold\n<!-- end -->\nb <!-- pools: machine -->\n<!-- end -->\n", r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a\n<!-- pools: primes-64 -->\n| who |", "| goroutine | 2 | 500 ms | 400 ms-600 ms | 20 | 2.00x | 64 MB |\n",
		"| python-processes | 2 | 12.5 s |", "|\n<!-- end -->\nb <!--", "Some CPU, 2 cores, go1.26, 2026-03-01; medians of 3 rounds"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("the old table is still there")
	}
	for _, name := range []string{"fetch-limited", "nothing"} {
		if _, err := fill("<!-- pools: "+name+" -->\n<!-- end -->", r); err == nil {
			t.Errorf("%s: a table out of nothing", name)
		}
	}
}
