package daemon

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"weft/daemon/api"
	"weft/daemon/store"
)

var problemType = reflect.TypeFor[api.Problem]()

// idInput is a job's id in the path.
type idInput struct {
	ID int64 `path:"id" minimum:"1" doc:"the job's id"`
}

type jobOutput struct{ Body api.Job }

type streamOutput struct{ Body func(huma.Context) }

func (s *server) registerJobs(doc huma.API) {
	op := operation(doc, "list-jobs", http.MethodGet, "/v1/jobs", "List jobs")
	op.Responses["200"] = jsonResponse(doc, reflect.TypeFor[api.JobList]())
	huma.Register(doc, op, s.list)
	huma.Register(doc, operation(doc, "get-job", http.MethodGet, "/v1/jobs/{id}", "Show one job"), s.get)
	huma.Register(doc, operation(doc, "delete-job", http.MethodDelete, "/v1/jobs/{id}",
		"Remove a job that has ended, and its files"), s.remove)
	patch := operation(doc, "patch-job", http.MethodPatch, "/v1/jobs/{id}", "Change priority or labels")
	registerBody(doc, patch, schemaOf[api.Patch](doc), s.patch)
	for _, a := range []struct {
		verb, summary string
		do            func(context.Context, *idInput) (*jobOutput, error)
	}{
		{"cancel", "End a job; answers when it has left its device", s.move(api.Cancel)},
		{"pause", "Take a job off its device, with a checkpoint", s.move(api.Pause)},
		{"resume", "Queue a paused job again", s.move(api.Resume)},
		{"retry", "Start an ended job again from its beginning", s.move(api.Retry)},
		{"hold", "Keep a queued job from starting", s.hold(true)},
		{"release", "Let a held job start", s.hold(false)},
	} {
		op := operation(doc, a.verb+"-job", http.MethodPost, "/v1/jobs/{id}/"+a.verb, a.summary)
		huma.Register(doc, op, a.do)
	}
	huma.Register(doc, operation(doc, "get-metrics", http.MethodGet, "/v1/jobs/{id}/metrics",
		"Metrics by epoch"), s.epochs)
	huma.Register(doc, operation(doc, "get-job-events", http.MethodGet, "/v1/jobs/{id}/events",
		"A job's history"), s.jobEvents)
}

func jsonResponse(doc huma.API, t reflect.Type) *huma.Response {
	return &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: doc.OpenAPI().Components.Schemas.Schema(t, true, "")},
	}}
}

func schemaOf[T any](doc huma.API) *huma.Schema {
	return doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// registerBody registers an operation that decodes its body itself; huma
// would describe that as any bytes.
func registerBody[I, O any](doc huma.API, op huma.Operation, schema *huma.Schema,
	do func(context.Context, *I) (*O, error)) {
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	huma.Register(doc, op, do)
	op.RequestBody.Content["application/json"].Schema = schema
}

// listInput is GET /v1/jobs. Several values of one filter widen it, several
// filters narrow the list.
type listInput struct {
	State []string `query:"state,explode" enum:"queued,running,paused,succeeded,failed,cancelled"`
	Label []string `query:"label,explode" doc:"name=value; all of several must hold"`
	Kind  []string `query:"kind,explode"`
	Owner string   `query:"owner"`
	Name  string   `query:"name"`
	ID    []int64  `query:"id,explode"`
	After int64    `query:"after" doc:"the cursor: ids greater than this"`
	Limit int      `query:"limit" minimum:"1" maximum:"100000" default:"1000"`
	Spec  bool     `query:"spec" default:"true" doc:"with specifications"`
	Brief bool     `query:"brief" doc:"only what a table shows: no specification, labels or usage, and nothing that is zero"`
}

func (in *listInput) filter() (store.Filter, error) {
	f := store.Filter{
		Owner: in.Owner, Name: in.Name, IDs: in.ID,
		After: in.After, Limit: in.Limit, Spec: in.Spec && !in.Brief,
	}
	for _, st := range in.State {
		f.States = append(f.States, api.State(st))
	}
	for _, k := range in.Kind {
		f.Kinds = append(f.Kinds, api.Kind(k))
	}
	var err error
	f.Labels, err = labelsOf(in.Label)
	return f, err
}

// labelsOf reads the labels that a query asks for; nil: none.
func labelsOf(query []string) (map[string]string, error) {
	var labels map[string]string
	for _, l := range query {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, invalid(api.CodeInvalid, []api.FieldError{{Location: "query.label",
				Message: fmt.Sprintf("label %q is not name=value", l)}})
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[k] = v
	}
	return labels, nil
}

func (s *server) list(ctx context.Context, in *listInput) (*streamOutput, error) {
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	list := s.store.List
	if inTable(&f) {
		list = func(ctx context.Context, f store.Filter) ([]api.Job, int64, error) { return s.owner.list(ctx, &f) }
	}
	jobs, next, err := list(ctx, f)
	if err != nil {
		return nil, s.fault(err)
	}
	s.board.complete(jobs, time.Now())
	encode := appendJob
	if in.Brief {
		encode = appendBrief
	}
	body, err := encodeList(jobs, next, encode)
	if err != nil {
		return nil, s.fault(err)
	}
	return &streamOutput{func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		c.SetHeader("Content-Length", strconv.Itoa(len(body)))
		_, _ = c.BodyWriter().Write(body) // the client has gone if this fails
	}}, nil
}

type detailOutput struct{ Body api.JobDetail }

func (s *server) get(ctx context.Context, in *idInput) (*detailOutput, error) {
	d, err := s.store.Detail(ctx, in.ID)
	if err != nil {
		return nil, s.fault(err)
	}
	one := []api.Job{d.Job}
	s.board.complete(one, time.Now())
	d.Job = one[0]
	if d.Summary, err = s.summary(&d.Job); err != nil {
		return nil, s.fault(err)
	}
	return &detailOutput{d}, nil
}

func (s *server) remove(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, s.faultOrNil(s.owner.remove(ctx, in.ID, s.may(ctx)))
}

func (s *server) move(do api.Transition) func(context.Context, *idInput) (*jobOutput, error) {
	return func(ctx context.Context, in *idInput) (*jobOutput, error) {
		return s.answer(s.owner.move(ctx, in.ID, do, s.may(ctx)))
	}
}

func (s *server) hold(held bool) func(context.Context, *idInput) (*jobOutput, error) {
	return func(ctx context.Context, in *idInput) (*jobOutput, error) {
		return s.answer(s.owner.hold(ctx, in.ID, held, s.may(ctx)))
	}
}

type patchInput struct {
	ID      int64  `path:"id" minimum:"1"`
	RawBody []byte `contentType:"application/json"`
}

func (s *server) patch(ctx context.Context, in *patchInput) (*jobOutput, error) {
	var p api.Patch
	if err := decodeObject(in.RawBody, "", map[string]field{
		"priority": {&p.Priority, "an integer"},
		"labels":   {&p.Labels, "an object of strings, or null to remove one"},
	}); err != nil {
		return nil, err
	}
	if err := checkPatch(p); err != nil {
		return nil, err
	}
	return s.answer(s.owner.patch(ctx, in.ID, p, s.may(ctx)))
}

// answer is what an action on a job came to.
func (s *server) answer(rec store.Record, err error) (*jobOutput, error) {
	if err != nil {
		return nil, s.fault(err)
	}
	one := []api.Job{rec.Job}
	s.board.complete(one, time.Now())
	return &jobOutput{one[0]}, nil
}

// may answers whether the peer may change a job of owner.
func (s *server) may(ctx context.Context) permit {
	p := peerOf(ctx)
	return func(owner string) error { return s.gate.mayChange(p, owner) }
}

type epochsOutput struct{ Body []api.Epoch }

type epochsInput struct {
	ID    int64 `path:"id" minimum:"1" doc:"the job's id"`
	After int   `query:"after" minimum:"0" doc:"epochs after this one only"`
	Last  int   `query:"last" minimum:"0" doc:"only so many, the last ones; 0: all"`
}

func (s *server) epochs(ctx context.Context, in *epochsInput) (*epochsOutput, error) {
	if err := s.mustExist(ctx, []int64{in.ID}); err != nil {
		return nil, err
	}
	epochs, err := s.store.Epochs(ctx, in.ID, in.After, in.Last)
	if err != nil {
		return nil, s.fault(err)
	}
	return &epochsOutput{epochs}, nil
}

type eventsOutput struct{ Body []api.Event }

type jobEventsInput struct {
	ID    int64 `path:"id" minimum:"1"`
	After int64 `query:"after" doc:"ids greater than this"`
	Limit int   `query:"limit" minimum:"1" maximum:"100000" default:"100000"`
}

func (s *server) jobEvents(ctx context.Context, in *jobEventsInput) (*eventsOutput, error) {
	if err := s.mustExist(ctx, []int64{in.ID}); err != nil {
		return nil, err
	}
	events, err := s.store.Events(ctx, in.ID, in.After, in.Limit)
	if err != nil {
		return nil, s.fault(err)
	}
	return &eventsOutput{events}, nil
}

// mustExist is not_found for the first id without a job.
func (s *server) mustExist(ctx context.Context, ids []int64) error {
	states, err := s.store.States(ctx, ids)
	if err != nil {
		return s.fault(err)
	}
	for _, id := range ids {
		if _, ok := states[id]; !ok {
			return newProblem(&api.Error{Code: api.CodeNotFound,
				Message: fmt.Sprintf("no job %d", id), Hint: "weft ls -a lists all jobs"})
		}
	}
	return nil
}

// fault is the answer for err; a defect of weft is logged here, for the
// client is told only that there is one.
func (s *server) fault(err error) error {
	p := problemOf(err)
	if p.Code == api.CodeInternal {
		s.log.Error("request failed", "error", err)
	}
	return p
}

func (s *server) faultOrNil(err error) error {
	if err == nil {
		return nil
	}
	return s.fault(err)
}

// unwrap gives a stream its connection.
func unwrap(c huma.Context) (*http.Request, http.ResponseWriter) { return humago.Unwrap(c) }
