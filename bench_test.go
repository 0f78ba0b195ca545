package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

// The load run: the real binary under the loads it is made for. Each benchmark
// reports the figure that counts as a metric of its own; run them by
// `make bench`, which records the machine beside them.

const labSpec = `{"name": "lab", "data": {"source": "digits"}, "model":
	[{"linear": 64}, "relu", {"linear": 64}, "relu", {"linear": 10}],
	"optimizer": {"name": "adam", "lr": 0.001}, "batch_size": 32, "seed": %d, "steps": %d}`

// BenchmarkLabTogether trains ten 64-64-64-10 models at once and reports their
// optimizer steps a second in sum, submission and models' files included.
func BenchmarkLabTogether(b *testing.B) { benchmarkLab(b, 10) }

// BenchmarkLabAlone is the same with one model: one lane works.
func BenchmarkLabAlone(b *testing.B) { benchmarkLab(b, 1) }

func benchmarkLab(b *testing.B, jobs int) {
	const steps = 30000
	s := serve(b, b.TempDir())
	defer s.stop()
	var subs []api.Submission
	for i := range jobs {
		subs = append(subs, train(fmt.Sprintf(labSpec, i, steps)))
	}
	var took time.Duration
	for b.Loop() {
		began := time.Now()
		for _, id := range s.submit(subs...) {
			if job := s.ended(id); job.State != api.Succeeded {
				b.Fatalf("job %d %s: %+v", id, job.State, job.Error)
			}
		}
		took += time.Since(began)
	}
	b.ReportMetric(float64(b.N*jobs*steps)/took.Seconds(), "steps/s")
}

// BenchmarkSubmitToFirstStep reports the median time from sending a submission
// to hearing of the job's first step, on an idle daemon.
func BenchmarkSubmitToFirstStep(b *testing.B) {
	s := serve(b, b.TempDir())
	defer s.stop()
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		id := s.submit(train(fmt.Sprintf(labSpec, i, 20000)))[0]
		for m, err := range s.client.Events(b.Context(), api.EventFilter{Jobs: []int64{id}}, 0) {
			if err != nil {
				b.Fatalf("follow job %d: %v", id, err)
			}
			if m.Progress != nil && m.Progress.Progress.Step > 0 {
				break
			}
		}
		times = append(times, time.Since(began))
		if _, err := s.client.Do(b.Context(), id, "cancel"); err != nil {
			b.Fatalf("cancel job %d: %v", id, err)
		}
		s.ended(id)
	}
	b.ReportMetric(median(times).Seconds()*1e3, "median-ms")
}

// BenchmarkSubmit1000 reports the time of one request with a sweep of 1,000 jobs.
func BenchmarkSubmit1000(b *testing.B) {
	s := serve(b, b.TempDir())
	defer s.stop()
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		s.submit(queued(1000)...)
		times = append(times, time.Since(began))
	}
	b.ReportMetric(median(times).Seconds()*1e3, "median-ms")
}

// BenchmarkList10000 reports the time of `weft ls`, process start included, with
// 10,000 jobs queued, and the daemon's resident memory: on a device that waits
// for them, and on one that trains meanwhile.
func BenchmarkList10000(b *testing.B) {
	for name, first := range map[string]string{
		"idle": fmt.Sprintf(labSpec, 0, 1),
		"busy": fmt.Sprintf(labSpec, 0, 1_000_000_000),
	} {
		b.Run(name, func(b *testing.B) {
			s := serve(b, b.TempDir(), "--slots", "1")
			defer s.stop()
			s.submit(train(first))
			for range 10 {
				jobs := queued(1000)
				for i := range jobs {
					jobs[i].Hold = name == "idle"
				}
				s.submit(jobs...)
			}
			var times []time.Duration
			for b.Loop() {
				times = append(times, timeList(b, s))
			}
			b.ReportMetric(median(times).Seconds()*1e3, "median-ms")
			b.ReportMetric(residentMB(b, s.cmd.Process.Pid), "daemon-MB")
		})
	}
}

func timeList(b *testing.B, s *served) time.Duration {
	b.Helper()
	began := time.Now()
	ls := exec.CommandContext(b.Context(), weft, "ls", "--host", "unix://"+filepath.Join(s.dir, "weft.sock"))
	ls.Stderr = os.Stderr
	out, err := ls.Output()
	if err != nil {
		b.Fatalf("weft ls: %v", err)
	}
	took := time.Since(began)
	if lines := strings.Count(string(out), "\n"); lines < 10_001 {
		b.Fatalf("weft ls printed %d lines, not a header and 10,000 jobs", lines)
	}
	return took
}

// queued returns jobs of a sweep over learning rates.
func queued(n int) []api.Submission {
	subs := make([]api.Submission, n)
	for i := range subs {
		subs[i] = train(fmt.Sprintf(labSpec, i, 1000))
		subs[i].Labels = map[string]string{"sweep": "bench", "seed": strconv.Itoa(i)}
	}
	return subs
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// residentMB reads a process's resident memory from /proc.
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatalf("read memory of the daemon: %v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		b.Fatalf("read memory of the daemon: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatalf("read memory of the daemon: %v", err)
	}
	return kb / 1024
}
