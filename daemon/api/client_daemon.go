package api

import (
	"context"
	"encoding/json"
	"net/http"
)

// Version returns what the daemon says of itself.
func (c *Client) Version(ctx context.Context) (*Version, error) {
	out := &Version{}
	return out, c.get(ctx, "/v1/version", out)
}

// Doctor returns what the daemon found on its machine.
func (c *Client) Doctor(ctx context.Context) (*Doctor, error) {
	out := &Doctor{}
	return out, c.get(ctx, "/v1/doctor", out)
}

// Probe is Doctor that has the daemon ask the NVIDIA driver anew, which may
// take seconds.
func (c *Client) Probe(ctx context.Context) (*Doctor, error) {
	out := &Doctor{}
	return out, c.get(ctx, "/v1/doctor?probe=true", out)
}

// Devices lists the daemon's devices.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	var out []Device
	return out, c.get(ctx, "/v1/devices", &out)
}

// Specification returns the JSON Schema of the training specification.
func (c *Client) Specification(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	return out, c.get(ctx, "/v1/specification", &out)
}

// Healthy returns /healthz, also where its checks fail.
func (c *Client) Healthy(ctx context.Context) (*Health, error) { return c.health(ctx, "/healthz") }

// Ready returns /readyz: whether the daemon takes and starts jobs now.
func (c *Client) Ready(ctx context.Context) (*Health, error) { return c.health(ctx, "/readyz") }

// health reads an answer whose body is the same for 200 and 503.
func (c *Client) health(ctx context.Context, path string) (*Health, error) {
	res, err := c.sendAny(ctx, request{method: http.MethodGet, path: path}, nil)
	if err != nil {
		return nil, c.explain(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		return nil, readProblem(res)
	}
	b, err := readAll(res)
	if err != nil {
		return nil, c.explain(err)
	}
	out := &Health{}
	return out, json.Unmarshal(b, out)
}

func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.call(ctx, request{method: http.MethodGet, path: path, again: true}, out)
}
