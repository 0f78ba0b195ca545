package api

import (
	"net/http"
	"testing"
	"time"
)

func TestUsageQuery(t *testing.T) {
	var asked string
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"by":"job","rows":[{"key":"7","job":7,"jobs":1,"device_seconds":1.5,"energy_joules":null}],` +
			`"total":{"jobs":1,"energy_joules":2},"devices":[{"device":"cpu","busy_seconds":3,"idle_energy_joules":null}]}`))
	}), Options{})
	since := time.Date(2026, 1, 31, 0, 0, 0, 0, time.FixedZone("", 3600))
	for want, f := range map[string]UsageFilter{
		"GET /v1/usage": {},
		"GET /v1/usage?by=label%3Asweep&label=a%3Db%3Dc&owner=ann+b&since=2026-01-31T00%3A00%3A00%2B01%3A00&until=2026-02-01T00%3A00%3A00%2B01%3A00": {
			Since: since, Until: since.AddDate(0, 0, 1), By: UsageByLabel + "sweep", Owner: "ann b", Labels: map[string]string{"a": "b=c"}},
	} {
		r, err := c.Usage(t.Context(), f)
		if err != nil || asked != want {
			t.Errorf("asked %s, want %s; %v", asked, want, err)
			continue
		}
		if row := r.Rows[0]; row.Job != 7 || row.DeviceSeconds != 1.5 || row.EnergyJoules != nil || *r.Total.EnergyJoules != 2 ||
			r.Devices[0].BusySeconds != 3 || r.Devices[0].IdleEnergyJoules != nil {
			t.Errorf("%+v", r)
		}
	}
}
