package daemon

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weft/daemon/api"
)

func drawJob(t *rapid.T) api.Job {
	number := rapid.Float64Range(-1e30, 1e30)
	small := rapid.Float64Range(-1e-5, 1e-5)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		return at.In(time.FixedZone("", 60*rapid.IntRange(-700, 700).Draw(t, "zone")))
	})
	j := api.Job{
		ID: rapid.Int64().Draw(t, "id"), Node: rapid.String().Draw(t, "node"), Name: rapid.String().Draw(t, "name"),
		Kind: api.KindTrain, State: rapid.SampledFrom(api.States).Draw(t, "state"),
		Reason: rapid.String().Draw(t, "reason"), Owner: `a<b>&"\`, Priority: rapid.Int().Draw(t, "priority"),
		Labels:  rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "labels"),
		After:   rapid.SliceOf(rapid.Int64()).Draw(t, "after"),
		At:      rapid.Ptr(moment, true).Draw(t, "at"),
		Held:    rapid.Bool().Draw(t, "held"),
		Retries: rapid.IntRange(0, 2).Draw(t, "retries"), Timeout: number.Draw(t, "timeout"),
		SubmittedAt: moment.Draw(t, "submitted"), StartedAt: rapid.Ptr(moment, true).Draw(t, "started"),
		Metrics: rapid.MapOf(rapid.String(), rapid.OneOf(number, small)).Draw(t, "metrics"),
		Usage: api.Usage{DeviceSeconds: small.Draw(t, "seconds"), CPUSeconds: small.Draw(t, "processor"), PeakMemoryBytes: rapid.Int64().Draw(t, "peak"),
			EnergyJoules: rapid.Ptr(number, true).Draw(t, "joules")},
	}
	if rapid.Bool().Draw(t, "failed") {
		j.Error = &api.Error{Code: api.CodeNaN, Message: rapid.String().Draw(t, "message")}
		j.Spec = json.RawMessage(`{"a": [1, "<"]}`)
	}
	return j
}

func TestListIsAsEncodingJSONWritesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		jobs := rapid.SliceOfN(rapid.Custom(drawJob), 1, 3).Draw(t, "jobs")
		got, err := encodeList(jobs, 7, appendJob)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(api.JobList{Jobs: jobs, Next: 7})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.TrimSpace(got), want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// A brief list decodes to the same jobs, less what it leaves out.
func TestBriefListKeepsWhatItHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := drawJob(t)
		b, err := encodeList([]api.Job{j}, 0, appendBrief)
		if err != nil {
			t.Fatal(err)
		}
		var got api.JobList
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		want := api.Job{ID: j.ID, Name: j.Name, Kind: j.Kind, State: j.State, Reason: j.Reason, Device: j.Device,
			Owner: j.Owner, Priority: j.Priority, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
			Progress: j.Progress, Error: j.Error}
		if len(j.Metrics) > 0 {
			want.Metrics = j.Metrics
		}
		wantJSON, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		gotJSON, err := json.Marshal(got.Jobs[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(gotJSON, wantJSON) {
			t.Fatalf("got  %s\nwant %s", gotJSON, wantJSON)
		}
	})
}
