package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/daemon/watchdog"
)

const (
	headerTimeout = 10 * time.Second  // a request's first lines
	bodyTimeout   = 60 * time.Second  // a request's body
	idleTimeout   = 120 * time.Second // between requests
	writeTimeout  = 30 * time.Second  // one write to a client that does not read
	answerTimeout = 2 * time.Minute   // an answer that is not a stream
	maxHeader     = 1 << 20           // a list may name ten thousand ids
)

// A server answers HTTP. It reads the store and the board, and asks the owner
// for everything that changes a job.
type server struct {
	cfg     Config
	log     *slog.Logger
	owner   *owner
	store   *store.Store
	hub     *hub
	board   *board
	meter   *meter
	scrape  http.Handler
	gate    *gate
	dog     *watchdog.Watchdog
	gpus    *gpuFinder
	samples *sampler
	started time.Time
	node    string

	openapi struct {
		once       sync.Once // guards json and yaml
		json, yaml []byte
		err        error
	}
}

// handler is the API for one listener; token says whether requests must carry
// one.
func (s *server) handler(token bool) http.Handler {
	mux := http.NewServeMux()
	doc := s.newAPI(mux)
	mux.HandleFunc("GET /openapi.json", s.openAPI(doc, "application/openapi+json",
		func() []byte { return s.openapi.json }))
	mux.HandleFunc("GET /openapi.yaml", s.openAPI(doc, "application/openapi+yaml",
		func() []byte { return s.openapi.yaml }))
	return s.meter.Observe(s.guard(token, s.bound(notFound(mux))))
}

// newAPI registers every endpoint.
func (s *server) newAPI(mux *http.ServeMux) huma.API {
	cfg := huma.DefaultConfig("weft", version(s.cfg).Version)
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks = nil
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{transformErrors}
	cfg.Info.Description = "Trains many small models on one device at once."
	doc := humago.New(mux, cfg)
	s.registerJobs(doc)
	s.registerSubmit(doc)
	s.registerFiles(doc)
	s.registerResults(doc)
	s.registerStreams(doc)
	s.registerSystem(doc)
	s.registerBench(doc)
	s.registerUsage(doc)
	s.registerAdvise(doc)
	// huma describes errors by its own model, which transformErrors replaces.
	delete(doc.OpenAPI().Components.Schemas.Map(), "ErrorModel")
	delete(doc.OpenAPI().Components.Schemas.Map(), "ErrorDetail")
	return doc
}

// operation describes an endpoint; every one may answer with a problem.
func operation(doc huma.API, id, method, path, summary string) huma.Operation {
	schema := doc.OpenAPI().Components.Schemas.Schema(problemType, true, "Problem")
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		MaxBodyBytes:     api.MaxBodyBytes + 1,
		BodyReadTimeout:  bodyTimeout,
		SkipValidateBody: true, // decodeFields says more
		Responses: map[string]*huma.Response{"default": {
			Description: "What went wrong (RFC 9457)",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}},
	}
}

// openAPI serves the description, made once: huma makes it at the first
// request, without a lock.
func (s *server) openAPI(doc huma.API, contentType string, body func() []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.openapi.once.Do(func() {
			s.openapi.json, s.openapi.err = json.Marshal(doc.OpenAPI())
			if s.openapi.err == nil {
				s.openapi.yaml, s.openapi.err = doc.OpenAPI().YAML()
			}
		})
		if s.openapi.err != nil {
			writeProblem(w, problemOf(s.openapi.err))
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body()) // the client has gone if this fails
	}
}

// guard lets in who may come in.
func (s *server) guard(token bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if token {
			err = s.gate.admitToken(r)
		} else {
			err = s.gate.admit(peerOf(r.Context()))
		}
		if err != nil {
			s.log.Warn("request refused", "method", r.Method, "path", r.URL.Path, "error", err)
			p := problemOf(err)
			if token {
				p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			writeProblem(w, p)
			return
		}
		began := time.Now()
		defer s.rescue(w, r)
		next.ServeHTTP(w, r)
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "took", time.Since(began))
	})
}

// rescue answers for a handler that panicked, and keeps the evidence.
func (s *server) rescue(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { // an answer is broken off on purpose
		panic(p)
	}
	s.log.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	writeProblem(w, problemOf(fmt.Errorf("%s %s panicked: %v", r.Method, r.URL.Path, p)))
}

// bound keeps clients that stop reading or writing from holding anything for
// long. Streams move their write deadline on as they write.
func (s *server) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(answerTimeout)) // not supported by a test's recorder
		if r.ContentLength != 0 {
			_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
			r.Body = &timedBody{r.Body, rc}
		}
		next.ServeHTTP(w, r)
	})
}

// A timedBody lifts the read deadline when the body has arrived: it would
// otherwise end the request's context while its answer is made.
type timedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// notFound answers for paths and methods that no endpoint has.
func notFound(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		allowed := methodsOf(mux, r)
		if len(allowed) == 0 {
			writeProblem(w, newProblem(&api.Error{Code: api.CodeNotFound,
				Message: fmt.Sprintf("no endpoint %s", r.URL.Path),
				Hint:    "GET /openapi.json lists all"}))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		p := newProblem(&api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("%s does not take %s", r.URL.Path, r.Method),
			Hint:    "it takes " + strings.Join(allowed, ", ")})
		p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
		writeProblem(w, p)
	})
}

func methodsOf(mux *http.ServeMux, r *http.Request) []string {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(probe); pattern != "" {
			allowed = append(allowed, m)
		}
	}
	return allowed
}

// newHTTPServer is one listener's server.
func (s *server) newHTTPServer(token bool) *http.Server {
	return &http.Server{
		Handler:           s.handler(token),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       s.gate.connContext,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
