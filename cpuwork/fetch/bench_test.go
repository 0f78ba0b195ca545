package fetch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork/fetch/fetchtest"
)

// requests is how many one round of a benchmark makes.
const requests = 10_000

// many makes requests with as many at once as workers, and returns how many failed.
func many(b *testing.B, e *engine, n, workers int, line func(i int64) string) int64 {
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var out []byte
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				var err error
				if out, err = e.item(b.Context(), []byte(line(i)), out[:0]); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return failed.Load()
}

// BenchmarkUnlimited is 10,000 requests to one host, without and with files.
func BenchmarkUnlimited(b *testing.B) {
	for _, workers := range []int{8, 16, 64, 256} {
		for _, kind := range []string{"discard", "files"} {
			b.Run(fmt.Sprintf("%s/%d", kind, workers), func(b *testing.B) {
				s := start(b, fetchtest.Config{})
				change := func(sp *Spec) { sp.Concurrency, sp.HostConcurrency = workers, workers }
				dir := ""
				if kind == "files" {
					dir = b.TempDir()
				}
				e := engineOf(b, local(func(sp *Spec) {
					change(sp)
					sp.Existing = ExistingOverwrite
					if dir != "" {
						into(dir)(sp)
					}
				}))
				b.ResetTimer()
				for b.Loop() {
					if n := many(b, e, requests, workers, func(i int64) string { return fmt.Sprintf("%s/ok/5\tf%d", s.URL, i) }); n > 0 {
						b.Fatalf("%d failed", n)
					}
				}
				b.ReportMetric(requests*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

// BenchmarkLimited is 10,000 requests at 2,000 a second against a server that
// refuses what is faster: the ideal is 5 s.
func BenchmarkLimited(b *testing.B) {
	for _, workers := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			s := start(b, fetchtest.Config{Rate: 2000, Burst: 100})
			for b.Loop() {
				e := engineOf(b, local(func(sp *Spec) { sp.Rate, sp.Concurrency, sp.HostConcurrency = 2000, workers, workers }))
				if n := many(b, e, requests, workers, func(int64) string { return s.URL + "/limited" }); n > 0 {
					b.Errorf("%d failed, %d refused", n, s.Stats().Refused)
				}
			}
			ideal := requests / 2000.0 * float64(b.N)
			b.ReportMetric(100*(b.Elapsed().Seconds()/ideal-1), "%over")
			b.ReportMetric(float64(s.Stats().Refused), "refused")
		})
	}
}

// BenchmarkAgainstAiohttp alternates ours and aiohttp against one server, and
// reports how many times as long aiohttp took. On a machine that does other work
// the processor times say more: ours includes the server, aiohttp's does not.
func BenchmarkAgainstAiohttp(b *testing.B) {
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.CommandContext(b.Context(), python, "-c", "import aiohttp").Run()
	}
	if err != nil {
		b.Skip("there is no python3 with aiohttp")
	}
	for _, workers := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			s := start(b, fetchtest.Config{})
			e := engineOf(b, local(func(sp *Spec) { sp.Concurrency, sp.HostConcurrency = workers, workers }))
			var ours, theirs spent
			for b.Loop() {
				before := now(b)
				if n := many(b, e, requests, workers, func(int64) string { return s.URL + "/ok/5" }); n > 0 {
					b.Fatalf("%d failed", n)
				}
				ours = ours.plus(now(b).minus(before))
				theirs = theirs.plus(aiohttp(b, python, s.URL+"/ok/5", workers))
			}
			n := float64(b.N)
			b.ReportMetric(ours.Seconds/n, "ours-s")
			b.ReportMetric(theirs.Seconds/n, "aiohttp-s")
			b.ReportMetric(theirs.Seconds/ours.Seconds, "ratio")
			b.ReportMetric(ours.CPU/n, "ours-cpu-s")
			b.ReportMetric(theirs.CPU/n, "aiohttp-cpu-s")
		})
	}
}

// spent is time by the clock and of the processors, in seconds.
type spent struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
}

func (s spent) plus(o spent) spent  { return spent{s.Seconds + o.Seconds, s.CPU + o.CPU} }
func (s spent) minus(o spent) spent { return spent{s.Seconds - o.Seconds, s.CPU - o.CPU} }

var origin = time.Now()

// now is what this process has spent.
func now(b *testing.B) spent {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return spent{time.Since(origin).Seconds(), float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9}
}

// aiohttp makes the requests with the peer and returns what it says they took.
func aiohttp(b *testing.B, python, url string, workers int) spent {
	cmd := exec.CommandContext(b.Context(), python, "testdata/aiohttp_peer.py", url, fmt.Sprint(requests), fmt.Sprint(workers))
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("aiohttp: %v\n%s", err, &errors)
	}
	var said struct {
		spent
		Statuses map[string]int64 `json:"statuses"`
	}
	if err := json.Unmarshal(out, &said); err != nil || said.Statuses["200"] != requests {
		b.Fatalf("aiohttp said %s: %v", out, err)
	}
	return said.spent
}
