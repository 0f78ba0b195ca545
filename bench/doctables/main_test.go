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

func TestFillShare(t *testing.T) {
	r := &result{Benchmark: "share", file: "share.json", Arms: []arm{{Arm: "sequential", Wall: spread{3, 3, 3}, Steps: spread{Median: 29663.5}},
		{Arm: "auto", Wall: spread{1.5, 1.4, 1.6}, Speedup: spread{Median: 1.86}, Utilization: &spread{Median: 0.97}}},
		Peers: []arm{{Peer: "torch-eager", Wall: spread{36, 35, 37}, Speedup: spread{Median: 0.08}}, {Peer: "torch-mps", Skipped: "no GPU"}}}
	r.Load.Name = "lab"
	const pools = "<!-- pools: handoff -->\nkept\n<!-- end -->\n"
	got, err := fill(pools+"<!-- share: lab -->\n<!-- end -->\n", r)
	want := pools + "<!-- share: lab -->\n| who | time | min-max | steps/s | speedup | utilization |\n|---|--:|--:|--:|--:|--:|\n" +
		"| sequential | 3 s | 3 s-3 s | 29664 | 1.00x | - |\n| auto | 1.5 s | 1.4 s-1.6 s | 0 | 1.86x | 97 % |\n" +
		"| torch-eager | 36 s | 35 s-37 s | 0 | 0.08x | - |\n<!-- end -->\n"
	if err != nil || got != want {
		t.Errorf("%v:\n%s", err, got)
	}
	if _, err := fill("<!-- share: tiny -->\n<!-- end -->", r); err == nil {
		t.Error("a table of another load")
	}
}
