package cpuwork

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// mostMemory is what all processes of a pool together may take, in bytes.
const mostMemory = 200 << 20

// Megabytes stream through every pool in bounded memory, of this process and its
// workers together: each page counts once, however many processes map it.
func TestFootprint(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) { stream(t, kind, false, 2000) })
		t.Run(string(kind)+"/ordered", func(t *testing.T) { stream(t, kind, true, 200) })
	}
}

// BenchmarkFootprint is the same with 10,000 of them.
func BenchmarkFootprint(b *testing.B) {
	for _, kind := range Kinds {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				stream(b, kind, false, 10_000)
			}
		})
	}
}

func stream(t testing.TB, kind Kind, ordered bool, n int) {
	if raceEnabled { // which has a memory of its own
		n = 100
	}
	debug.FreeOSMemory()
	o := options(hash)
	o.Memory, o.Ordered = DefaultMemory, ordered
	p := open(t, kind, o)
	quit := make(chan struct{})
	var group sync.WaitGroup
	var most int64
	group.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				most = max(most, footprint())
			}
		}
	})
	source := make([]byte, 1e6)
	item := Item{Size: len(source), Fill: func(dst []byte) (int, error) { return copy(dst, source), nil }}
	s, err := p.Run(t.Context(), repeat(item, n), nothing)
	close(quit)
	group.Wait()
	most = max(most, footprint())
	if err != nil || s.OK != int64(n) {
		t.Fatal(s, err)
	}
	if most > mostMemory && !raceEnabled {
		t.Errorf("%d MB in memory", most>>20)
	}
	if b, ok := t.(*testing.B); ok {
		b.ReportMetric(float64(most)/1e6, "MB")
	}
	t.Logf("%d MB", most>>20)
	runtime.KeepAlive(source)
}

// footprint returns the memory of this process and its children, in bytes; a page
// that several share counts once in all.
func footprint() int64 {
	sum := pss("self")
	for _, pid := range children() {
		sum += pss(fmt.Sprint(pid))
	}
	return sum
}

func pss(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return 0 // it has just ended
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}
