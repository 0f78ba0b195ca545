package nearest

import (
	"testing"

	"pgregory.net/rapid"
)

func TestName(t *testing.T) {
	names := []string{"ls", "logs", "cancel", "priority", "completion", "batch_size"}
	for in, want := range map[string]string{
		"lss": "ls", "log": "logs", "cancle": "cancel", "prioritiy": "priority", "compl": "completion",
		"batchsize": "batch_size", "LS": "ls", "xyzzy": "", "": "", "x": "",
	} {
		if got := Name(in, names); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDistanceIsAMetricOfSorts(t *testing.T) {
	word := rapid.StringMatching(`[a-c]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := Distance(a, b)
		if d != Distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < len(a)-len(b) {
			t.Fatalf("Distance(%q, %q) = %d, the other way %d", a, b, d, Distance(b, a))
		}
	})
}
