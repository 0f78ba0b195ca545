package fetch

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weft/cpuwork/fetch/fetchtest"
)

// together does n items with as many at once as workers; each has attempts.
func together(t *testing.T, e *engine, n, workers, attempts int, line func(i int64) string) (failed int64) {
	var next, bad atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if r := drive(t.Context(), e.item, []byte(line(i)), attempts); r.Err != nil {
					bad.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return bad.Load()
}

// Requests are spaced exactly: n of them take (n - burst) / rate, and a server
// that counts refuses none. Slow rates are waited for outside of the engine.
func TestRateIsExact(t *testing.T) {
	for _, c := range []struct {
		rate, hostRate float64
		n, workers     int
		want           float64 // seconds
	}{
		{2000, 0, 4050, 64, 2},
		{0, 2000, 4050, 64, 2},
		{5000, 2000, 4050, 64, 2},
		{2000, 5000, 4050, 64, 2},
		{10, 0, 101, 64, 10},
		{0.5, 0, 31, 64, 60},
		{0.5, 0.25, 31, 64, 120},
	} {
		t.Run(fmt.Sprint(c.rate, "/", c.hostRate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit := c.rate
				if limit == 0 || c.hostRate > 0 && c.hostRate < limit {
					limit = c.hostRate
				}
				e, s, end := piped(t, local(func(s *Spec) {
					s.Rate, s.HostRate = c.rate, c.hostRate
					s.Concurrency, s.HostConcurrency = c.workers, c.workers
				}), fetchtest.Config{Rate: limit, Burst: slack(limit)})
				defer end()
				begun := time.Now()
				if failed := together(t, e, c.n, c.workers, 1, func(i int64) string { return fmt.Sprint(s.URL, "/limited?", i) }); failed > 0 {
					t.Errorf("%d failed", failed)
				}
				took := time.Since(begun).Seconds()
				if math.Abs(took/c.want-1) > 0.01 {
					t.Errorf("took %.4f s, ideal is %.4f", took, c.want)
				}
				if got := s.Stats(); got.Refused > 0 || got.Requests != int64(c.n) {
					t.Errorf("%+v", got)
				}
				e.gate.mu.Lock()
				defer e.gate.mu.Unlock()
				if len(e.gate.tickets) > 0 {
					t.Errorf("%d tickets left", len(e.gate.tickets))
				}
			})
		})
	}
}

// An item whose turn is far is given back early, keeps its turn, and makes its
// request at that moment.
func TestTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, end := piped(t, local(func(s *Spec) { s.Rate = 0.1 }), fetchtest.Config{})
		defer end()
		begun := time.Now()
		must(t, e, s.URL+"/ok/1?a")
		for i, name := range []string{"b", "c", "d"} {
			_, failed := get(t, e, s.URL+"/ok/1?"+name)
			if failed == nil || failed.Code != CodeWaiting || !failed.Retry {
				t.Fatalf("%s: %+v", name, failed)
			}
			if want := time.Duration(i+1)*10*time.Second - patience/2; failed.After != want {
				t.Errorf("%s comes after %v, want %v", name, failed.After, want)
			}
		}
		if time.Since(begun) != 0 {
			t.Errorf("waited %v in place", time.Since(begun))
		}
		// Returning too early changes nothing; returning in time, it is let through.
		if _, failed := get(t, e, s.URL+"/ok/1?c"); failed == nil || failed.After != 20*time.Second-patience/2 {
			t.Errorf("too early: %+v", failed)
		}
		time.Sleep(20*time.Second - patience/2) // on the bubble's clock
		must(t, e, s.URL+"/ok/1?c")
		if took := time.Since(begun); took < 20*time.Second-patience/2 || took > 20*time.Second {
			t.Errorf("c was asked for after %v", took)
		}
	})
}

// A server that says when to come back is left alone until then, by all items.
func TestRetryAfterPausesTheHost(t *testing.T) {
	for _, c := range []struct {
		path string
		want time.Duration
	}{{"/after/429/30", 30 * time.Second}, {"/after/503/30", 30 * time.Second}, {"/date/429/45", 45 * time.Second}} {
		t.Run(c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s, end := piped(t, local(nil), fetchtest.Config{})
				defer end()
				begun := time.Now()
				_, failed := get(t, e, s.URL+c.path)
				if failed == nil || !failed.Retry || failed.After > c.want || failed.After < c.want-time.Second {
					t.Fatalf("%+v", failed)
				}
				s.Relent()
				pause := failed.After
				for range 3 {
					_, other := get(t, e, s.URL+"/ok/1")
					if other == nil || other.Code != CodeWaiting || other.After != pause-patience/2 {
						t.Fatalf("another item: %+v", other)
					}
				}
				if n := s.Stats().Requests; n != 1 {
					t.Errorf("%d requests during the pause", n)
				}
				if bad := together(t, e, 20, 20, 1, func(i int64) string { return fmt.Sprint(s.URL, c.path, "?", i) }); bad > 0 {
					t.Errorf("%d failed", bad)
				}
				if took := time.Since(begun); took < pause || took > pause+time.Second {
					t.Errorf("went on after %v", took)
				}
			})
		})
	}
}

// A pause that begins while an item waits for its turn holds for it too.
func TestPauseWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, end := piped(t, local(func(s *Spec) { s.Rate = 2 }), fetchtest.Config{})
		defer end()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = e.item(t.Context(), []byte(s.URL+"/after/429/30"), nil) })
		}
		wg.Wait()
		if n := s.Stats().Requests; n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// A server that answers 429 for ever costs each item its attempts, ever more
// slowly, and in the end nothing at all.
func TestRefusedForEver(t *testing.T) {
	for _, path := range []string{"/status/429", "/after/429/60", "/status/503"} {
		synctest.Test(t, func(t *testing.T) {
			e, s, end := piped(t, local(func(s *Spec) { s.BreakAfter = -1 }), fetchtest.Config{})
			defer end()
			begun := time.Now()
			r := drive(t.Context(), e.item, []byte(s.URL+path), 4)
			if failed := itemError(r.Err); failed.Code != "status_"+path[len(path)-3:] && failed.Code != "status_429" || r.Attempts != 4 {
				t.Errorf("%+v after %d attempts", failed, r.Attempts)
			}
			if n := s.Stats().Requests; n != 4 {
				t.Errorf("%d requests for 4 attempts", n)
			}
			bad := together(t, e, 500, 64, 3, func(i int64) string { return fmt.Sprint(s.URL, path, "?", i) })
			if bad != 500 {
				t.Errorf("%d of 500 failed", bad)
			}
			if took := time.Since(begun); took > 20*time.Minute {
				t.Errorf("it took %v", took)
			}
			if n := s.Stats().Requests; n > 400 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// A host that fails time after time is left alone, asked once, and used again
// when it works.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, end := piped(t, local(func(s *Spec) { s.BreakAfter, s.BreakSeconds = 5, 10 }), fetchtest.Config{})
		defer end()
		for range 3 { // its URLs may be wrong as often as they like
			for range 10 {
				if _, failed := get(t, e, s.URL+"/status/404"); failed == nil || failed.Code != "status_404" {
					t.Fatalf("%+v", failed)
				}
			}
		}
		for range 5 {
			if _, failed := get(t, e, s.URL+"/status/500"); failed == nil || failed.Code != "status_500" {
				t.Fatalf("%+v", failed)
			}
		}
		before := s.Stats().Requests
		for range 20 {
			_, failed := get(t, e, s.URL+"/ok/1")
			if failed == nil || failed.Code != CodeCircuitOpen || !failed.Retry || failed.After < 10*time.Second || failed.After > 11*time.Second {
				t.Fatalf("open: %+v", failed)
			}
			if want := "the host is left alone for a while, it failed 5 times in a row; last: the server answered 500 Internal Server Error"; failed.Message != want {
				t.Fatalf("says %q", failed.Message)
			}
		}
		if n := s.Stats().Requests; n != before {
			t.Errorf("%d requests while it was open", n-before)
		}
		time.Sleep(10*time.Second + 100*time.Millisecond)
		if _, failed := get(t, e, s.URL+"/status/500"); failed == nil || failed.Code != "status_500" {
			t.Fatalf("the one that tries: %+v", failed)
		}
		if _, failed := get(t, e, s.URL+"/ok/1"); failed == nil || failed.Code != CodeCircuitOpen {
			t.Fatalf("open again: %+v", failed)
		}
		time.Sleep(10*time.Second + 100*time.Millisecond)
		for range 10 {
			must(t, e, s.URL+"/ok/1")
		}
	})
}

// Timeouts, on the bubble's clock: what is slow but moves is not ended.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, end := piped(t, local(func(s *Spec) { s.IdleTimeout, s.HeaderTimeout, s.TotalTimeout = 5, 7, 100 }), fetchtest.Config{})
		defer end()
		for _, c := range []struct {
			path, code string
			want       time.Duration
		}{
			{"/stall/10", CodeStalled, 5 * time.Second},
			{"/silent", CodeTimeout, 7 * time.Second},
			{"/drip/20/4900", "", 93100 * time.Millisecond},
			{"/drip/30/4900", CodeTimeout, 100 * time.Second},
			{"/drip/3/5100", CodeStalled, 5 * time.Second},
		} {
			begun := time.Now()
			_, failed := get(t, e, s.URL+c.path)
			code := ""
			if failed != nil {
				code = failed.Code
			}
			if took := time.Since(begun); code != c.code || took != c.want {
				t.Errorf("%s: %q after %v, want %q after %v", c.path, code, took, c.code, c.want)
			}
		}
	})
}

func TestConcurrencyLimits(t *testing.T) {
	for _, c := range []struct{ all, host, want int }{{64, 4, 4}, {3, 16, 3}} {
		synctest.Test(t, func(t *testing.T) {
			e, s, end := piped(t, local(func(s *Spec) { s.Concurrency, s.HostConcurrency, s.HeaderTimeout = c.all, c.host, 5 }), fetchtest.Config{})
			defer end()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { _, _ = e.item(t.Context(), []byte(s.URL+"/silent"), nil) })
			}
			for i := range 3 {
				synctest.Wait()
				if n := s.Stats().Requests; n != int64((i+1)*c.want) {
					t.Errorf("%d requests after %d rounds of %d", n, i+1, c.want)
				}
				time.Sleep(5 * time.Second)
			}
			wg.Wait()
		})
	}
}

// Connections are used again and again.
func TestConnectionsAreReused(t *testing.T) {
	s := start(t, fetchtest.Config{})
	e := engineOf(t, local(func(s *Spec) { s.HostConcurrency = 4 }))
	if bad := together(t, e, 500, 64, 1, func(int64) string { return s.URL + "/ok/3000" }); bad > 0 {
		t.Errorf("%d failed", bad)
	}
	// One may be dialled while another is about to become idle.
	if n := s.Stats().Conns; n > 20 {
		t.Errorf("%d connections for 500 requests, 4 at once", n)
	}
}

// Answers that nobody wants are read, so that their connections serve again.
func TestConnectionsSurviveFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, end := piped(t, local(nil), fetchtest.Config{})
		defer end()
		for range 20 {
			get(t, e, s.URL+"/status/404")
			must(t, e, s.URL+"/hops/3")
			get(t, e, s.URL+"/after/503/0") // its host is left alone for a while, of the bubble's time
		}
		if n := s.Stats().Conns; n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Hosts that are idle are forgotten; those that are paused are not.
func TestHostsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := local(nil)
		if err := spec.Check(); err != nil {
			t.Fatal(err)
		}
		table := newHosts(&params{Spec: spec})
		held := table.hold("held")
		failed := engineOf(t, spec).statusFailed(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"600"}}})
		paused := table.hold("paused")
		paused.note(failed)
		paused.letGo()
		for i := range 3 * fewHosts {
			table.hold(fmt.Sprint(i)).letGo()
			if i%fewHosts == fewHosts-1 {
				time.Sleep(2 * time.Minute)
			}
		}
		if n := len(table.known); n > fewHosts+3 {
			t.Errorf("%d hosts are known", n)
		}
		if table.hold("paused") != paused || table.hold("held") != held {
			t.Error("a host that matters was forgotten")
		}
	})
}
