package daemon

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/daemon/api"
	"weft/gpu/train"
)

// healthTimeout bounds how long a check waits for the part it asks.
const healthTimeout = 3 * time.Second

func (s *server) registerSystem(doc huma.API) {
	huma.Register(doc, operation(doc, "list-devices", http.MethodGet, "/v1/devices",
		"Devices and what runs on them"), s.devices)
	huma.Register(doc, operation(doc, "get-device-history", http.MethodGet, "/v1/devices/{id}/history",
		"What a device's sensors said over a time"), s.history)
	huma.Register(doc, operation(doc, "get-version", http.MethodGet, "/v1/version", "Which daemon this is"), s.version)
	huma.Register(doc, operation(doc, "get-doctor", http.MethodGet, "/v1/doctor",
		"What was found on this machine, and what to do about what was not"), s.doctor)
	health := reflect.TypeFor[api.Health]()
	op := operation(doc, "get-health", http.MethodGet, "/healthz", "Whether the daemon's parts work")
	op.Responses["503"] = jsonResponse(doc, health)
	huma.Register(doc, op, s.healthz)
	op = operation(doc, "get-ready", http.MethodGet, "/readyz", "Whether jobs are taken and can run")
	op.Responses["503"] = jsonResponse(doc, health)
	huma.Register(doc, op, s.readyz)
	op = operation(doc, "get-prometheus", http.MethodGet, "/metrics", "Prometheus metrics")
	op.Responses["200"] = textResponse("text/plain", "Prometheus text format")
	huma.Register(doc, op, s.prometheus)
	op = operation(doc, "get-specification", http.MethodGet, "/v1/specification",
		"The JSON Schema of training specifications")
	op.Responses["200"] = &huma.Response{Description: "JSON Schema 2020-12", Content: map[string]*huma.MediaType{
		"application/schema+json": {Schema: &huma.Schema{Type: huma.TypeObject}},
	}}
	huma.Register(doc, op, s.specification)
}

type devicesOutput struct{ Body []api.Device }

func (s *server) devices(ctx context.Context, _ *struct{}) (*devicesOutput, error) {
	views, err := s.owner.views(ctx)
	if err != nil {
		return nil, s.fault(err)
	}
	now := time.Now()
	for i := range views {
		views[i].Sample = s.samples.latest(views[i].ID, now)
	}
	return &devicesOutput{views}, nil
}

type versionOutput struct{ Body api.Version }

func (s *server) version(context.Context, *struct{}) (*versionOutput, error) {
	v := version(s.cfg)
	v.StateDir, v.StartedAt, v.Node = s.cfg.StateDir, s.started, s.node
	return &versionOutput{v}, nil
}

// version reads what the Go tool recorded in the binary.
func version(cfg Config) api.Version {
	v := api.Version{Version: cfg.Version, Go: runtime.Version(), PID: os.Getpid()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	for _, kv := range info.Settings {
		if kv.Key == "vcs.revision" {
			v.Commit = kv.Value
		}
	}
	return v
}

func (s *server) prometheus(context.Context, *struct{}) (*streamOutput, error) {
	return &streamOutput{func(c huma.Context) {
		r, w := unwrap(c)
		s.scrape.ServeHTTP(w, r)
	}}, nil
}

func (s *server) specification(context.Context, *struct{}) (*streamOutput, error) {
	return &streamOutput{func(c huma.Context) {
		c.SetHeader("Content-Type", "application/schema+json")
		_, _ = c.BodyWriter().Write(train.Schema()) // the client has gone if this fails
	}}, nil
}

type healthOutput struct {
	Status int
	Body   api.Health
}

func healthOf(checks []api.HealthCheck) *healthOutput {
	out := &healthOutput{http.StatusOK, api.Health{Status: api.CheckOK, Checks: checks}}
	for _, c := range checks {
		if c.Status != api.CheckOK {
			out.Status, out.Body.Status = http.StatusServiceUnavailable, api.CheckFailing
		}
	}
	return out
}

func check(name string, err error) api.HealthCheck {
	if err != nil {
		return api.HealthCheck{Name: name, Status: api.CheckFailing, Message: err.Error()}
	}
	return api.HealthCheck{Name: name, Status: api.CheckOK}
}

func (s *server) healthz(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	ctx, stop := context.WithTimeout(ctx, healthTimeout)
	defer stop()
	checks := []api.HealthCheck{check("loops", s.dog.Healthy()), check("store", s.checkStore(ctx))}
	views, err := s.owner.views(ctx)
	if err != nil {
		err = fmt.Errorf("the owner of jobs does not answer within %s", healthTimeout)
	}
	checks = append(checks, check("jobs", err))
	for _, v := range views {
		var err error
		if v.State != api.DeviceReady && v.State != api.DeviceFailing { // one that never was ready is for doctor
			err = fmt.Errorf("its worker is %s: %s", v.State, firstLine(v.Message))
		}
		checks = append(checks, check("device "+v.ID, err))
	}
	return healthOf(checks), nil
}

func (s *server) checkStore(ctx context.Context) error {
	s.board.mu.RLock()
	err := s.board.storeErr
	s.board.mu.RUnlock()
	if err == nil {
		_, err = s.store.LastEvent(ctx)
	}
	return err
}

func (s *server) readyz(context.Context, *struct{}) (*healthOutput, error) {
	s.board.mu.RLock()
	defer s.board.mu.RUnlock()
	var draining, starved error
	if s.board.draining {
		draining = fmt.Errorf("the daemon is stopping")
	}
	if len(s.board.starved) > 0 {
		starved = fmt.Errorf("jobs wait and there is no worker for %s", strings.Join(s.board.starved, ", "))
	}
	return healthOf([]api.HealthCheck{
		check("accepting", draining),
		check("store", s.board.storeErr),
		check("workers", starved),
	}), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
