package store

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"weft/daemon/api"
)

// nearly compares sums whose parts were added in another order.
var nearly = cmpopts.EquateApprox(1e-9, 1e-9)

// ever is a filter for all there is.
func ever() UsageFilter { return UsageFilter{Since: t0.AddDate(-2, 0, 0), Until: t0.AddDate(2, 0, 0)} }

func usageOf(t testing.TB, s *Store, f UsageFilter) ([]JobUse, []DeviceTotal) {
	t.Helper()
	jobs, devices, err := s.Usage(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	return jobs, devices
}

func report(t testing.TB, s *Store, reports ...Report) {
	t.Helper()
	if _, err := s.Report(ctx, reports); err != nil {
		t.Fatal(err)
	}
}

// Time in state running is divided at the hour; what a device tells belongs to
// the hour in which it was told.
func TestLedgerCountsByTheHour(t *testing.T) {
	s := open(t)
	id := submit(t, s, newJob("a"))[0].ID
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	apply(t, s, Change{ID: id, Do: api.Start, At: at(-30), Device: "cpu"})
	report(t, s, Report{ID: id, DeviceSeconds: 7, CPUSeconds: 3, At: at(-20)},
		Report{ID: id, DeviceSeconds: 1, CPUSeconds: 0.5, At: at(60)}) // the hour's first moment
	apply(t, s, Change{ID: id, Do: api.Pause, At: at(75), DeviceSeconds: 4, CPUSeconds: 2, PeakBytes: 99})
	want := map[int][4]float64{ // hour: wall, device, cpu
		-1: {30 * 60, 7, 3}, 0: {60 * 60, 0, 0}, 1: {15 * 60, 5, 2.5}, 2: {},
	}
	for hour, w := range want {
		begins := noon.Add(time.Duration(hour) * time.Hour)
		jobs, _ := usageOf(t, s, UsageFilter{Since: begins, Until: begins.Add(time.Hour)})
		if w == [4]float64{} {
			if jobs != nil {
				t.Errorf("hour %+d: %+v", hour, jobs)
			}
			continue
		}
		wantUse := []JobUse{{Job: id, Device: "cpu", Name: "a", Owner: "ada", Kind: api.KindTrain,
			Labels: map[string]string{"sweep": "a"}, WallSeconds: w[0], DeviceSeconds: w[1], CPUSeconds: w[2], PeakMemoryBytes: 99}}
		if diff := cmp.Diff(wantUse, jobs, nearly); diff != "" {
			t.Errorf("hour %+d: %s", hour, diff)
		}
	}
	jobs, devices := usageOf(t, s, ever())
	u := get(t, s, id).Usage
	if len(jobs) != 1 || jobs[0].DeviceSeconds != u.DeviceSeconds || jobs[0].CPUSeconds != u.CPUSeconds ||
		jobs[0].WallSeconds != u.WallSeconds || u.CPUSeconds != 5.5 {
		t.Errorf("%+v, the job says %+v", jobs, u)
	}
	if diff := cmp.Diff([]DeviceTotal{{Device: "cpu", JobSeconds: 12}}, devices); diff != "" {
		t.Error(diff)
	}
}

// A clock that is set by years makes no line for every hour of them.
func TestLedgerBoundsSpans(t *testing.T) {
	var l ledger
	l.addWall(1, "cpu", t0, t0.AddDate(20, 0, 0))
	if len(l.order) != 1 {
		t.Errorf("%d lines", len(l.order))
	}
	l = ledger{}
	l.addWall(1, "cpu", t0, t0.Add(-time.Hour))
	l.addWall(1, "cpu", t0, t0)
	if len(l.order) != 0 {
		t.Errorf("%d lines for no time", len(l.order))
	}
	l.addWall(1, "cpu", t0, t0.Add(longestSpan))
	if len(l.order) != 7*24+1 {
		t.Errorf("%d lines for a week", len(l.order))
	}
}

// However the news is cut into transactions and hours, the ledger's sums are
// the jobs' own accounts, and the owners'.
func TestLedgerAddsUp(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		recs, _, err := s.Submit(ctx, "", "", newJobs(3), t0)
		if err != nil {
			rt.Fatal(err)
		}
		now, sum := t0, map[int64]*api.Usage{}
		for _, rec := range recs {
			sum[rec.ID] = &api.Usage{}
		}
		step := func() {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(90*time.Minute)).Draw(rt, "later")))
		}
		amountOf := rapid.Custom(func(rt *rapid.T) float64 {
			return rapid.SampledFrom([]float64{0, 0.25, 3, 1e-7, -1, math.NaN(), math.Inf(1)}).Draw(rt, "seconds")
		})
		count := func(to *float64, v float64) {
			if v > 0 && !math.IsInf(v, 0) {
				*to += v
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			step()
			rec := recs[rapid.IntRange(0, 2).Draw(rt, "job")]
			state := get(t, s, rec.ID).State
			if rapid.Bool().Draw(rt, "change") {
				do := map[api.State]api.Transition{api.Queued: api.Start, api.Running: api.Pause, api.Paused: api.Resume}[state]
				ch := Change{ID: rec.ID, Do: do, At: now, Device: rapid.SampledFrom([]string{"cpu", "gpu0"}).Draw(rt, "device")}
				if state == api.Running {
					ch.DeviceSeconds, ch.CPUSeconds = amountOf.Draw(rt, "device"), amountOf.Draw(rt, "cpu")
					count(&sum[rec.ID].DeviceSeconds, ch.DeviceSeconds)
					count(&sum[rec.ID].CPUSeconds, ch.CPUSeconds)
				}
				apply(t, s, ch)
				continue
			}
			var reports []Report
			for range rapid.IntRange(1, 3).Draw(rt, "reports") {
				rep := Report{ID: rec.ID, At: now, DeviceSeconds: amountOf.Draw(rt, "device"), CPUSeconds: amountOf.Draw(rt, "cpu")}
				if state == api.Running { // else they are dropped
					count(&sum[rec.ID].DeviceSeconds, rep.DeviceSeconds)
					count(&sum[rec.ID].CPUSeconds, rep.CPUSeconds)
				}
				if rapid.Bool().Draw(rt, "energy") { // these count in any state
					joules := amountOf.Draw(rt, "joules")
					rep.EnergyJoules, rep.Device = &joules, "gpu1"
					if joules >= 0 && !math.IsInf(joules, 0) {
						e := 0.0
						if sum[rec.ID].EnergyJoules != nil {
							e = *sum[rec.ID].EnergyJoules
						}
						sum[rec.ID].EnergyJoules = new(e + joules)
					}
				}
				reports = append(reports, rep)
				step()
			}
			report(t, s, reports...)
		}
		jobs, _ := usageOf(t, s, ever())
		got := map[int64]*api.Usage{}
		for _, u := range jobs {
			g := got[u.Job]
			if g == nil {
				g = &api.Usage{}
				got[u.Job] = g
			}
			g.DeviceSeconds += u.DeviceSeconds
			g.WallSeconds += u.WallSeconds
			g.CPUSeconds += u.CPUSeconds
			g.EnergyJoules = sumOf(g.EnergyJoules, u.EnergyJoules)
		}
		for _, rec := range recs {
			own, want := get(t, s, rec.ID).Usage, sum[rec.ID]
			g := got[rec.ID]
			if g == nil {
				g = &api.Usage{}
			}
			want.WallSeconds = own.WallSeconds // the state machine's test has that
			if diff := cmp.Diff(want, &own, nearly); diff != "" {
				rt.Fatalf("job %d (-told +its account) %s", rec.ID, diff)
			}
			if diff := cmp.Diff(&own, g, nearly); diff != "" {
				rt.Fatalf("job %d (-its account +the ledger) %s", rec.ID, diff)
			}
		}
	})
}

// A removed job's lines stay, with what they are grouped by, and take in the
// energy that is measured afterwards.
func TestLedgerOutlivesJobs(t *testing.T) {
	s := open(t)
	a, b := newJob("a"), newJob("b")
	b.Owner, b.Labels = "bob", map[string]string{"sweep": "b", `k"ü`: ""}
	recs := submit(t, s, a, b)
	for _, rec := range recs {
		apply(t, s, Change{ID: rec.ID, Do: api.Start, At: t0, Device: "gpu0"})
		apply(t, s, Change{ID: rec.ID, Do: api.Succeed, At: t0.Add(time.Second), DeviceSeconds: 0.5, PeakBytes: 4096})
	}
	before, _ := usageOf(t, s, ever())
	for _, rec := range recs {
		if err := s.Delete(ctx, rec.ID, t0.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := usageOf(t, s, ever())
	if diff := cmp.Diff(before, after); diff != "" || len(after) != 2 {
		t.Errorf("after the removal: %s", diff)
	}
	report(t, s, Report{ID: recs[1].ID, Device: "gpu0", EnergyJoules: new(12.5), At: t0.Add(2 * time.Second)})
	for name, f := range map[string]UsageFilter{
		"owner": {Owner: "bob"}, "label": {Labels: map[string]string{"sweep": "b"}},
		"odd label": {Labels: map[string]string{`k"ü`: "", "sweep": "b"}},
	} {
		f.Since, f.Until = ever().Since, ever().Until
		jobs, devices := usageOf(t, s, f)
		if len(jobs) != 1 || jobs[0].Job != recs[1].ID || jobs[0].EnergyJoules == nil || *jobs[0].EnergyJoules != 12.5 ||
			jobs[0].PeakMemoryBytes != 4096 {
			t.Errorf("by %s: %+v", name, jobs)
		}
		if len(devices) != 1 || devices[0].JobSeconds != 1 {
			t.Errorf("by %s: devices are told as a whole: %+v", name, devices)
		}
	}
	f := ever()
	f.Labels = map[string]string{"sweep": "a", "x": "y"}
	if jobs, _ := usageOf(t, s, f); jobs != nil {
		t.Errorf("without a label: %+v", jobs)
	}
}

// Labels are those that a job has now.
func TestLedgerGoesByLabelsOfNow(t *testing.T) {
	s := open(t)
	id := submit(t, s, newJob("a"))[0].ID
	apply(t, s, Change{ID: id, Do: api.Start, At: t0, Device: "cpu"})
	report(t, s, Report{ID: id, DeviceSeconds: 1, At: t0})
	if _, _, _, err := s.Edit(ctx, []Edit{{ID: id, Labels: map[string]string{"new": "x"}, At: t0}}); err != nil {
		t.Fatal(err)
	}
	f := ever()
	f.Labels = map[string]string{"new": "x"}
	if jobs, _ := usageOf(t, s, f); len(jobs) != 1 || jobs[0].Labels["new"] != "x" || len(jobs[0].Labels) != 1 {
		t.Errorf("%+v", jobs)
	}
}

// What devices did adds up by the hour; energy that nobody told is not 0.
func TestLedgerOfDevices(t *testing.T) {
	s := open(t)
	hour := hourOf(t0)
	uses := []DeviceUse{
		{Device: "cpu", BusySeconds: 1.5, At: hour}, {Device: "cpu", BusySeconds: 2, At: hour.Add(time.Hour - 1)},
		{Device: "cpu", BusySeconds: math.NaN(), EnergyJoules: new(-1.), IdleJoules: new(math.Inf(1)), At: hour},
		{Device: "gpu0", BusySeconds: 1, At: hour},
		{Device: "gpu0", BusySeconds: 1, EnergyJoules: new(100.), IdleJoules: new(0.), At: hour},
		{Device: "gpu0", EnergyJoules: new(50.), IdleJoules: new(50.), At: hour.Add(time.Minute)},
		{Device: "gpu0", BusySeconds: 9, At: hour.Add(time.Hour)},
	}
	for _, u := range uses {
		if _, err := s.Report(ctx, nil, u); err != nil {
			t.Fatal(err)
		}
	}
	_, devices := usageOf(t, s, UsageFilter{Since: hour, Until: hour.Add(time.Hour)})
	want := []DeviceTotal{{Device: "cpu", BusySeconds: 3.5},
		{Device: "gpu0", BusySeconds: 2, EnergyJoules: new(150.), IdleJoules: new(50.)}}
	if diff := cmp.Diff(want, devices); diff != "" {
		t.Error(diff)
	}
}

// The ledger forgets after its time, an hour at a time, and then whose it was.
func TestLedgerIsThinned(t *testing.T) {
	s := open(t)
	id := submit(t, s, newJob("old"))[0].ID
	apply(t, s, Change{ID: id, Do: api.Start, At: t0, Device: "cpu"})
	apply(t, s, Change{ID: id, Do: api.Succeed, At: t0.Add(90 * time.Minute), DeviceSeconds: 1})
	if _, err := s.Report(ctx, nil, DeviceUse{Device: "cpu", BusySeconds: 1, At: t0}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, id, t0.Add(91*time.Minute)); err != nil {
		t.Fatal(err)
	}
	rows := func() (n [3]int) {
		t.Helper()
		err := s.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM device_ledger),
			(SELECT count(*) FROM removed_jobs)`).Scan(&n[0], &n[1], &n[2])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	last := hourOf(t0).Add(LedgerKept)
	for i, step := range []struct {
		now  time.Time
		want [3]int
	}{
		{last, [3]int{2, 1, 1}},
		{last.Add(time.Second), [3]int{1, 0, 1}},
		{last.Add(time.Hour), [3]int{1, 0, 1}},
		{last.Add(time.Hour + time.Second), [3]int{0, 0, 1}}, // it was removed later
		{last.Add(3 * time.Hour), [3]int{0, 0, 0}},
	} {
		if err := s.ThinLedger(ctx, step.now); err != nil {
			t.Fatal(err)
		}
		if got := rows(); got != step.want {
			t.Errorf("step %d: %v lines, devices' lines and removed jobs, not %v", i, got, step.want)
		}
	}
}

// A year of lines takes the room that docs/accounting.md says.
func TestLedgerIsSmall(t *testing.T) {
	s := open(t)
	const jobs, hours = 200, 100
	err := s.write.do(ctx, written, func(tx *tx) error {
		for h := range hours {
			var l ledger
			for j := range int64(jobs) {
				at := t0.Add(time.Duration(h) * time.Hour)
				l.add(1000+j, "gpu0", at, amounts{3599.123456 / float64(j+3), 3600, 12.3456 / float64(j+7), new(12345.678 / float64(j+1))})
			}
			if err := tx.enter(&l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var pages, size int64
	if err := s.read.QueryRowContext(ctx, `SELECT page_count, page_size FROM pragma_page_count, pragma_page_size`).Scan(&pages, &size); err != nil {
		t.Fatal(err)
	}
	each := float64(pages*size) / (jobs * hours)
	t.Logf("%.0f bytes a line", each)
	if each > 80 {
		t.Errorf("%.0f bytes a line", each)
	}
}
