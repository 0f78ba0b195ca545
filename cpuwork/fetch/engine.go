package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"weft/cpuwork"
)

// bufferSize is how much of a body is read at once.
const bufferSize = 64 << 10

// engine fetches items: one for all workers of a job in a process, so that they
// share connections and limits.
type engine struct {
	params
	transport *http.Transport
	dialer    *dialer
	hosts     *hosts
	gate      *gate
	slots     chan struct{} // one for each item in flight
	dir       *os.Root      // nil: bodies are not kept
	header    http.Header   // the user's, for the listed host only
	buffers   sync.Pool     // of *[bufferSize]byte
}

// newEngine makes the engine of a checked specification.
func newEngine(p params) (*engine, error) {
	p = p.share()
	d := &dialer{timeout: seconds(p.ConnectTimeout), private: p.AllowPrivate, public: public}
	e := &engine{
		params: p,
		dialer: d,
		gate:   newGate(&p),
		slots:  make(chan struct{}, p.Concurrency),
		header: http.Header{},
	}
	e.hosts = newHosts(&e.params)
	e.buffers.New = func() any { return new([bufferSize]byte) }
	for name, value := range p.Headers {
		e.header.Set(name, value)
	}
	d.proxies = environmentProxies(http.ProxyFromEnvironment)
	e.transport = newTransport(p, d.dial)
	if len(d.proxies) > 0 {
		e.transport.Proxy = http.ProxyFromEnvironment
	}
	if p.To == "" || p.Discard || p.Method == http.MethodHead {
		return e, nil
	}
	if err := os.MkdirAll(p.To, dirMode); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	var err error
	if e.dir, err = os.OpenRoot(p.To); err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return e, nil
}

// newTransport is what one engine sends by. It must not hold the engine, whose
// end is noticed by nothing holding it.
func newTransport(p params, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // files are kept as they are sent
		MaxIdleConns:           2 * p.Concurrency,
		MaxIdleConnsPerHost:    p.HostConcurrency,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    seconds(p.ConnectTimeout),
		ResponseHeaderTimeout:  seconds(p.HeaderTimeout),
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// close ends the connections that are idle. Items in flight go on.
func (e *engine) close() { e.transport.CloseIdleConnections() }

// item is one thing to fetch.
type item struct {
	text string // the URL as listed
	name string // to be written to; "" if nothing is written
	url  *url.URL
}

// An Answer is what became of an item that was fetched.
type Answer struct {
	Status      int    `json:"status,omitempty"`
	Bytes       int64  `json:"bytes"`                      // of the body, as it is kept
	Path        string `json:"path,omitempty"`             // of the file
	URL         string `json:"url,omitempty"`              // where redirects led to
	Redirects   int    `json:"redirects,omitempty"`        // how many
	Resumed     int64  `json:"resumed,omitempty"`          // bytes that an earlier attempt had got
	Skipped     bool   `json:"skipped,omitempty"`          // the file was there: nothing was asked
	NotModified bool   `json:"not_modified,omitempty"`     // the file was there and is still what the server has
	Length      int64  `json:"length,omitempty"`           // of HEAD: what Content-Length said
	Type        string `json:"content_type,omitempty"`     // as the server calls it
	Encoding    string `json:"content_encoding,omitempty"` // in which the body was sent, and kept
}

// transfer is an item in the course of one attempt.
type transfer struct {
	item
	part   *partial        // nil: not begun, or nothing is written
	since  time.Time       // when the file was last modified that is there already
	seen   map[string]bool // URLs it was redirected from
	answer Answer
	again  bool // going on was refused: once more, from the beginning
}

// do makes one attempt at an item.
func (e *engine) do(ctx context.Context, it item) (Answer, *cpuwork.ItemError) {
	if failed := acquire(ctx, e.slots); failed != nil {
		return Answer{}, failed
	}
	defer func() { <-e.slots }()
	t := &transfer{item: it}
	if e.dir != nil {
		if there, failed := e.prepare(t); there || failed != nil {
			return t.answer, failed
		}
	}
	failed := e.follow(ctx, t)
	if failed == nil && t.again {
		t.answer, t.seen = Answer{}, nil
		failed = e.follow(ctx, t)
	}
	return t.answer, e.finish(t, failed)
}

// prepare looks at what there is of a file; true if nothing needs to be done.
func (e *engine) prepare(t *transfer) (bool, *cpuwork.ItemError) {
	if e.Existing != ExistingOverwrite {
		info, err := e.dir.Lstat(t.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fileFailed(err)
		}
		if err == nil {
			t.answer.Path = filepath.Join(e.To, t.name)
			if !info.Mode().IsRegular() {
				return false, cpuwork.Failf(CodeWriteFailed, "another name", "%s is no regular file", t.answer.Path)
			}
			if e.Existing == ExistingSkip {
				t.answer.Skipped, t.answer.Bytes = true, info.Size()
				clearPartial(e.dir, t.name) // of a process that was killed after the rename
				return true, nil
			}
			t.since = info.ModTime()
		}
	}
	part, err := openNoted(e.dir, t.name, t.text, e.MaxBytes)
	if part != nil {
		t.part = part
	}
	if err != nil {
		return false, e.finish(t, fileFailed(err))
	}
	return false, nil
}

// finish gives the file its name, or keeps or removes what there is of it.
func (e *engine) finish(t *transfer, failed *cpuwork.ItemError) *cpuwork.ItemError {
	p := t.part
	if p == nil {
		return failed
	}
	t.part = nil
	var err error
	switch {
	case failed == nil && t.answer.NotModified:
		err = p.drop()
	case failed == nil:
		var modified time.Time
		if at, err := http.ParseTime(p.note.LastModified); err == nil && e.Existing == ExistingUpdate {
			modified = at
		}
		t.answer.Path = filepath.Join(e.To, t.name)
		err = p.commit(e.Sync, modified)
	case failed.Retry || e.KeepPartial && failed.Code == CodeCancelled:
		err = p.keep()
	default:
		err = p.drop()
	}
	if err != nil && failed == nil {
		return fileFailed(err)
	}
	return failed
}

// follow requests an item, and what it is redirected to.
func (e *engine) follow(ctx context.Context, t *transfer) *cpuwork.ItemError {
	for u := t.url; ; {
		next, failed := e.hop(ctx, t, u)
		if failed != nil || next == nil {
			return failed
		}
		t.answer.Redirects++
		t.answer.URL = next.Redacted()
		if t.answer.Redirects > e.MaxRedirects {
			return cpuwork.Failf(CodeTooManyRedirect, "--max-redirects, or the last address", "%d redirects, the last to %s", t.answer.Redirects, clip(t.answer.URL))
		}
		if t.seen == nil {
			t.seen = map[string]bool{}
		}
		t.seen[u.String()] = true
		if t.seen[next.String()] {
			return cpuwork.Failf(CodeRedirectLoop, "the address in a browser: it may want a cookie", "redirected in a circle, back to %s", clip(t.answer.URL))
		}
		u = next
	}
}

// hop makes one request, when it may: it returns where the answer redirects to.
func (e *engine) hop(ctx context.Context, t *transfer, u *url.URL) (*url.URL, *cpuwork.ItemError) {
	if failed := e.dialer.literal(u); failed != nil {
		return nil, failed
	}
	h := e.hosts.hold(authority(u))
	defer h.letGo()
	if failed := acquire(ctx, h.slots); failed != nil {
		return nil, failed
	}
	defer func() { <-h.slots }()
	if failed := e.gate.pass(ctx, h, t.text); failed != nil {
		return nil, failed
	}
	ended, failed := h.allow()
	if failed != nil {
		return nil, failed
	}
	next, failed := e.request(ctx, t, u)
	ended(failed)
	return next, failed
}
