package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"weft/daemon/api"
	"weft/gpu/train"
)

// A problem is an error on its way to a client.
type problem struct{ api.Problem }

var _ huma.StatusError = (*problem)(nil)
var _ huma.ContentTypeFilter = (*problem)(nil)

// GetStatus is for huma.
func (p *problem) GetStatus() int { return p.Status }

// ContentType is for huma.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// statuses are the HTTP status of every code a request can end with.
var statuses = map[api.Code]int{
	api.CodeInvalid:     http.StatusUnprocessableEntity,
	api.CodeNotFound:    http.StatusNotFound,
	api.CodeWrongState:  http.StatusConflict,
	api.CodeTooLarge:    http.StatusUnprocessableEntity,
	api.CodeForbidden:   http.StatusForbidden,
	api.CodeUnavailable: http.StatusServiceUnavailable,
	api.CodeData:        http.StatusUnprocessableEntity,
	api.CodeNaN:         http.StatusUnprocessableEntity,
	api.CodeDisk:        http.StatusInsufficientStorage,
	api.CodeTimeout:     http.StatusGatewayTimeout,
}

func newProblem(e *api.Error) *problem {
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	return &problem{api.Problem{
		Title: http.StatusText(status), Status: status,
		Detail: e.Message, Code: e.Code, Hint: e.Hint,
	}}
}

// invalid is a refusal of a document with one or more faults in it.
func invalid(code api.Code, faults []api.FieldError) *problem {
	p := newProblem(&api.Error{Code: code, Message: faults[0].Message, Hint: faults[0].Hint})
	if faults[0].Location != "" {
		p.Detail = faults[0].Location + ": " + p.Detail
	}
	if n := len(faults) - 1; n > 0 {
		p.Detail += fmt.Sprintf(" (and %d more)", n)
	}
	p.Errors = faults
	return p
}

// problemOf puts any error into the shape of an answer. Errors that were not
// written for users are a defect of weft and are logged where they are met.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var e *api.Error
	if errors.As(err, &e) {
		return newProblem(e)
	}
	var f *train.Fault
	if errors.As(err, &f) {
		return newProblem(&api.Error{Code: api.Code(f.Code), Message: f.Message, Hint: f.Hint})
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return newProblem(errStopped().(*api.Error))
	}
	return newProblem(&api.Error{Code: api.CodeInternal,
		Message: "internal error: " + err.Error(),
		Hint:    "this is a defect of weft; the daemon's log has more"})
}

// transformErrors gives huma's own errors, those of its checks of parameters,
// the shape of all others. It is a huma.Transformer.
func transformErrors(_ huma.Context, _ string, v any) (any, error) {
	switch v := v.(type) {
	case *huma.ErrorModel:
		return &fromHuma(v).Problem, nil
	case *problem:
		return &v.Problem, nil
	default:
		return v, nil
	}
}

func fromHuma(m *huma.ErrorModel) *problem {
	p := &problem{api.Problem{Title: m.Title, Status: m.Status, Detail: m.Detail, Code: humaCode(m.Status)}}
	for _, d := range m.Errors {
		p.Errors = append(p.Errors, api.FieldError{
			Location: d.Location,
			Message:  fmt.Sprintf("%s: %s", parameter(d.Location), d.Message),
		})
	}
	switch {
	case m.Status == http.StatusRequestEntityTooLarge:
		p.Detail = fmt.Sprintf("the request is larger than %d MiB", api.MaxBodyBytes>>20)
		p.Hint = "submit in several requests"
	case m.Status == http.StatusRequestTimeout:
		p.Detail = fmt.Sprintf("the request did not arrive within %s", bodyTimeout)
	case len(p.Errors) > 0:
		p.Detail = p.Errors[0].Message
	}
	return p
}

// parameter turns huma's "query.limit" into "query parameter limit".
func parameter(location string) string {
	where, name, ok := strings.Cut(location, ".")
	if !ok {
		return location
	}
	return where + " parameter " + name
}

func humaCode(status int) api.Code {
	switch {
	case status == http.StatusNotFound:
		return api.CodeNotFound
	case status == http.StatusRequestEntityTooLarge:
		return api.CodeTooLarge
	case status >= 500:
		return api.CodeInternal
	default:
		return api.CodeInvalid
	}
}

// writeProblem answers outside of huma.
func writeProblem(w http.ResponseWriter, p *problem) {
	body, err := json.Marshal(&p.Problem)
	if err != nil {
		http.Error(w, p.Detail, p.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", p.ContentType(""))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client has gone if this fails
}
