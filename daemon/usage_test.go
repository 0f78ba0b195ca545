package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
)

// Two jobs' usage, by everything that it can be told by, also after one is
// removed.
func TestUsage(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.submit(`,"name":"a","labels":{"sweep":"x","lr":"1"}`), r.submit(`,"name":"b","labels":{"sweep":"y"}`)
	r.arrived()
	r.arrived()
	for id, seconds := range map[int64]float64{a: 3, b: 1} {
		r.dev.emit(gpu.Started{Job: id})
		r.dev.emit(gpu.Finished{Job: id, Spent: gpu.Spent{DeviceSeconds: seconds, CPUSeconds: seconds / 2}, PeakBytes: int64(seconds) << 20})
		r.until(id, "succeeded")
	}
	r.dev.mu.Lock()
	r.dev.activity.BusySeconds = 4.04
	r.dev.mu.Unlock()
	owner := r.job(a).Owner
	ok[struct{}](r, 204, "DELETE", fmt.Sprintf("/v1/jobs/%d", b), "")
	sum := func(jobs int, seconds float64, peak int64) api.UsageSum {
		return api.UsageSum{Jobs: jobs, DeviceSeconds: seconds, CPUSeconds: seconds / 2, PeakMemoryBytes: peak << 20}
	}
	for query, want := range map[string][]api.UsageRow{
		"":                           {{Key: owner, UsageSum: sum(2, 4, 3)}},
		"by=owner&owner=nobody":      {},
		"by=device&owner=" + owner:   {{Key: "cpu", UsageSum: sum(2, 4, 3)}},
		"by=kind":                    {{Key: "train", UsageSum: sum(2, 4, 3)}},
		"by=label:sweep":             {{Key: "x", UsageSum: sum(1, 3, 3)}, {Key: "y", UsageSum: sum(1, 1, 1)}},
		"by=label:lr":                {{Key: "1", UsageSum: sum(1, 3, 3)}, {Key: "", UsageSum: sum(1, 1, 1)}},
		"by=job&label=sweep%3Dy":     {{Key: fmt.Sprint(b), Job: b, Name: "b", Owner: owner, UsageSum: sum(1, 1, 1)}},
		"label=sweep%3Dx&label=lr=1": {{Key: owner, UsageSum: sum(1, 3, 3)}},
		"by=job": {{Key: fmt.Sprint(a), Job: a, Name: "a", Owner: owner, UsageSum: sum(1, 3, 3)},
			{Key: fmt.Sprint(b), Job: b, Name: "b", Owner: owner, UsageSum: sum(1, 1, 1)}},
	} {
		got := ok[api.UsageReport](r, 200, "GET", "/v1/usage?"+query, "")
		for i := range got.Rows {
			if got.Rows[i].WallSeconds <= 0 {
				t.Errorf("%s: no wall time: %+v", query, got.Rows[i])
			}
			got.Rows[i].WallSeconds = 0
		}
		if diff := cmp.Diff(want, got.Rows); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
		if diff := cmp.Diff([]api.DeviceUsage{{Device: "cpu", BusySeconds: 4.04, JobSeconds: 4}}, got.Devices); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
		if got.Since.Truncate(time.Hour) != got.Since || got.Until.After(time.Now()) || got.Until.Before(got.Since.Add(23*time.Hour)) {
			t.Errorf("%s: from %v to %v", query, got.Since, got.Until)
		}
	}
	// It lies in the hours before now, and not in those before them.
	if got := ok[api.UsageReport](r, 200, "GET", "/v1/usage?until=2h", ""); len(got.Rows) != 0 || got.Total.Jobs != 0 ||
		len(got.Devices) != 0 {
		t.Errorf("before: %+v", got)
	}
	for query, words := range map[string]string{
		"by=size":                `usage cannot be told by \"size\"`,
		"by=label:":              `usage cannot be told by \"label:\"`,
		"label=x":                `label \"x\" is not name=value`,
		"since=yesterday":        `since \"yesterday\" is neither a time nor a duration`,
		"since=1h&until=2h":      "since is not before until",
		"until=2000-01-01":       `until \"2000-01-01\" is neither a time nor a duration`,
		"since=2200-01-01T0:0:0": "is neither a time nor a duration",
	} {
		if status, body := r.do("GET", "/v1/usage?"+query, ""); status != 422 && status != 400 || !strings.Contains(string(body), words) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

// A period becomes the hours that it touches, and does not end in the future.
func TestUsagePeriod(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)
	for _, c := range []struct{ since, until, wantSince, wantUntil, wantEnd string }{
		{"", "", "2026-02-28T12:00:00Z", "2026-03-01T13:00:00Z", "2026-03-01T12:34:56Z"},
		{"90m", "", "2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z", "2026-03-01T12:34:56Z"},
		{"2026-03-01T00:00:00+05:30", "2026-03-01T12:00:00Z", "2026-02-28T18:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"},
		{"2026-03-01T12:34:00Z", "2027-01-01T00:00:00Z", "2026-03-01T12:00:00Z", "2027-01-01T00:00:00Z", "2026-03-01T12:34:56Z"},
	} {
		in := usageInput{Since: c.since, Until: c.until, By: "owner"}
		report, f, err := in.read(now)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		got := []string{f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339), report.Until.Format(time.RFC3339)}
		if diff := cmp.Diff([]string{c.wantSince, c.wantUntil, c.wantEnd}, got); diff != "" || !report.Since.Equal(f.Since) {
			t.Errorf("%s to %s: %s", c.since, c.until, diff)
		}
	}
}

// Whatever rows are, they add up to the total, and every job is in it once.
func TestUsageRowsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var jobs []store.JobUse
		distinct := 0
		for id := range rapid.Int64Range(0, 12).Draw(t, "jobs") {
			owner, label := rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "owner"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "label")
			on := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"cpu", "gpu0", "gpu1"}), 1, 3, rapid.ID[string]).Draw(t, "devices")
			distinct++
			for _, d := range on {
				u := store.JobUse{Job: id + 1, Device: d, Owner: owner, Kind: api.KindTrain, Labels: map[string]string{"sweep": label},
					DeviceSeconds: rapid.Float64Range(0, 1e6).Draw(t, "seconds"), PeakMemoryBytes: rapid.Int64Range(0, 99).Draw(t, "peak")}
				if rapid.Bool().Draw(t, "energy") {
					u.EnergyJoules = num(rapid.Float64Range(0, 1e6).Draw(t, "joules"))
				}
				jobs = append(jobs, u)
			}
		}
		by := rapid.SampledFrom([]string{"job", "owner", "device", "kind", "label:sweep"}).Draw(t, "by")
		report := &api.UsageReport{By: by}
		sumUsage(report, jobs)
		var seconds, joules float64
		var peak int64
		told, rows := false, 0
		for i := range report.Rows {
			row := &report.Rows[i]
			seconds += row.DeviceSeconds
			rows += row.Jobs
			peak = max(peak, row.PeakMemoryBytes)
			if row.EnergyJoules != nil {
				told = true
				joules += *row.EnergyJoules
			}
			if i > 0 && row.DeviceSeconds > report.Rows[i-1].DeviceSeconds {
				t.Fatal("rows are not in order")
			}
		}
		total := report.Total
		if !near(seconds, total.DeviceSeconds) || peak != total.PeakMemoryBytes || told != (total.EnergyJoules != nil) ||
			told && !near(joules, *total.EnergyJoules) || total.Jobs != distinct {
			t.Fatalf("rows add up to %g s, %g J of %d jobs; total %+v", seconds, joules, distinct, total)
		}
		if by == "device" && rows != len(jobs) || by != "device" && rows != distinct {
			t.Fatalf("%d jobs in rows by %s", rows, by)
		}
	})
}

// Devices say how busy they were and who is on their lanes.
func TestDevicesTellTheirActivity(t *testing.T) {
	r := newRig(t, 2)
	r.dev.mu.Lock()
	r.dev.activity = gpu.Activity{BusySeconds: 1.5, Gangs: []gpu.Gang{{Lane: 1, Jobs: []int64{3, 7}, Working: true}}}
	r.dev.mu.Unlock()
	got := ok[[]api.Device](r, 200, "GET", "/v1/devices", "")
	if want := []api.Gang{{Lane: 1, Jobs: []int64{3, 7}, Working: true}}; got[0].BusySeconds != 1.5 || cmp.Diff(want, got[0].Gangs) != "" {
		t.Errorf("%+v", got[0])
	}
	r.dev.mu.Lock()
	r.dev.activity = gpu.Activity{}
	r.dev.mu.Unlock()
	if status, body := r.do("GET", "/v1/devices", ""); status != 200 || !strings.Contains(string(body), `"gangs":[]`) {
		t.Errorf("%s", body)
	}
}
