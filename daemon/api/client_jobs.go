package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Filter chooses jobs in [Client.Jobs]; the zero value chooses all of them.
type Filter struct {
	IDs    []int64
	States []State
	Kinds  []Kind
	Owner  string
	Name   string
	Labels map[string]string // all of them must match
	After  int64             // ids greater than this
	Limit  int               // jobs in one answer; 0: as suits
	Spec   bool              // with specifications
	Brief  bool              // only id, name, kind, state, reason, device, owner, priority, times, progress, metrics, error
}

func (f Filter) query() url.Values {
	q := url.Values{}
	for _, id := range f.IDs {
		q.Add("id", strconv.FormatInt(id, 10))
	}
	for _, s := range f.States {
		q.Add("state", string(s))
	}
	for _, k := range f.Kinds {
		q.Add("kind", string(k))
	}
	for k, v := range f.Labels {
		q.Add("label", k+"="+v)
	}
	for name, v := range map[string]string{"owner": f.Owner, "name": f.Name} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.After > 0 {
		q.Set("after", strconv.FormatInt(f.After, 10))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	q.Set("spec", strconv.FormatBool(f.Spec))
	if f.Brief {
		q.Set("brief", "true")
	}
	return q
}

// maxIDsPerGet keeps a list of ids within what servers take as a request line.
const maxIDsPerGet = 500

// RawJobs is Jobs with each job's JSON as the daemon wrote it, so that fields
// this client does not know pass through.
func (c *Client) RawJobs(ctx context.Context, f Filter) ([]json.RawMessage, error) {
	var all []json.RawMessage
	err := c.eachPage(ctx, f, func(f Filter) (int64, error) {
		var page struct {
			Jobs []json.RawMessage `json:"jobs"`
			Next int64             `json:"next"`
		}
		err := c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs", query: f.query(), again: true}, &page)
		all = append(all, page.Jobs...)
		return page.Next, err
	})
	return all, err
}

// eachPage calls get for every page of every slice of f.IDs until it answers
// that nothing is left.
func (c *Client) eachPage(ctx context.Context, f Filter, get func(Filter) (next int64, err error)) error {
	ids := f.IDs
	for {
		part := f
		part.IDs = ids[:min(len(ids), maxIDsPerGet)]
		ids = ids[len(part.IDs):]
		for {
			next, err := get(part)
			if err != nil {
				return err
			}
			if next == 0 {
				break
			}
			if next <= part.After {
				return fmt.Errorf("list jobs: the daemon's cursor went from %d back to %d", part.After, next)
			}
			part.After = next
		}
		if len(ids) == 0 {
			return nil
		}
	}
}

// Submit submits jobs, all or none, and returns them in the same order. A key
// that is not empty makes it safe to repeat: the daemon answers the jobs of
// the first time, and Submit itself repeats when the connection breaks.
func (c *Client) Submit(ctx context.Context, jobs []Submission, key string) ([]Job, error) {
	r := request{method: http.MethodPost, path: "/v1/jobs", body: jobs, again: key != ""}
	if key != "" {
		r.header = map[string]string{"Idempotency-Key": key}
	}
	var out Submitted
	err := c.call(ctx, r, &out)
	if err == nil && len(out.Jobs) != len(jobs) {
		err = fmt.Errorf("submit jobs: the daemon answered %d jobs for %d", len(out.Jobs), len(jobs))
	}
	return out.Jobs, err
}

// DryRun says what jobs would take, and submits nothing.
func (c *Client) DryRun(ctx context.Context, jobs []Submission) ([]DryRun, error) {
	var out []DryRun
	err := c.call(ctx, request{method: http.MethodPost, path: "/v1/jobs", body: jobs, again: true,
		query: url.Values{"dry_run": {"true"}}}, &out)
	return out, err
}

// Job returns one job with its epochs and events.
func (c *Client) Job(ctx context.Context, id int64) (*JobDetail, error) {
	out := &JobDetail{}
	return out, c.call(ctx, request{method: http.MethodGet, path: jobPath(id, ""), again: true}, out)
}

// Action is something a job's owner does to it, named as in the API's path.
type Action string

// The actions, one endpoint each.
const (
	ActionCancel  Action = "cancel"
	ActionPause   Action = "pause"
	ActionResume  Action = "resume"
	ActionRetry   Action = "retry"
	ActionHold    Action = "hold"
	ActionRelease Action = "release"
)

// Do acts on one job and returns it as it is afterwards; a job on a device
// leaves it a moment later.
func (c *Client) Do(ctx context.Context, id int64, a Action) (*Job, error) {
	out := &Job{}
	return out, c.call(ctx, request{method: http.MethodPost, path: jobPath(id, string(a))}, out)
}

// Patch changes a job's priority or labels.
func (c *Client) Patch(ctx context.Context, id int64, p Patch) (*Job, error) {
	out := &Job{}
	return out, c.call(ctx, request{method: http.MethodPatch, path: jobPath(id, ""), body: p, again: true}, out)
}

// Delete forgets an ended job, its model and its metrics.
func (c *Client) Delete(ctx context.Context, id int64) error {
	return c.call(ctx, request{method: http.MethodDelete, path: jobPath(id, "")}, nil)
}

// EpochFilter chooses the epochs of [Client.Metrics]; the zero value chooses all.
type EpochFilter struct {
	After int // only epochs after this one
	Last  int // only so many, the last ones; 0: all
}

// Metrics returns a job's metrics by epoch, in their order.
func (c *Client) Metrics(ctx context.Context, id int64, f EpochFilter) ([]Epoch, error) {
	q := url.Values{}
	if f.After > 0 {
		q.Set("after", strconv.Itoa(f.After))
	}
	if f.Last > 0 {
		q.Set("last", strconv.Itoa(f.Last))
	}
	var out []Epoch
	return out, c.call(ctx, request{method: http.MethodGet, path: jobPath(id, "metrics"), query: q, again: true}, &out)
}

// History returns a job's events, oldest first.
func (c *Client) History(ctx context.Context, id int64) ([]Event, error) {
	var out []Event
	return out, c.call(ctx, request{method: http.MethodGet, path: jobPath(id, "events"), again: true}, &out)
}

// Logs opens a job's log lines; with follow they go on until the job ends.
// The caller closes it.
func (c *Client) Logs(ctx context.Context, id int64, follow bool) (io.ReadCloser, error) {
	return c.open(ctx, request{method: http.MethodGet, path: jobPath(id, "logs"), again: true,
		query: url.Values{"follow": {strconv.FormatBool(follow)}}})
}

// Model opens a succeeded job's safetensors file; the caller closes it. Size
// is -1 where the daemon did not say.
func (c *Client) Model(ctx context.Context, id int64) (body io.ReadCloser, size int64, err error) {
	res, err := c.send(ctx, request{method: http.MethodGet, path: jobPath(id, "model"), again: true})
	if err != nil {
		return nil, 0, err
	}
	return res.Body, res.ContentLength, nil
}

// Predict opens the predictions of a job's model for the rows of a file, named
// by an absolute path on the daemon's machine, as CSV; the caller closes it.
func (c *Client) Predict(ctx context.Context, id int64, file string) (io.ReadCloser, error) {
	return c.open(ctx, request{method: http.MethodPost, path: jobPath(id, "predict"), again: true,
		body: PredictRequest{Data: file}})
}

// Results opens what a CPU job's items came to, one JSON object a line, or only
// those that failed; the caller closes it.
func (c *Client) Results(ctx context.Context, id int64, failed bool) (io.ReadCloser, error) {
	return c.open(ctx, request{method: http.MethodGet, path: jobPath(id, "results"), again: true,
		query: url.Values{"failed": {strconv.FormatBool(failed)}}})
}

func (c *Client) open(ctx context.Context, r request) (io.ReadCloser, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func jobPath(id int64, rest string) string {
	p := "/v1/jobs/" + strconv.FormatInt(id, 10)
	if rest != "" {
		p += "/" + rest
	}
	return p
}
