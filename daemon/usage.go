package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/daemon/api"
	"weft/daemon/store"
)

const (
	usageSpan = 24 * time.Hour // unless since says otherwise
	usageStep = time.Hour      // of the ledger
)

type usageInput struct {
	Since string   `query:"since" doc:"RFC 3339, or a duration before now such as 24h; default a day before until"`
	Until string   `query:"until" doc:"RFC 3339, or a duration before now; default now"`
	By    string   `query:"by" default:"owner" doc:"job, owner, device, kind, or label:KEY"`
	Owner string   `query:"owner" doc:"only this owner's jobs"`
	Label []string `query:"label,explode" doc:"only jobs with name=value; all of several must hold"`
}

type usageOutput struct{ Body api.UsageReport }

func (s *server) registerUsage(doc huma.API) {
	huma.Register(doc, operation(doc, "get-usage", http.MethodGet, "/v1/usage",
		"What jobs used within a period: device, wall and processor time, energy, memory"), s.usage)
}

func (s *server) usage(ctx context.Context, in *usageInput) (*usageOutput, error) {
	report, f, err := in.read(time.Now())
	if err != nil {
		return nil, s.fault(err)
	}
	if err := s.owner.book(ctx); err != nil {
		return nil, s.fault(err)
	}
	jobs, devices, err := s.store.Usage(ctx, f)
	if err != nil {
		return nil, s.fault(err)
	}
	sumUsage(report, jobs)
	for _, d := range devices {
		report.Devices = append(report.Devices, api.DeviceUsage{Device: d.Device, BusySeconds: d.BusySeconds,
			JobSeconds: d.JobSeconds, EnergyJoules: d.EnergyJoules, IdleEnergyJoules: d.IdleJoules})
	}
	return &usageOutput{*report}, nil
}

// read reads the query. The period becomes whole hours, as the ledger has them.
func (in *usageInput) read(now time.Time) (*api.UsageReport, store.UsageFilter, error) {
	f := store.UsageFilter{Owner: in.Owner}
	bad := func(err error) (*api.UsageReport, store.UsageFilter, error) { return nil, f, err }
	if key, ok := strings.CutPrefix(in.By, api.UsageByLabel); ok && key == "" || !ok && !slices.Contains(usageBys, in.By) {
		return bad(&api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("usage cannot be told by %q", in.By),
			Hint: "by=" + strings.Join(usageBys, ", ") + ", or label:KEY"})
	}
	labels, err := labelsOf(in.Label)
	if err != nil {
		return bad(err)
	}
	f.Labels = labels
	until, err := moment("until", in.Until, now, now)
	if err != nil {
		return bad(err)
	}
	since, err := moment("since", in.Since, now, until.Add(-usageSpan))
	if err != nil {
		return bad(err)
	}
	if !since.Before(until) {
		return bad(&api.Error{Code: api.CodeInvalid, Message: "since is not before until", Hint: "since=24h is the last day"})
	}
	f.Since, f.Until = since.Truncate(usageStep), until.Truncate(usageStep)
	if f.Until.Before(until) {
		f.Until = f.Until.Add(usageStep)
	}
	report := &api.UsageReport{Since: f.Since, Until: f.Until, By: in.By, Rows: []api.UsageRow{},
		Devices: []api.DeviceUsage{}}
	if now.Before(f.Until) {
		report.Until = now.UTC()
	}
	return report, f, nil
}

var usageBys = []string{api.UsageByJob, api.UsageByOwner, api.UsageByDevice, api.UsageByKind}

// sumUsage fills in rows and total. jobs are in the order of their ids.
func sumUsage(report *api.UsageReport, jobs []store.JobUse) {
	rows := map[string]*usageRow{}
	var total usageRow
	for i := range jobs {
		u := &jobs[i]
		key := usageKey(report.By, u)
		row := rows[key]
		if row == nil {
			row = &usageRow{}
			row.Key = key
			if report.By == api.UsageByJob {
				row.Job, row.Name, row.Owner = u.Job, u.Name, u.Owner
			}
			rows[key] = row
		}
		row.add(u)
		total.add(u)
	}
	for _, row := range rows {
		report.Rows = append(report.Rows, row.UsageRow)
	}
	slices.SortFunc(report.Rows, func(a, b api.UsageRow) int {
		return cmp.Or(cmp.Compare(b.DeviceSeconds, a.DeviceSeconds), cmp.Compare(a.Job, b.Job), strings.Compare(a.Key, b.Key))
	})
	report.Total = total.UsageSum
}

func usageKey(by string, u *store.JobUse) string {
	switch by {
	case api.UsageByJob:
		return strconv.FormatInt(u.Job, 10)
	case api.UsageByOwner:
		return u.Owner
	case api.UsageByDevice:
		return u.Device
	case api.UsageByKind:
		return string(u.Kind)
	}
	return u.Labels[strings.TrimPrefix(by, api.UsageByLabel)]
}

// usageRow is a row being added up.
type usageRow struct {
	api.UsageRow
	last int64 // job that was added
}

func (r *usageRow) add(u *store.JobUse) {
	if u.Job != r.last {
		r.Jobs++
		r.last = u.Job
	}
	r.DeviceSeconds += u.DeviceSeconds
	r.WallSeconds += u.WallSeconds
	r.CPUSeconds += u.CPUSeconds
	if u.EnergyJoules != nil {
		r.EnergyJoules = plus(r.EnergyJoules, *u.EnergyJoules)
	}
	r.PeakMemoryBytes = max(r.PeakMemoryBytes, u.PeakMemoryBytes)
}
