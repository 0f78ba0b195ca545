package sched

import (
	"slices"
	"testing"
)

// Every kind of reason counts as one of Classes, and each of those is used.
func TestReasonsHaveClasses(t *testing.T) {
	used := map[string]bool{}
	for kind := held; kind <= behind; kind++ {
		class := Reason{kind: kind}.Class()
		if !slices.Contains(Classes, class) {
			t.Errorf("reason %d counts as %q", kind, class)
		}
		used[class] = true
	}
	if len(used) != len(Classes) {
		t.Errorf("%d of %d classes are used", len(used), len(Classes))
	}
}
