package daemon

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/cpuwork/jobs"
	"weft/daemon/api"
	"weft/daemon/sched"
	"weft/daemon/store"
	"weft/gpu"
	"weft/gpu/train"
)

const (
	maxFaults = 100 // told at once
	maxKey    = 255 // bytes of an idempotency key
)

// A draft is a submission on its way to being a job.
type draft struct {
	at   string // JSON pointer of the submission in the request
	sub  api.Submission
	spec *train.Spec // nil: a CPU job
	cpu  *jobs.Plan  // nil: a training job
	hash string
	est  gpu.Estimate
}

// want is the device that the draft asks for.
func (d *draft) want() string {
	if d.cpu != nil {
		return sched.KindPools
	}
	return d.spec.Device
}

type submitInput struct {
	DryRun  bool   `query:"dry_run" doc:"check and estimate only"`
	Key     string `header:"Idempotency-Key" doc:"the same request with the same key is the same submission, for a day"`
	RawBody []byte `contentType:"application/json"`
}

type submitOutput struct {
	Status int
	Body   any
}

func (s *server) registerSubmit(doc huma.API) {
	op := operation(doc, "submit-jobs", http.MethodPost, "/v1/jobs",
		"Submit one job, or an array of jobs: all or none")
	one := schemaOf[api.Submission](doc)
	op.DefaultStatus = http.StatusCreated
	op.Responses["201"] = jsonResponse(doc, reflect.TypeFor[api.Submitted]())
	op.Responses["200"] = jsonResponse(doc, reflect.TypeFor[[]api.DryRun]())
	op.Responses["200"].Description = "What a dry run found"
	registerBody(doc, op, &huma.Schema{OneOf: []*huma.Schema{
		one, {Type: huma.TypeArray, Items: one},
	}}, s.submit)
}

func (s *server) submit(ctx context.Context, in *submitInput) (*submitOutput, error) {
	if len(in.Key) > maxKey {
		return nil, newProblem(&api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("the Idempotency-Key is longer than %d bytes", maxKey)})
	}
	drafts, err := readDrafts(in.RawBody)
	if err != nil {
		return nil, err
	}
	release, err := s.compose(ctx, drafts)
	defer release()
	if err != nil {
		return nil, s.fault(err)
	}
	devices, err := s.owner.views(ctx)
	if err == nil {
		err = checkFits(drafts, devices, s.gpus.found())
	}
	if err != nil {
		return nil, s.fault(err)
	}
	if in.DryRun {
		return &submitOutput{http.StatusOK, dryRuns(drafts, devices)}, nil
	}
	sum := sha256.Sum256(in.RawBody)
	recs, err := s.owner.submit(ctx, in.Key, hex.EncodeToString(sum[:]), s.newJobs(ctx, drafts))
	if err != nil {
		return nil, s.fault(err)
	}
	stored := make([]api.Job, len(recs))
	for i := range recs {
		stored[i] = recs[i].Job
		stored[i].Spec = nil
	}
	s.board.complete(stored, time.Now())
	return &submitOutput{http.StatusCreated, api.Submitted{Jobs: stored}}, nil
}

// readDrafts reads a request's submissions and their specifications.
func readDrafts(body []byte) ([]draft, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, badBody("the request has no body")
	}
	raws, pointers, err := split(body)
	if err != nil {
		return nil, err
	}
	drafts := make([]draft, len(raws))
	var faults checker
	for i, raw := range raws {
		d := &drafts[i]
		d.at = pointers(i)
		faults = append(faults, d.read(raw)...)
		if len(faults) >= maxFaults {
			break
		}
	}
	if len(faults) > 0 {
		return nil, invalid(api.CodeInvalid, faults[:min(len(faults), maxFaults)])
	}
	return drafts, nil
}

// split tells one submission from an array of them.
func split(body []byte) (raws []json.RawMessage, pointer func(int) string, err error) {
	switch body[0] {
	case '{':
		if !json.Valid(body) {
			return nil, nil, badBody(notJSON(json.Unmarshal(body, new(any)), "a JSON object"))
		}
		return []json.RawMessage{body}, func(int) string { return "" }, nil
	case '[':
		if err := json.Unmarshal(body, &raws); err != nil {
			return nil, nil, badBody(notJSON(err, "an array of submissions"))
		}
	default:
		return nil, nil, badBody(notJSON(json.Unmarshal(body, new(any)), "a submission object or an array of them"))
	}
	switch n := len(raws); {
	case n == 0:
		return nil, nil, badBody("the array of submissions is empty")
	case n > api.MaxJobsPerPost:
		return nil, nil, newProblem(&api.Error{Code: api.CodeTooLarge,
			Message: fmt.Sprintf("%d jobs in one request are more than %d", n, api.MaxJobsPerPost),
			Hint:    "submit in several requests"})
	}
	return raws, func(i int) string { return fmt.Sprintf("/%d", i) }, nil
}

func (d *draft) read(raw []byte) []api.FieldError {
	sub := &d.sub
	sub.Kind = api.KindTrain
	faults := checker(decodeFields(raw, d.at, map[string]field{
		"kind":            {&sub.Kind, "a string"},
		"name":            {&sub.Name, "a string"},
		"labels":          {&sub.Labels, "an object of strings"},
		"priority":        {&sub.Priority, "an integer"},
		"after":           {&sub.After, "an array of job ids"},
		"at":              {&sub.At, "a time like 2026-01-02T15:04:05Z"},
		"hold":            {&sub.Hold, "true or false"},
		"retries":         {&sub.Retries, "an integer"},
		"timeout_seconds": {&sub.Timeout, "a number of seconds"},
		"spec":            {&sub.Spec, "a specification"},
	}))
	if len(faults) > 0 {
		return faults
	}
	if faults.submission(d.at, sub); len(faults) > 0 {
		return faults
	}
	if sub.Kind == api.KindTrain {
		return d.readTraining()
	}
	return d.readCPU()
}

func (d *draft) readTraining() []api.FieldError {
	spec, err := train.Parse(d.sub.Spec)
	if err != nil {
		return specFaults(d.at, err)
	}
	d.spec = spec
	d.sub.Name = cmp.Or(d.sub.Name, spec.Name, string(spec.Data.Source))
	return nil
}

func (d *draft) readCPU() []api.FieldError {
	plan, err := jobs.Parse(string(d.sub.Kind), d.sub.Spec)
	if err == nil && len(d.sub.After) == 0 && d.sub.At == nil && !d.sub.Hold { // others may write its lists until then
		err = plan.CheckLists()
	}
	if err != nil {
		f := api.FieldError{Location: d.at + "/spec", Message: err.Error()}
		if e, ok := errors.AsType[*jobs.SpecError](err); ok {
			f = api.FieldError{Location: f.Location + e.Path, Message: e.Message, Hint: e.Hint}
		}
		return []api.FieldError{f}
	}
	d.cpu = plan
	d.sub.Name, d.sub.Spec = cmp.Or(d.sub.Name, plan.Name), plan.Spec
	d.est = gpu.Estimate{MemoryBytes: plan.Memory}
	return nil
}

// specFaults places a specification's faults in the request.
func specFaults(at string, err error) []api.FieldError {
	var spec *train.SpecError
	if !errors.As(err, &spec) || len(spec.Errors) == 0 {
		return []api.FieldError{{Location: at + "/spec", Message: err.Error()}}
	}
	faults := make([]api.FieldError, len(spec.Errors))
	for i, e := range spec.Errors {
		faults[i] = api.FieldError{Location: at + "/spec" + e.Path, Message: e.Message, Hint: e.Hint}
	}
	return faults
}

// compose loads every draft's data, each set once, and checks that models fit
// it. The sets stay in the loader's cache until release is called.
func (s *server) compose(ctx context.Context, drafts []draft) (release func(), err error) {
	sets := map[string]data{}
	release = func() {
		for _, set := range sets {
			set.Release()
		}
	}
	for i := range drafts {
		d := &drafts[i]
		if d.cpu != nil {
			continue // it has no data that jobs share
		}
		task := d.spec.Loss.Task()
		key, err := json.Marshal(d.spec.Data)
		if err != nil {
			return release, fmt.Errorf("identify data: %w", err)
		}
		id := string(task) + string(key)
		set := sets[id]
		if set == nil {
			if set, err = s.owner.loader.Load(ctx, d.spec.Data, task); err != nil {
				return release, dataProblem(d.at, err)
			}
			sets[id] = set
		}
		info := set.About()
		d.hash = info.Hash
		if d.est, err = gpu.Compose(d.spec, info); err != nil {
			return release, invalid(api.CodeInvalid, specFaults(d.at, err))
		}
	}
	return release, nil
}

// dataProblem refuses a submission whose data cannot be used.
func dataProblem(at string, err error) error {
	var fault *train.Fault
	if !errors.As(err, &fault) {
		return fmt.Errorf("load data: %w", err)
	}
	p := newProblem(&api.Error{Code: api.Code(fault.Code), Message: fault.Message, Hint: fault.Hint})
	p.Errors = []api.FieldError{{Location: at + "/spec/data", Message: fault.Message, Hint: fault.Hint}}
	return p
}

func (s *server) newJobs(ctx context.Context, drafts []draft) []store.NewJob {
	made := make([]store.NewJob, len(drafts))
	for i := range drafts {
		d := &drafts[i]
		if d.spec != nil {
			d.sub.Spec = d.spec.JSON()
		}
		made[i] = store.NewJob{
			Submission: d.sub,
			Owner:      peerOf(ctx).owner, Node: s.node,
			MemoryBytes: d.est.MemoryBytes, GPUBytes: d.est.GPUBytes, DataBytes: d.est.DataBytes, DataHash: d.hash,
			Totals: api.Progress{Epochs: d.est.Epochs, Steps: d.est.Steps},
			Device: d.want(),
		}
	}
	return made
}
