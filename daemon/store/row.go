package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"weft/daemon/api"
)

// row is a job as its table holds it.
type row struct {
	Record
	runningSince time.Time // usage.WallSeconds is counted up to here
	nextAttempt  bool      // the next start counts as a new attempt
}

// columns is what a query selects for [decoder.row]: what came after the schema's
// packed column is appended to it.
const columns = `id, packed || gpu_bytes || char(31) || format('%!.17g', cpu_seconds) || char(31)`

// separator ends every field of the packed column.
const separator = '\x1f'

// decoder reads the packed column, field by field in the order in which the
// schema packs them.
type decoder struct {
	rest string
	err  error
	// Jobs of a sweep have equal labels: the last ones read, and their text.
	labels     map[string]string
	labelsText string
}

// row fills r from what was packed.
func (d *decoder) row(id int64, packed string, r *row) error {
	d.rest, d.err = packed, nil
	r.ID = id
	r.Priority, r.Held, r.Retries, r.RetriesUsed, r.Timeout = int(d.int()), d.bool(), int(d.int()), int(d.int()), d.real()
	r.Attempt, r.nextAttempt, r.Faults, r.HasCheckpoint = int(d.int()), d.bool(), int(d.int()), d.bool()
	r.MemoryBytes, r.DataBytes = d.int(), d.int()
	r.At, r.SubmittedAt, r.Queued, r.runningSince = d.moment(), d.time(), d.time(), d.time()
	r.StartedAt, r.FinishedAt = d.moment(), d.moment()
	r.Progress = api.Progress{Epoch: int(d.int()), Epochs: int(d.int()), Step: d.int(), Steps: d.int()}
	r.Usage = api.Usage{DeviceSeconds: d.real(), WallSeconds: d.real(), PeakMemoryBytes: d.int(), EnergyJoules: d.maybe()}
	r.Node, r.Name, r.Kind, r.Owner = d.text(), d.text(), api.Kind(d.text()), d.text()
	r.State, r.WantDevice, r.Device, r.DataHash = api.State(d.text()), d.text(), d.text(), d.text()
	r.Labels = d.stringMap()
	d.json(&r.After)
	r.Metrics = d.numbers()
	d.json(&r.Error)
	r.GPUBytes = d.int()
	r.Usage.CPUSeconds = d.real()
	if d.err == nil && d.rest != "" {
		d.err = errors.New("it has more fields than expected")
	}
	if d.err != nil {
		return fmt.Errorf("decode job %d: %w", id, d.err)
	}
	return nil
}

func (d *decoder) field() string {
	end := strings.IndexByte(d.rest, separator)
	if end < 0 {
		d.fail(errors.New("a field is missing"))
		d.rest = ""
		return ""
	}
	field := d.rest[:end]
	d.rest = d.rest[end+1:]
	return field
}

// fail keeps the first error; the fields after it are garbage.
func (d *decoder) fail(err error) {
	if err != nil && d.err == nil {
		d.err = err
	}
}

func (d *decoder) int() int64 {
	if len(d.rest) > 1 && d.rest[1] == separator && '0' <= d.rest[0] && d.rest[0] <= '9' { // most are
		v := int64(d.rest[0] - '0')
		d.rest = d.rest[2:]
		return v
	}
	v, err := strconv.ParseInt(d.field(), 10, 64)
	d.fail(err)
	return v
}

func (d *decoder) bool() bool { return d.int() != 0 }

func (d *decoder) real() float64 {
	v, err := strconv.ParseFloat(d.field(), 64)
	d.fail(err)
	return v
}

// maybe is a real that may be absent.
func (d *decoder) maybe() *float64 {
	if len(d.rest) > 0 && d.rest[0] == separator {
		d.rest = d.rest[1:]
		return nil
	}
	return new(d.real())
}

func (d *decoder) text() string {
	quoted := d.field()
	if n := len(quoted); n >= 2 && !strings.Contains(quoted, `\`) {
		return quoted[1 : n-1]
	}
	var v string
	d.fail(json.Unmarshal([]byte(quoted), &v))
	return v
}

func (d *decoder) time() time.Time { return fromMicros(d.int()) }

func (d *decoder) moment() *time.Time {
	if t := d.time(); !t.IsZero() {
		return &t
	}
	return nil
}

// json reads a field that is JSON, or empty: then it leaves v as it is.
func (d *decoder) json(v any) {
	if field := d.field(); field != "" {
		d.fail(json.Unmarshal([]byte(field), v))
	}
}

func (d *decoder) stringMap() map[string]string {
	field := d.field()
	if field == "" {
		return map[string]string{}
	}
	if field != d.labelsText {
		var labels map[string]string
		d.fail(json.Unmarshal([]byte(field), &labels))
		if labels == nil {
			labels = map[string]string{}
		}
		d.labels, d.labelsText = labels, field
	}
	return maps.Clone(d.labels)
}

// numbers reads an object of numbers as encoding/json writes it, much faster
// than it would read it.
func (d *decoder) numbers() map[string]float64 {
	field := d.field()
	m := map[string]float64{}
	if field == "" {
		return m
	}
	if strings.Contains(field, `\`) {
		d.fail(json.Unmarshal([]byte(field), &m))
		return m
	}
	for rest := strings.Trim(field, "{}"); rest != ""; {
		var pair string
		name, value, ok := strings.Cut(strings.TrimPrefix(rest, `"`), `":`)
		pair, rest, _ = strings.Cut(value, ",")
		v, err := strconv.ParseFloat(pair, 64)
		if !ok || err != nil {
			d.fail(fmt.Errorf("%q is not an object of numbers", field))
			return m
		}
		m[name] = v
	}
	return m
}

// micros is the stored form of t.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func microsOf(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return micros(*t)
}

func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

// stored is t as it will be read again.
func stored(t time.Time) time.Time { return fromMicros(micros(t)) }

func storedMoment(t time.Time) *time.Time {
	t = stored(t)
	if t.IsZero() {
		return nil
	}
	return &t
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// text is the stored form of a value that JSON can say; empty, it is NULL.
func text(v any, empty bool) (any, error) {
	if empty {
		return nil, nil
	}
	js, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return string(js), nil
}

func idList(ids []int64) string {
	out := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, id, 10)
	}
	return string(append(out, ']'))
}

// finite returns m without the values that JSON has no words for.
func finite(m map[string]float64) map[string]float64 {
	out := make(map[string]float64, len(m))
	for name, v := range m {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[name] = v
		}
	}
	return out
}

// amount is a count of seconds that may be added to an account.
func amount(seconds float64) float64 {
	if seconds > 0 && !math.IsInf(seconds, 0) {
		return seconds
	}
	return 0
}
