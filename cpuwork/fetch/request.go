package fetch

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"weft/cpuwork"
)

// drained is how much of a body that nobody wants is read, so that its
// connection can be used again.
const drained = 64 << 10

// watch ends a request that takes too long: its context is cancelled with the
// reason as its cause. Moving the time on costs one atomic store: the timer
// looks when it fires whether it still is due.
type watch struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	begun  time.Time
	total  time.Duration
	idle   time.Duration
	last   atomic.Int64 // when the last byte came, after begun; -1: no body is read
}

func newWatch(ctx context.Context, total, idle time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, begun: time.Now(), total: total, idle: idle}
	w.last.Store(-1)
	w.timer = time.AfterFunc(time.Hour, w.look) // not before timer is set
	w.timer.Reset(min(total, idle))
	return ctx, w
}

func (w *watch) look() {
	now := time.Since(w.begun)
	if now >= w.total {
		w.cancel(errTotal)
		return
	}
	wait := min(w.idle, w.total-now)
	if last := w.last.Load(); last >= 0 {
		left := time.Duration(last) + w.idle - now
		if left <= 0 {
			w.cancel(errStalled)
			return
		}
		wait = min(left, w.total-now)
	}
	w.timer.Reset(wait)
}

// came says that something of the body came now, or may from now on.
func (w *watch) came() { w.last.Store(int64(time.Since(w.begun))) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// request sends one request and takes in its answer; it returns where to that
// redirects.
func (e *engine) request(ctx context.Context, t *transfer, u *url.URL) (*url.URL, *cpuwork.ItemError) {
	ctx, w := newWatch(ctx, seconds(e.TotalTimeout), seconds(e.IdleTimeout))
	defer w.stop()
	resp, err := e.transport.RoundTrip(e.compose(ctx, t, u))
	if err != nil {
		return nil, e.failed(ctx, err)
	}
	w.came()
	// Closing reports nothing that reading did not.
	defer func() { _ = resp.Body.Close() }()
	next, failed := e.take(ctx, w, t, u, resp)
	if next != nil || failed != nil && failed.Code == "status_"+strconv.Itoa(resp.StatusCode) {
		if resp.ContentLength <= drained {
			_, _ = io.CopyN(io.Discard, resp.Body, drained+1) // what fails here costs the connection, nothing else
		}
	}
	return next, failed
}

// compose is the request for an item's URL, or for one that it redirects to.
// The user's headers go to the listed origin and nowhere else.
func (e *engine) compose(ctx context.Context, t *transfer, u *url.URL) *http.Request {
	header := make(http.Header, len(e.header)+4)
	if u.Scheme == t.url.Scheme && authority(u) == authority(t.url) {
		for name, values := range e.header {
			header[name] = values
		}
		if user := t.url.User; user != nil && header["Authorization"] == nil {
			password, _ := user.Password()
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
		}
	}
	header["User-Agent"] = []string{e.UserAgent}
	header["Accept-Encoding"] = []string{"identity"}
	if t.part != nil && t.part.note.condition() != "" {
		header["Range"] = []string{"bytes=" + strconv.FormatInt(t.part.size, 10) + "-"}
		header["If-Range"] = []string{t.part.note.condition()}
	} else if !t.since.IsZero() {
		header["If-Modified-Since"] = []string{t.since.UTC().Format(http.TimeFormat)}
	}
	plain := u
	if u.User != nil {
		without := *u
		without.User = nil
		plain = &without
	}
	req := &http.Request{
		Method: e.Method, URL: plain, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return req.WithContext(ctx)
}

// take sorts an answer by its status.
func (e *engine) take(ctx context.Context, w *watch, t *transfer, u *url.URL, resp *http.Response) (*url.URL, *cpuwork.ItemError) {
	t.answer.Status = resp.StatusCode
	resuming := t.part != nil && t.part.size > 0
	switch code := resp.StatusCode; {
	case code == http.StatusMovedPermanently, code == http.StatusFound, code == http.StatusSeeOther,
		code == http.StatusTemporaryRedirect, code == http.StatusPermanentRedirect:
		return e.redirect(u, resp)
	case code == http.StatusNotModified && !t.since.IsZero():
		t.answer.NotModified = true
		return nil, nil
	case code == http.StatusPartialContent:
		if !resuming {
			return nil, cpuwork.Failf(CodeProtocol, "another server", "the server sent a part that nobody asked for")
		}
		if !e.goesOn(t, resp) {
			return nil, t.startAgain()
		}
	case code == http.StatusRequestedRangeNotSatisfiable && resuming:
		return nil, t.startAgain()
	case code >= 200 && code < 300:
		if resuming {
			if err := t.part.restart(); err != nil {
				return nil, fileFailed(err)
			}
		}
	default:
		return nil, e.statusFailed(resp)
	}
	return nil, e.receive(ctx, w, t, resp)
}

// redirect is where an answer redirects to.
func (e *engine) redirect(u *url.URL, resp *http.Response) (*url.URL, *cpuwork.ItemError) {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, e.statusFailed(resp)
	}
	next, err := u.Parse(location)
	if err != nil {
		return nil, cpuwork.Failf(CodeBadURL, "the address in a browser", "redirected to what is no URL")
	}
	if failed := checkURL(next); failed != nil {
		failed.Message = "redirected to where nothing is fetched: " + failed.Message
		return nil, failed
	}
	next.Fragment, next.RawFragment, next.User = "", "", nil
	return next, nil
}

// goesOn reports whether a partial answer is exactly what is missing.
func (e *engine) goesOn(t *transfer, resp *http.Response) bool {
	first, last, total, ok := contentRange(resp.Header.Get("Content-Range"))
	n := t.part.note
	if total < 0 {
		total = n.Total // a server may not tell, and then sends as much as it likes
	}
	return ok && first == t.part.size && !n.contradicts(resp.Header) &&
		last == total-1 && (n.Total < 0 || n.Total == total) &&
		(resp.ContentLength < 0 || resp.ContentLength == last-first+1)
}

// startAgain throws away what cannot be gone on with.
func (t *transfer) startAgain() *cpuwork.ItemError {
	t.again = true
	if err := t.part.restart(); err != nil {
		return fileFailed(err)
	}
	return nil
}

// receive takes in a body.
func (e *engine) receive(ctx context.Context, w *watch, t *transfer, resp *http.Response) *cpuwork.ItemError {
	t.again = false
	t.answer.Type, t.answer.Encoding = resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding")
	if e.Method == http.MethodHead {
		t.answer.Length = max(0, resp.ContentLength)
		return nil
	}
	if failed := e.begin(t, resp); failed != nil {
		return failed
	}
	var to io.Writer
	if t.part != nil {
		to = t.part
		t.answer.Resumed = t.part.size
	}
	n, failed := e.copy(ctx, w, to, resp.Body, e.MaxBytes-t.answer.Resumed)
	t.answer.Bytes = t.answer.Resumed + n
	want := resp.ContentLength
	if resp.StatusCode == http.StatusPartialContent {
		_, last, _, _ := contentRange(resp.Header.Get("Content-Range"))
		want = last + 1 - t.answer.Resumed
	}
	// A connection that ends early is a server that lied about the length, or
	// one that went away: which one cannot be told.
	if want >= 0 && n != want && (failed == nil || failed.Code == CodeLengthMismatch) {
		return retry(cpuwork.Failf(CodeLengthMismatch, "a later time: the server broke off",
			"the server announced %d bytes and sent %d", t.answer.Resumed+want, t.answer.Bytes))
	}
	return failed
}

// begin makes ready for the body of an answer, or refuses its size.
func (e *engine) begin(t *transfer, resp *http.Response) *cpuwork.ItemError {
	var have int64
	if t.part != nil {
		have = t.part.size
	}
	if resp.ContentLength > e.MaxBytes-have {
		return e.tooLarge(have + resp.ContentLength)
	}
	if e.dir == nil {
		return nil
	}
	if t.part == nil {
		p, err := openPartial(e.dir, t.name)
		if err != nil {
			return fileFailed(err)
		}
		t.part = p
		if err := p.restart(); err != nil {
			return fileFailed(err)
		}
	}
	if have == 0 {
		total := resp.ContentLength
		t.part.note = note{URL: t.text, validators: validatorsOf(resp.Header), Total: total}
	}
	return nil
}

func (e *engine) tooLarge(bytes int64) *cpuwork.ItemError {
	return cpuwork.Failf(CodeTooLarge, "--max-bytes, if it is meant", "it has at least %d bytes, of %d that are allowed", bytes, e.MaxBytes)
}

// copy reads a body to its end, or until it has more bytes than limit.
func (e *engine) copy(ctx context.Context, w *watch, to io.Writer, body io.Reader, limit int64) (int64, *cpuwork.ItemError) {
	buffer := e.buffers.Get().(*[bufferSize]byte)
	defer e.buffers.Put(buffer)
	var n int64
	for {
		got, err := body.Read(buffer[:])
		if got > 0 {
			w.came()
			n += int64(got)
			if n > limit {
				return n, e.tooLarge(n)
			}
			if to != nil {
				if _, err := to.Write(buffer[:got]); err != nil {
					return n, fileFailed(err)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return n, retry(cpuwork.Failf(CodeLengthMismatch, "a later time: the server broke off", "the connection ended within the body"))
		}
		if err != nil {
			return n, e.failed(ctx, err)
		}
	}
}
