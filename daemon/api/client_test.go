package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// listen serves handler on a unix socket and returns a client of it.
func listen(t *testing.T, handler http.Handler, o Options) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft-api-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(s.Close)
	o.Backoff = Backoff{First: time.Microsecond, Most: time.Millisecond}
	c, err := New("unix://"+socket, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestParseHost(t *testing.T) {
	for host, want := range map[string]string{
		"unix:///run/weft.sock":     "socket /run/weft.sock",
		"/run/weft.sock":            "socket /run/weft.sock",
		"https://gpu.example:7337":  "https://gpu.example:7337",
		"https://gpu.example:7337/": "https://gpu.example:7337",
		"unix://run/weft.sock":      `error host "unix://run/weft.sock" needs an absolute path`,
		"http://gpu.example":        `error host "http://gpu.example" is not encrypted, and would show the token`,
		"https://u:p@gpu.example":   `error host "https://u:p@gpu.example" must be only a name and a port`,
		"gpu.example:7337":          `error host "gpu.example:7337" is not an address`,
		"weft.sock":                 `error host "weft.sock" is not an address`,
	} {
		p, err := parseHost(host)
		got := p.base
		if p.socket != "" {
			got = "socket " + p.socket
		}
		if err != nil {
			got = "error " + err.Error()
			if AsError(err).Hint == "" {
				t.Errorf("parseHost(%q): no hint", host)
			}
		}
		if got != want {
			t.Errorf("parseHost(%q) = %s, want %s", host, got, want)
		}
	}
}

func TestSocketPlaces(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"/run/u/weft.sock /h/.local/state/weft/weft.sock": {"XDG_RUNTIME_DIR": "/run/u", "HOME": "/h"},
		"/x/weft/weft.sock": {"XDG_STATE_HOME": "/x", "HOME": "/h"},
		"/w/weft.sock":      {"WEFT_STATE": "/w", "XDG_STATE_HOME": "/x", "HOME": "/h"},
	} {
		got := strings.Join(SocketPlaces(func(k string) string { return env[k] }), " ")
		if got != want {
			t.Errorf("SocketPlaces(%v) = %s, want %s", env, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	c, err := New(filepath.Join(dir, "none.sock"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	e := AsError(err)
	if e == nil || e.Code != CodeUnreachable || e.Hint != "weft serve starts one; -H or WEFT_HOST names another" ||
		e.Message != "no daemon answers at "+dir+"/none.sock" {
		t.Fatalf("Version without a daemon: %+v", err)
	}
	for _, err := range c.Events(t.Context(), EventFilter{}, 0) {
		if AsError(err) == nil || AsError(err).Code != CodeUnreachable {
			t.Errorf("Events without a daemon: %v", err)
		}
	}
}

func TestProblem(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		media     string
		body      string
		code      Code
		message   string
		hint      string
		locations int
	}{
		"a problem": {422, "application/problem+json; charset=utf-8",
			`{"title":"Unprocessable","status":422,"detail":"1 fault","code":"invalid","hint":"mend it","errors":[{"location":"/0/spec/lr","message":"no"}]}`,
			CodeInvalid, "1 fault", "mend it", 1},
		"a proxy's page": {502, "text/html", "<html>", CodeUnavailable, "the daemon answered 502 Bad Gateway", "", 0},
		"a broken body": {404, "application/json", `{"detail":`, CodeNotFound,
			"the daemon answered 404 Not Found", "", 0},
		"without a code":  {409, "application/json", `{"detail":"no"}`, CodeWrongState, "no", "", 0},
		"a redirect":      {302, "text/html", "", CodeInvalid, "the daemon answered 302 Found", "", 0},
		"an empty answer": {500, "", "", CodeInternal, "the daemon answered 500 Internal Server Error", "", 0},
	} {
		c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tc.media)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tc.status)
			io.WriteString(w, tc.body)
		}), Options{})
		_, err := c.Job(t.Context(), 1)
		var p *Problem
		if !errors.As(err, &p) {
			t.Errorf("%s: %v is no problem", name, err)
			continue
		}
		if p.Status != tc.status || p.Code != tc.code || p.Detail != tc.message || p.Hint != tc.hint ||
			len(p.Errors) != tc.locations {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

// breaking answers the first n requests by closing the connection.
func breaking(n int32, then http.Handler) (http.Handler, *atomic.Int32) {
	var tries atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) <= n {
			panic(http.ErrAbortHandler)
		}
		then.ServeHTTP(w, r)
	}), &tries
}

func TestSubmitRepeatsWithTheSameKey(t *testing.T) {
	var keys []string
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"jobs":[{"id":7}]}`)
	})
	h, tries := breaking(2, answer)
	c := listen(t, h, Options{})
	jobs, err := c.Submit(t.Context(), []Submission{{Kind: KindTrain}}, "k1")
	if err != nil || len(jobs) != 1 || jobs[0].ID != 7 || !slices.Equal(keys, []string{"k1"}) || tries.Load() != 3 {
		t.Errorf("Submit = %v, %v after %d tries with keys %v", jobs, err, tries.Load(), keys)
	}
}

func TestNothingIsRepeatedThatMayHappenTwice(t *testing.T) {
	for name, call := range map[string]func(*Client) error{
		"submit without a key": func(c *Client) error { _, err := c.Submit(t.Context(), nil, ""); return err },
		"retry":                func(c *Client) error { _, err := c.Do(t.Context(), 1, ActionRetry); return err },
		"delete":               func(c *Client) error { return c.Delete(t.Context(), 1) },
	} {
		h, tries := breaking(1, http.NotFoundHandler())
		err := call(listen(t, h, Options{}))
		if e := AsError(err); e == nil || e.Code != CodeUnreachable || tries.Load() != 1 {
			t.Errorf("%s: %v after %d tries", name, err, tries.Load())
		}
	}
}

func TestJobsFollowsTheCursorAndSplitsIDs(t *testing.T) {
	var asked []string
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, fmt.Sprintf("%d ids after=%s spec=%s", len(q["id"]), q.Get("after"), q.Get("spec")))
		page := JobList{Jobs: []Job{{ID: int64(len(asked))}}}
		if len(asked) == 1 {
			page.Next = 40
		}
		json.NewEncoder(w).Encode(page)
	}), Options{})
	jobs, err := c.Jobs(t.Context(), Filter{IDs: make([]int64, maxIDsPerGet+1)})
	want := []string{"500 ids after= spec=false", "500 ids after=40 spec=false", "1 ids after= spec=false"}
	if err != nil || len(jobs) != 3 || !slices.Equal(asked, want) {
		t.Errorf("Jobs = %d jobs, %v; asked %q", len(jobs), err, asked)
	}
}

func TestJobsRefusesACursorThatStandsStill(t *testing.T) {
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"jobs":[],"next":5}`)
	}), Options{})
	if _, err := c.Jobs(t.Context(), Filter{}); err == nil || !strings.Contains(err.Error(), "cursor") {
		t.Errorf("Jobs with a cursor that stands still: %v", err)
	}
}

func TestTokenGoesToHTTPSOnly(t *testing.T) {
	t.Setenv("WEFT_TOKEN", "secret")
	got := make(chan string, 2)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		io.WriteString(w, `{}`)
	})
	if _, err := listen(t, handler, Options{}).Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a != "" {
		t.Errorf("the socket got the token: %q", a)
	}
	s := httptest.NewTLSServer(handler)
	defer s.Close()
	c, err := New(s.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Version(t.Context())
	if e := AsError(err); e == nil || e.Code != CodeUnreachable || !strings.Contains(e.Message, "is not trusted") {
		t.Fatalf("Version of an untrusted server: %v", err)
	}
	c.http.Transport = s.Client().Transport
	if _, err = c.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a != "Bearer secret" {
		t.Errorf("Authorization = %q", a)
	}
}

func TestHealthyReadsAFailingAnswer(t *testing.T) {
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"status":"failing","checks":[{"name":"loop","status":"failing"}]}`)
	}), Options{})
	h, err := c.Healthy(t.Context())
	if err != nil || h.Status != CheckFailing || len(h.Checks) != 1 {
		t.Errorf("Healthy = %+v, %v", h, err)
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	b := Backoff{}.withDefaults()
	for n := 1; n < 100; n++ {
		d := b.Duration(n)
		full := b.Most
		if n < 7 {
			full = b.First << (n - 1)
		}
		if d < full/2 || d > full {
			t.Errorf("Duration(%d) = %v, want %v to %v", n, d, full/2, full)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Backoff{First: time.Hour, Most: time.Hour}).Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a cancelled context: %v", err)
	}
}
