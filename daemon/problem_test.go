package daemon

import (
	"fmt"
	"strings"
	"testing"

	"weft/daemon/api"
)

func TestProblems(t *testing.T) {
	r := newRig(t, 1)
	id := r.submit(`,"hold":true`)
	spec := func(change ...string) string {
		return `{"kind":"train","spec":` + strings.NewReplacer(change...).Replace(irisSpec) + `}`
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"no body", "POST", "/v1/jobs", "", 400,
			`{"title":"Bad Request","status":400,"detail":"request body is required","code":"invalid"}`},
		{"not JSON", "POST", "/v1/jobs", `{"kind":`, 400,
			`{"title":"Bad Request","status":400,"detail":"not JSON at byte 8: unexpected end of JSON input",` +
				`"code":"invalid","hint":"send one submission object, or an array of them, as application/json"}`},
		{"not an object", "POST", "/v1/jobs", `"train"`, 400,
			`{"title":"Bad Request","status":400,"detail":"must be a submission object or an array of them",` +
				`"code":"invalid","hint":"send one submission object, or an array of them, as application/json"}`},
		{"empty array", "POST", "/v1/jobs", `[]`, 400,
			`{"title":"Bad Request","status":400,"detail":"the array of submissions is empty",` +
				`"code":"invalid","hint":"send one submission object, or an array of them, as application/json"}`},
		{"unknown key", "POST", "/v1/jobs", `{"knd":"train","spec":{}}`, 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"/knd: unknown key \"knd\"","code":"invalid",` +
				`"hint":"did you mean \"kind\"?","errors":[{"location":"/knd","message":"unknown key \"knd\"",` +
				`"hint":"did you mean \"kind\"?"}]}`},
		{"wrong type in an array", "POST", "/v1/jobs", `[` + sub("") + `,{"priority":"high","spec":{}}]`, 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"/1/priority: priority must be an integer",` +
				`"code":"invalid","errors":[{"location":"/1/priority","message":"priority must be an integer"}]}`},
		{"no specification", "POST", "/v1/jobs", `{"kind":"train"}`, 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"/spec: spec is missing","code":"invalid",` +
				`"errors":[{"location":"/spec","message":"spec is missing"}]}`},
		{"unknown kind", "POST", "/v1/jobs", `{"kind":"bake","spec":{}}`, 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"/kind: unknown kind \"bake\"","code":"invalid",` +
				`"hint":"there are train, sha256, jpeg, fetch, primes","errors":[{"location":"/kind","message":"unknown kind \"bake\"",` +
				`"hint":"there are train, sha256, jpeg, fetch, primes"}]}`},
		{"no such job", "GET", "/v1/jobs/99", "", 404,
			`{"title":"Not Found","status":404,"detail":"no job 99","code":"not_found","hint":"weft ls -a lists all jobs"}`},
		{"cancel no such job", "POST", "/v1/jobs/99/cancel", "", 404,
			`{"title":"Not Found","status":404,"detail":"no job 99","code":"not_found","hint":"weft ls -a lists all jobs"}`},
		{"events of no such job", "GET", "/v1/events?job=99", "", 404,
			`{"title":"Not Found","status":404,"detail":"no job 99","code":"not_found","hint":"weft ls -a lists all jobs"}`},
		{"wrong state", "POST", fmt.Sprintf("/v1/jobs/%d/resume", id), "", 409,
			`{"title":"Conflict","status":409,"detail":"cannot resume a job that is queued","code":"wrong_state",` +
				`"hint":"only a paused job can be resumed"}`},
		{"remove a live job", "DELETE", fmt.Sprintf("/v1/jobs/%d", id), "", 409,
			`{"title":"Conflict","status":409,"detail":"cannot remove a job that is queued","code":"wrong_state",` +
				`"hint":"weft cancel it first"}`},
		{"model of a queued job", "GET", fmt.Sprintf("/v1/jobs/%d/model", id), "", 409,
			fmt.Sprintf(`{"title":"Conflict","status":409,"detail":"job %d has no model: it is queued",`+
				`"code":"wrong_state","hint":"weft wait %d, then try again"}`, id, id)},
		{"no number", "GET", "/v1/jobs/twelve", "", 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"path parameter id: invalid integer","code":"invalid",` +
				`"errors":[{"location":"path.id","message":"path parameter id: invalid integer"}]}`},
		{"unknown parameter", "GET", "/v1/jobs?stat=queued", "", 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"query parameter stat: unknown query parameter",` +
				`"code":"invalid","errors":[{"location":"query.stat",` +
				`"message":"query parameter stat: unknown query parameter"}]}`},
		{"bad label", "GET", "/v1/jobs?label=sweep", "", 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"query.label: label \"sweep\" is not name=value",` +
				`"code":"invalid","errors":[{"location":"query.label","message":"label \"sweep\" is not name=value"}]}`},
		{"no endpoint", "GET", "/v2/jobs", "", 404,
			`{"title":"Not Found","status":404,"detail":"no endpoint /v2/jobs","code":"not_found",` +
				`"hint":"GET /openapi.json lists all"}`},
		{"wrong method", "PUT", "/v1/jobs", "{}", 405,
			`{"title":"Method Not Allowed","status":405,"detail":"/v1/jobs does not take PUT","code":"invalid",` +
				`"hint":"it takes GET, POST"}`},
		{"patch of nothing known", "PATCH", fmt.Sprintf("/v1/jobs/%d", id), `{"prio":1}`, 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"/prio: unknown key \"prio\"","code":"invalid",` +
				`"hint":"known keys: labels, priority","errors":[{"location":"/prio","message":"unknown key \"prio\"",` +
				`"hint":"known keys: labels, priority"}]}`},
		{"relative path", "POST", fmt.Sprintf("/v1/jobs/%d/predict", id), `{"data":"rows.csv"}`, 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"/data: data \"rows.csv\" is not an absolute path",` +
				`"code":"invalid","errors":[{"location":"/data","message":"data \"rows.csv\" is not an absolute path"}]}`},
		{"Last-Event-ID", "GET", "/v1/events?after=x", "", 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"query parameter after: invalid integer",` +
				`"code":"invalid","errors":[{"location":"query.after","message":"query parameter after: invalid integer"}]}`},
		{"unknown type of event", "GET", "/v1/events?type=epoch&type=failed,epochs", "", 422,
			`{"title":"Unprocessable Entity","status":422,"detail":"query.type: unknown event type \"epochs\"","code":"invalid",` +
				`"hint":"there are submitted, started, epoch, checkpoint, requeued, paused, resumed, succeeded, failed, cancelled, ` +
				`retried, held, released, changed, progress","errors":[{"location":"query.type",` +
				`"message":"unknown event type \"epochs\"","hint":"there are submitted, started, epoch, checkpoint, requeued, ` +
				`paused, resumed, succeeded, failed, cancelled, retried, held, released, changed, progress"}]}`},
		{"waits for no job", "POST", "/v1/jobs", sub(`,"after":[77]`), 404,
			`{"title":"Not Found","status":404,"detail":"no job 77 to wait for","code":"not_found",` +
				`"hint":"weft ls -a lists all jobs"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := r.do(c.method, c.path, c.body)
			if got := strings.TrimSpace(string(body)); status != c.status || got != c.want {
				t.Errorf("status %d, body\n%s\nwant %d\n%s", status, got, c.status, c.want)
			}
		})
	}
	t.Run("specification", func(t *testing.T) {
		p := ok[api.Problem](r, 422, "POST", "/v1/jobs", `[`+sub("")+`,`+spec(`"lr"`, `"lrr"`)+`]`)
		if p.Code != api.CodeInvalid || len(p.Errors) == 0 || p.Errors[0].Location != "/1/spec/optimizer/lrr" ||
			p.Errors[0].Hint == "" {
			t.Errorf("problem is %+v", p)
		}
	})
	t.Run("shapes", func(t *testing.T) {
		p := ok[api.Problem](r, 422, "POST", "/v1/jobs", spec(`{"linear":3}`, `{"linear":2}`))
		if p.Code != api.CodeInvalid || len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, "/spec/model") {
			t.Errorf("problem is %+v", p)
		}
	})
	t.Run("no file", func(t *testing.T) {
		p := ok[api.Problem](r, 404, "POST", "/v1/jobs", spec(`{"source":"iris"}`, `{"csv":"/nowhere/rows.csv"}`))
		if p.Code != api.CodeNotFound || len(p.Errors) != 1 || p.Errors[0].Location != "/spec/data" {
			t.Errorf("problem is %+v", p)
		}
	})
	t.Run("too large for any device", func(t *testing.T) {
		p := ok[api.Problem](r, 422, "POST", "/v1/jobs", spec(`{"linear":8}`, `{"linear":8000000}`))
		if p.Code != api.CodeTooLarge {
			t.Errorf("problem is %+v", p)
		}
	})
	t.Run("atomic", func(t *testing.T) {
		before := len(ok[api.JobList](r, 200, "GET", "/v1/jobs", "").Jobs)
		ok[api.Problem](r, 404, "POST", "/v1/jobs", `[`+sub("")+`,`+sub(`,"after":[77]`)+`]`)
		if after := len(ok[api.JobList](r, 200, "GET", "/v1/jobs", "").Jobs); after != before {
			t.Errorf("%d jobs, before a refused request %d", after, before)
		}
	})
}

func TestBodyOverTheLimit(t *testing.T) {
	r := newRig(t, 1)
	body := `{"name":"` + strings.Repeat("x", api.MaxBodyBytes) + `"}`
	status, answer := r.do("POST", "/v1/jobs", body)
	want := `{"title":"Request Entity Too Large","status":413,"detail":"the request is larger than 64 MiB",` +
		`"code":"too_large","hint":"submit in several requests"}`
	if got := strings.TrimSpace(string(answer)); status != 413 || got != want {
		t.Errorf("%d %s", status, got)
	}
}

func TestTooManyJobs(t *testing.T) {
	body := "[" + strings.Repeat(`{},`, api.MaxJobsPerPost) + "{}]"
	_, err := readDrafts([]byte(body))
	p := problemOf(err)
	if p.Code != api.CodeTooLarge || p.Detail != "10001 jobs in one request are more than 10000" {
		t.Errorf("%+v", p)
	}
}

func FuzzReadDrafts(f *testing.F) {
	f.Add([]byte(sub("")))
	f.Add([]byte(sweep(2, `,"after":[1],"at":"2026-01-02T15:04:05Z"`)))
	f.Add([]byte(`{"kind":"train","labels":{"a":"b"},"priority":-1,"timeout_seconds":1e9,"spec":null}`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		drafts, err := readDrafts(body)
		if err != nil {
			if p := problemOf(err); p.Code == api.CodeInternal || p.Detail == "" {
				t.Fatalf("not an answer for a user: %+v", p)
			}
			return
		}
		for _, d := range drafts {
			if d.spec == nil || d.sub.Name == "" {
				t.Fatalf("accepted without specification or name: %+v", d)
			}
		}
	})
}

func TestOpenAPIDescribesEveryEndpoint(t *testing.T) {
	r := newRig(t, 1)
	doc := ok[struct {
		OpenAPI string                            `json:"openapi"`
		Paths   map[string]map[string]interface{} `json:"paths"`
	}](r, 200, "GET", "/openapi.json", "")
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	for path, methods := range map[string]string{
		"/v1/jobs": "get post", "/v1/jobs/{id}": "get delete patch", "/v1/jobs/{id}/cancel": "post",
		"/v1/jobs/{id}/pause": "post", "/v1/jobs/{id}/resume": "post", "/v1/jobs/{id}/retry": "post",
		"/v1/jobs/{id}/hold": "post", "/v1/jobs/{id}/release": "post", "/v1/jobs/{id}/metrics": "get",
		"/v1/jobs/{id}/logs": "get", "/v1/jobs/{id}/model": "get", "/v1/jobs/{id}/events": "get",
		"/v1/jobs/{id}/predict": "post", "/v1/events": "get", "/v1/devices": "get", "/v1/doctor": "get",
		"/v1/version": "get", "/v1/specification": "get", "/healthz": "get", "/readyz": "get", "/metrics": "get",
	} {
		for _, m := range strings.Fields(methods) {
			if doc.Paths[path][m] == nil {
				t.Errorf("%s %s is not described", m, path)
			}
		}
	}
	status, yaml := r.do("GET", "/openapi.yaml", "")
	if status != 200 || !strings.Contains(string(yaml), "submit-jobs") || strings.Contains(string(yaml), "ErrorModel") {
		t.Errorf("YAML: %d, %d bytes", status, len(yaml))
	}
}
