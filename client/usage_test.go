package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

// usage answers a report of its own for each by, and repeats the question where
// a person sees it: as a label's value.
func (d *recorded) usage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	read := func(name string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, q.Get(name))
		if err != nil {
			panic(err)
		}
		return t
	}
	report := api.UsageReport{Since: read("since"), Until: read("until"), By: q.Get("by"), Rows: []api.UsageRow{},
		Devices: []api.DeviceUsage{}}
	if q.Get("owner") == "nobody" {
		answer(w, report)
		return
	}
	ann := api.UsageSum{Jobs: 12, DeviceSeconds: 7630.25, WallSeconds: 18_600, CPUSeconds: 93.5, EnergyJoules: number(4.2e6),
		PeakMemoryBytes: 132 << 20}
	bob := api.UsageSum{Jobs: 1, DeviceSeconds: 8.4, WallSeconds: 10, CPUSeconds: 8.3}
	report.Total = api.UsageSum{Jobs: 13, DeviceSeconds: 7638.65, WallSeconds: 18_610, CPUSeconds: 101.8, EnergyJoules: number(4.2e6),
		PeakMemoryBytes: 132 << 20}
	switch by := q.Get("by"); by {
	case "job":
		ann.Jobs, report.Total.Jobs = 1, 2
		report.Rows = []api.UsageRow{{Key: "12", Job: 12, Name: "boston\x1b[31m", Owner: "ann", UsageSum: ann},
			{Key: "7", Job: 7, Owner: "bob", UsageSum: bob}}
	case "device":
		report.Rows = []api.UsageRow{{Key: "gpu0", UsageSum: ann}, {Key: "cpu", UsageSum: bob}}
	case "owner", "kind":
		report.Rows = []api.UsageRow{{Key: "ann", UsageSum: ann}, {Key: "bob", UsageSum: bob}}
	default:
		asked := fmt.Sprintf("owner=%s label=%s", q.Get("owner"), strings.Join(q["label"], "&"))
		report.Rows = []api.UsageRow{{Key: asked, UsageSum: ann}, {UsageSum: bob}}
	}
	report.Devices = []api.DeviceUsage{
		{Device: "cpu", BusySeconds: 8.5, JobSeconds: 8.4},
		{Device: "gpu0", BusySeconds: 7640, JobSeconds: 7630.25, EnergyJoules: number(5e6), IdleEnergyJoules: number(0.8e6)},
	}
	answer(w, report)
}

func TestUsage(t *testing.T) {
	session(t, "usage", newRecorded(), "", line("usage"), line("usage -o wide --since 7d"), line("usage --by job --since 90m"),
		line("usage --by device --since 2026-02-01 --until 2026-03-01"), line("usage --by label=sweep --owner ann -l lr=1e-3"),
		line("usage --by kind --until 2026-02-28T18:00"), line("usage --owner nobody"), line("usage --owner nobody -o json"),
		line("usage -o jsonl"), line("usage -o json --until 2w"),
		line("usage --by onwer"), line("usage --by label"), line("usage --by lable=x"), line("usage --by label:sweep -o jsonl"), line("usage --by label="),
		line("usage --since soon"), line("usage --until 7x"), line("usage --since 1h --until 2h"), line("usage --since 2030-01-01"),
		line("usage --since -1h"), line("usage x"), line("usage -o id"), line("usage --label x"),
		append(line("__complete usage --by"), ""), append(line("__complete usage --since"), ""))
}

// Days begin at midnight where the reader is, also when they have 23 hours.
func TestUsageDays(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ now, since, until, wantSince, wantUntil string }{
		{"2026-03-29T12:00", "", "", "2026-03-28T23:00:00Z", "2026-03-29T10:00:00Z"},
		{"2026-03-29T12:00", "2026-03-29", "2026-03-30", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"2026-03-29T12:00", "1d", "", "2026-03-28T10:00:00Z", "2026-03-29T10:00:00Z"},
		{"2026-03-29T12:00", "", "2026-01-31", "2026-01-29T23:00:00Z", "2026-01-30T23:00:00Z"},
		{"2026-03-29T12:00", "2026-01-31T12:00:00Z", "1w", "2026-01-31T12:00:00Z", "2026-03-22T10:00:00Z"},
	} {
		now, err := time.ParseInLocation("2006-01-02T15:04", c.now, zone)
		if err != nil {
			t.Fatal(err)
		}
		f, err := usageOptions{since: c.since, until: c.until, by: "owner"}.filter(now)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if s, u := f.Since.UTC().Format(time.RFC3339), f.Until.UTC().Format(time.RFC3339); s != c.wantSince || u != c.wantUntil {
			t.Errorf("%s to %s is %s to %s, want %s to %s", c.since, c.until, s, u, c.wantSince, c.wantUntil)
		}
	}
}

// Whatever is given as a time is one before now or a date, or refused with a
// hint.
func FuzzParsePast(f *testing.F) {
	for _, s := range []string{"", "24h", "7d", "2w", "2026-01-31", "2026-01-31T18:00", "2026-01-31T18:00:00+01:00", "-1h", "99999d", "1e9d",
		"d", "w", "+1d", "1.5h", "0d", "65536d", "9999-12-31"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parsePast("since", s, moment)
		if err != nil {
			if hint(err) == "" || !isUsage(err) {
				t.Errorf("%q: %v without a hint", s, err)
			}
			return
		}
		if !strings.Contains(s, "-") && (at.After(moment) || moment.Sub(at) > longestAgo) {
			t.Errorf("%q is %v", s, at)
		}
	})
}
