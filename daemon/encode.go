package daemon

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"weft/daemon/api"
)

// Lists of jobs are long and streams of them fast, so jobs are encoded by
// hand: a quarter of the time of encoding/json, and the same bytes, which a
// test holds equal.

// encodeList is a JobList's JSON, each job by encode.
func encodeList(jobs []api.Job, next int64, encode func([]byte, *api.Job) ([]byte, error)) ([]byte, error) {
	b := make([]byte, 0, 64+512*len(jobs))
	b = append(b, `{"jobs":[`...)
	var err error
	for i := range jobs {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = encode(b, &jobs[i]); err != nil {
			return nil, fmt.Errorf("encode job %d: %w", jobs[i].ID, err)
		}
	}
	b = append(b, `],"next":`...)
	b = strconv.AppendInt(b, next, 10)
	return append(b, "}\n"...), nil
}

// appendJob appends a job's JSON, as encoding/json writes it.
func appendJob(b []byte, j *api.Job) ([]byte, error) {
	b = appendInt(b, `{"id":`, j.ID)
	b = appendText(b, `,"node":`, j.Node)
	b = appendText(b, `,"name":`, j.Name)
	b = appendText(b, `,"kind":`, string(j.Kind))
	b = appendText(b, `,"state":`, string(j.State))
	b = appendText(b, `,"reason":`, j.Reason)
	b = appendText(b, `,"device":`, j.Device)
	b = appendText(b, `,"owner":`, j.Owner)
	b = appendInt(b, `,"priority":`, int64(j.Priority))
	b = appendLabels(append(b, `,"labels":`...), j.Labels)
	if len(j.After) > 0 {
		b = append(b, `,"after":`...)
		sep := byte('[')
		for _, id := range j.After {
			b = strconv.AppendInt(append(b, sep), id, 10)
			sep = ','
		}
		b = append(b, ']')
	}
	if j.At != nil {
		b = appendTime(b, `,"at":`, j.At)
	}
	if j.Held {
		b = append(b, `,"held":true`...)
	}
	if j.Retries != 0 {
		b = appendInt(b, `,"retries":`, int64(j.Retries))
	}
	if j.Timeout != 0 {
		b = appendFloat(append(b, `,"timeout_seconds":`...), j.Timeout)
	}
	b = appendInt(b, `,"attempt":`, int64(j.Attempt))
	b = appendTime(b, `,"submitted_at":`, &j.SubmittedAt)
	b = appendTime(b, `,"started_at":`, j.StartedAt)
	b = appendTime(b, `,"finished_at":`, j.FinishedAt)
	b = appendProgress(b, j.Progress)
	b = appendMetrics(append(b, `,"metrics":`...), j.Metrics)
	b = appendUsage(b, j.Usage)
	return appendTail(b, j)
}

// appendBrief appends what a table of jobs shows, and nothing that is zero: a
// queued job's JSON is a third as long, which is what listing thousands costs.
func appendBrief(b []byte, j *api.Job) ([]byte, error) {
	b = appendInt(b, `{"id":`, j.ID)
	for _, f := range []struct{ key, value string }{
		{`,"name":`, j.Name}, {`,"kind":`, string(j.Kind)}, {`,"state":`, string(j.State)},
		{`,"reason":`, j.Reason}, {`,"device":`, j.Device}, {`,"owner":`, j.Owner},
	} {
		if f.value != "" {
			b = appendText(b, f.key, f.value)
		}
	}
	if j.Priority != 0 {
		b = appendInt(b, `,"priority":`, int64(j.Priority))
	}
	if j.StartedAt != nil {
		b = appendTime(b, `,"started_at":`, j.StartedAt)
	}
	if j.FinishedAt != nil {
		b = appendTime(b, `,"finished_at":`, j.FinishedAt)
	}
	b = appendProgress(b, j.Progress)
	if len(j.Metrics) > 0 {
		b = appendMetrics(append(b, `,"metrics":`...), j.Metrics)
	}
	if j.Error != nil {
		js, err := json.Marshal(j.Error)
		if err != nil {
			return b, err
		}
		b = append(append(b, `,"error":`...), js...)
	}
	return append(b, '}'), nil
}

// appendTail appends the parts that are rare or already JSON.
func appendTail(b []byte, j *api.Job) ([]byte, error) {
	b = append(b, `,"error":`...)
	if j.Error == nil {
		b = append(b, "null"...)
	} else {
		js, err := json.Marshal(j.Error)
		if err != nil {
			return b, err
		}
		b = append(b, js...)
	}
	if len(j.Spec) > 0 {
		js, err := json.Marshal(j.Spec)
		if err != nil {
			return b, err
		}
		b = append(append(b, `,"spec":`...), js...)
	}
	return append(b, '}'), nil
}

func appendProgress(b []byte, p api.Progress) []byte {
	b = appendInt(b, `,"progress":{"epoch":`, int64(p.Epoch))
	b = appendInt(b, `,"epochs":`, int64(p.Epochs))
	b = appendInt(b, `,"step":`, p.Step)
	b = appendInt(b, `,"steps":`, p.Steps)
	return append(b, '}')
}

func appendUsage(b []byte, u api.Usage) []byte {
	b = appendFloat(append(b, `,"usage":{"device_seconds":`...), u.DeviceSeconds)
	b = appendFloat(append(b, `,"wall_seconds":`...), u.WallSeconds)
	b = appendFloat(append(b, `,"cpu_seconds":`...), u.CPUSeconds)
	b = appendInt(b, `,"peak_memory_bytes":`, u.PeakMemoryBytes)
	b = append(b, `,"energy_joules":`...)
	if u.EnergyJoules == nil {
		return append(b, "null}"...)
	}
	return append(appendFloat(b, *u.EnergyJoules), '}')
}

func appendInt(b []byte, key string, v int64) []byte {
	return strconv.AppendInt(append(b, key...), v, 10)
}

func appendText(b []byte, key, s string) []byte { return appendString(append(b, key...), s) }

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			js, err := json.Marshal(s)
			if err != nil { // it has no way to fail on a string
				return append(b, `""`...)
			}
			return append(b, js...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendTime(b []byte, key string, t *time.Time) []byte {
	b = append(b, key...)
	if t == nil {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendLabels(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendString(b, m[k])
	}
	return append(b, '}')
}

func appendMetrics(b []byte, m map[string]float64) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendFloat(b, m[k])
	}
	return append(b, '}')
}

// appendFloat writes a number as ECMAScript does, which encoding/json follows;
// what is not a number is null.
func appendFloat(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	abs := math.Abs(v)
	if abs == 0 || (abs >= 1e-6 && abs < 1e21) {
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, v, 'e', -1, 64)
	if n := len(b); n >= 4 && b[n-4] == 'e' && (b[n-3] == '-' || b[n-3] == '+') && b[n-2] == '0' {
		b[n-2] = b[n-1] // e-09 is e-9
		b = b[:n-1]
	}
	return b
}
