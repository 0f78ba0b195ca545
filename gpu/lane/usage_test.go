package lane

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The charges of all lanes add up to the time in which any lane ran.
func TestUsageAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u usage
		now := time.Unix(1000, 0)
		running := map[int]use{}
		var busy, charged float64
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			step := time.Duration(rapid.IntRange(0, 1000).Draw(t, "µs")) * time.Microsecond
			if len(running) > 0 {
				busy += step.Seconds()
			}
			now = now.Add(step)
			lane := rapid.IntRange(0, 4).Draw(t, "lane")
			if from, ok := running[lane]; ok {
				charged += now.Sub(from.at).Seconds() * u.end(from, now)
				delete(running, lane)
			} else {
				running[lane] = u.begin(now)
			}
		}
		for _, from := range running {
			charged += now.Sub(from.at).Seconds() * u.end(from, now)
		}
		if math.Abs(charged-busy) > 1e-6 {
			t.Fatalf("charged %v s, the device was busy for %v s", charged, busy)
		}
	})
}

func TestUsageAlone(t *testing.T) {
	var u usage
	now := time.Unix(1000, 0)
	from := u.begin(now)
	if part := u.end(from, now.Add(time.Millisecond)); part != 1 {
		t.Errorf("a lane alone is charged %v of its time", part)
	}
}
