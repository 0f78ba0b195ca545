package sched

import "testing"

// CPU jobs go to pools and nowhere else, and nothing else goes there.
func TestPoolsAreForCPUJobs(t *testing.T) {
	for _, kind := range []string{"cpu", "gpu", KindPools} {
		id := kind
		if kind == "gpu" {
			id = "gpu0"
		}
		for want, takes := range map[string]bool{KindPools: kind == KindPools, "auto": kind != KindPools, "": kind != KindPools,
			"cpu": kind == "cpu", "gpu": kind == "gpu", "gpu:0": kind == "gpu"} {
			if Wanted(want, id, kind) != takes {
				t.Errorf("a job that wants %q on %s: %t", want, id, !takes)
			}
		}
	}
}
