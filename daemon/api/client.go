package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client talks to one daemon. It is safe for concurrent use. Failures are a
// [*Problem] where the daemon answered with one, and an [*Error] with code
// [CodeUnreachable] where no daemon answered; any other error is the
// transport's own, or the context's.
type Client struct {
	host   string // as given, for messages
	base   string // "http://weft" on a unix socket, else https://host:port
	token  string
	agent  string
	http   *http.Client
	retry  Backoff
	silent time.Duration // how long a stream may be silent before it is taken for dead
	outage time.Duration // how long Events tries to reach a daemon that went away
}

// Options change a Client; the zero value is what most programs want.
type Options struct {
	// Token authenticates to an https host. Default: $WEFT_TOKEN.
	Token string
	// UserAgent names the program to the daemon's log. Default: weft.
	UserAgent string
	// Backoff paces reconnections and repeated requests. Default: 100 ms to 5 s.
	Backoff Backoff
	// Silence is how long an event stream may be silent, keep-alives included,
	// before it is opened anew. Default: 45 s, three keep-alives.
	Silence time.Duration
	// Outage is how long Events goes on trying to reach a daemon that went
	// away before it gives up. Default: 1 minute.
	Outage time.Duration
}

// The size limits of answers: problems and single objects are small, lists of
// jobs with their specifications are not.
const (
	maxProblemBytes = 1 << 20
	maxAnswerBytes  = 1 << 30
	dialTimeout     = 5 * time.Second
)

// New returns a client of the daemon at host: unix:///path, a path that begins
// with a slash, or https://name:port. An empty host means [DefaultHost].
// Nothing is dialled yet.
func New(host string, o Options) (*Client, error) {
	if host == "" {
		host = DefaultHost()
	}
	place, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	c := &Client{host: host, base: place.base, retry: o.Backoff.withDefaults(),
		silent: orDefault(o.Silence, 45*time.Second), outage: orDefault(o.Outage, time.Minute)}
	if place.socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", place.socket)
		}
	} else {
		c.token = firstNonEmpty(o.Token, environment("WEFT_TOKEN"))
	}
	c.agent = firstNonEmpty(o.UserAgent, "weft")
	c.http = &http.Client{
		Transport: transport,
		// The API never redirects; following one would hand out the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Host returns the host the client was made with, or the default it found.
func (c *Client) Host() string { return c.host }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one call of the API.
type request struct {
	method string
	path   string // begins with /
	query  url.Values
	body   any               // marshalled as JSON unless nil
	header map[string]string // beside the usual ones
	again  bool              // may be repeated when the connection broke: it changes nothing twice
}

// send makes the request and returns its answer when the status is 2xx. The
// caller closes the body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body []byte
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = b
	}
	const tries = 4
	for n := 1; ; n++ {
		res, err := c.sendOnce(ctx, r, body)
		if err == nil {
			return res, nil
		}
		if !r.again || n == tries || !broken(err) {
			return nil, c.explain(err)
		}
		if err := c.retry.Wait(ctx, n); err != nil {
			return nil, err
		}
	}
}

// sendOnce makes the request once; an answer that is not 2xx is an error.
func (c *Client) sendOnce(ctx context.Context, r request, body []byte) (*http.Response, error) {
	res, err := c.sendAny(ctx, r, body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, readProblem(res)
}

// sendAny makes the request once and returns whatever was answered.
func (c *Client) sendAny(ctx context.Context, r request, body []byte) (*http.Response, error) {
	u := c.base + r.path
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	return c.http.Do(req)
}

// call makes the request and decodes its JSON answer into out, unless nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	res, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxProblemBytes))
		return err
	}
	b, err := readAll(res)
	if err != nil {
		return c.explain(err)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("decode %s %s: %w", r.method, r.path, err)
	}
	return nil
}

// readAll reads an answer of known or unknown length, within the limit.
func readAll(res *http.Response) ([]byte, error) {
	if res.ContentLength > maxAnswerBytes {
		return nil, fmt.Errorf("read answer: %d bytes are more than the limit of %d", res.ContentLength, maxAnswerBytes)
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(res.ContentLength, 512)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(res.Body, maxAnswerBytes+1))
	if err == nil && n > maxAnswerBytes {
		err = fmt.Errorf("read answer: more than the limit of %d bytes", maxAnswerBytes)
	}
	return buf.Bytes(), err
}

// readProblem turns an answer that is not 2xx into an error, also where
// something between client and daemon answered in its own words.
func readProblem(res *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(res.Body, maxProblemBytes))
	if err != nil {
		return err
	}
	p := &Problem{}
	media, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if media == "application/problem+json" || media == "application/json" {
		if json.Unmarshal(b, p) != nil {
			*p = Problem{}
		}
	}
	p.Status = res.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(res.StatusCode)
	}
	if p.Detail == "" {
		p.Detail = fmt.Sprintf("the daemon answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	if p.Code == "" {
		p.Code = codeOf(res.StatusCode)
	}
	return p
}

// codeOf names the failure behind a status that came without a code.
func codeOf(status int) Code {
	switch status {
	case http.StatusNotFound:
		return CodeNotFound
	case http.StatusConflict:
		return CodeWrongState
	case http.StatusRequestEntityTooLarge:
		return CodeTooLarge
	case http.StatusUnauthorized, http.StatusForbidden:
		return CodeForbidden
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway:
		return CodeUnavailable
	}
	if status < 500 {
		return CodeInvalid
	}
	return CodeInternal
}

// AsError returns the code, message and hint of a failure of this package, a
// [*Problem] or an [*Error], or nil for any other error.
func AsError(err error) *Error {
	if p, ok := errors.AsType[*Problem](err); ok {
		return &Error{Code: p.Code, Message: p.Detail, Hint: p.Hint}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}

func firstNonEmpty(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
