package watchdog

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Loops tells how long each owes a tick, by the clock of the last look.
func TestLoopsTellTheirAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dog := New(Config{Limit: 8 * time.Second, NoTrace: true, Dir: t.TempDir()})
		done := make(chan struct{})
		go func() { defer close(done); dog.Run(t.Context()) }()
		busy, idle := dog.Loop("busy"), dog.Loop("idle")
		busy.Tick()
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		if got, want := dog.Loops(), []LoopAge{{"busy", 3 * time.Second}, {"idle", 0}}; !slices.Equal(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
		idle.Done()
		busy.Idle()
		if got, want := dog.Loops(), []LoopAge{{"busy", 0}}; !slices.Equal(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
	})
}
