package store

import (
	"testing"
	"time"

	"weft/daemon/api"
)

func BenchmarkSubmit1000(b *testing.B) {
	s, jobs := open(b), newJobs(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Submit(ctx, "", "", jobs, t0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkList10000 reads jobs that all have labels; the second also metrics.
func BenchmarkList10000(b *testing.B) {
	for name, metrics := range map[string]map[string]float64{
		"queued": nil, "trained": {"train_loss": 0.4123, "val_loss": 0.3801, "val_accuracy": 0.91, "lr": 0.001},
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			recs, _, err := s.Submit(ctx, "", "", newJobs(10_000), t0)
			if err != nil {
				b.Fatal(err)
			}
			changes := make([]Change, len(recs))
			for i := range changes {
				changes[i] = Change{ID: recs[i].ID, Do: api.Start, At: t0, Device: "cpu", Metrics: metrics}
			}
			if metrics != nil {
				if _, _, _, err := s.Apply(ctx, changes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				jobs, _, err := s.List(ctx, Filter{Limit: 10_000})
				if err != nil || len(jobs) != 10_000 {
					b.Fatal(len(jobs), err)
				}
			}
		})
	}
}

// BenchmarkApply is one transition a transaction: about one fsync.
func BenchmarkApply(b *testing.B) {
	s := open(b)
	recs, _, err := s.Submit(ctx, "", "", newJobs(1), t0)
	if err != nil {
		b.Fatal(err)
	}
	do := [2]api.Transition{api.Pause, api.Resume}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _, errs, err := s.Apply(ctx, []Change{{ID: recs[0].ID, Do: do[i%2], At: t0}})
		if err != nil || errs[0] != nil {
			b.Fatal(err, errs)
		}
	}
}

// BenchmarkReport is the news of 100 running jobs at once.
func BenchmarkReport(b *testing.B) {
	s := open(b)
	recs, _, err := s.Submit(ctx, "", "", newJobs(100), t0)
	if err != nil {
		b.Fatal(err)
	}
	changes, reports := make([]Change, 100), make([]Report, 100)
	for i, rec := range recs {
		changes[i] = Change{ID: rec.ID, Do: api.Start, At: t0, Device: "cpu"}
		reports[i] = Report{ID: rec.ID, Progress: &api.Progress{Epoch: 1, Step: 5}, DeviceSeconds: 0.1, At: t0,
			Metrics: map[string]float64{"train_loss": 0.5}}
	}
	if _, _, _, err := s.Apply(ctx, changes); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Report(ctx, reports); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReportEpochs is the news of a gang of small jobs on a fast device:
// ten epochs of each of 100 at once.
func BenchmarkReportEpochs(b *testing.B) {
	s := open(b)
	recs, _, err := s.Submit(ctx, "", "", newJobs(100), t0)
	if err != nil {
		b.Fatal(err)
	}
	changes := make([]Change, 100)
	for i, rec := range recs {
		changes[i] = Change{ID: rec.ID, Do: api.Start, At: t0, Device: "gpu0"}
	}
	if _, _, _, err := s.Apply(ctx, changes); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		var reports []Report
		for e := range 10 {
			for _, rec := range recs {
				m := map[string]float64{"train_loss": 0.4123, "val_loss": 0.3801, "val_accuracy": 0.91, "lr": 0.001}
				reports = append(reports, Report{ID: rec.ID, At: t0, Progress: &api.Progress{Epoch: 10*n + e + 1, Step: 5},
					DeviceSeconds: 0.001, Metrics: m, Epoch: &api.Epoch{Epoch: 10*n + e + 1, Step: 5, Metrics: m}})
			}
		}
		if _, err := s.Report(ctx, reports); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "epochs/s")
}

// BenchmarkUsage reads what 10,000 jobs used in a month, each in some hours.
func BenchmarkUsage(b *testing.B) {
	s := open(b)
	recs, _, err := s.Submit(ctx, "", "", newJobs(10_000), t0)
	if err != nil {
		b.Fatal(err)
	}
	err = s.write.do(ctx, written, func(t *tx) error {
		var l ledger
		for i, rec := range recs {
			for h := range 3 {
				l.add(rec.ID, "gpu0", t0.Add(time.Duration(i%720+h)*time.Hour), amounts{device: 1, wall: 2, cpu: 3})
			}
		}
		return t.enter(&l)
	})
	if err != nil {
		b.Fatal(err)
	}
	f := UsageFilter{Since: t0.Add(-time.Hour), Until: t0.AddDate(0, 0, 32)}
	b.ReportAllocs()
	for b.Loop() {
		jobs, _, err := s.Usage(ctx, f)
		if err != nil || len(jobs) != 10_000 {
			b.Fatal(len(jobs), err)
		}
	}
}
