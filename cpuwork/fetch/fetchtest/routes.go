package fetchtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// claimed is the length that a body is said to have that never ends.
const claimed = 1_000_000

// Version is the ETag of /ok and its like; modified is when it is from.
const Version = `"v1"`

var modified = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// Byte is the byte at a place of every body of the server.
func Byte(at int64) byte { return byte(at>>8) ^ byte(at) ^ byte(at>>16) }

// Body is a whole body of n bytes.
func Body(n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = Byte(int64(i))
	}
	return b
}

// content is a body that can be sought in.
func content(n int64) io.ReadSeeker { return io.NewSectionReader(pattern{}, 0, n) }

type pattern struct{}

func (pattern) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = Byte(off + int64(i))
	}
	return len(p), nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	number := func(r *http.Request, name string) int64 {
		n, _ := strconv.ParseInt(r.PathValue(name), 10, 64) // tests write their paths right
		return max(0, n)
	}
	mux.HandleFunc("/ok/{n}", func(w http.ResponseWriter, r *http.Request) { ok(w, r, number(r, "n")) })
	mux.HandleFunc("/status/{n}", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(int(number(r, "n"))) })
	mux.HandleFunc("/after/{n}/{s}", func(w http.ResponseWriter, r *http.Request) {
		s.later(w, r, int(number(r, "n")), r.PathValue("s"))
	})
	mux.HandleFunc("/date/{n}/{s}", func(w http.ResponseWriter, r *http.Request) {
		at := time.Now().Add(time.Duration(number(r, "s")) * time.Second)
		s.later(w, r, int(number(r, "n")), at.UTC().Format(http.TimeFormat))
	})
	mux.HandleFunc("/limited", s.limited)
	mux.HandleFunc("/stall/{n}", func(w http.ResponseWriter, r *http.Request) {
		announce(w, claimed, number(r, "n"))
		s.hang(r)
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { s.hang(r) })
	mux.HandleFunc("/drip/{n}/{ms}", func(w http.ResponseWriter, r *http.Request) {
		s.drip(w, r, number(r, "n"), time.Duration(number(r, "ms"))*time.Millisecond)
	})
	mux.HandleFunc("/lie/{n}/{m}", func(w http.ResponseWriter, r *http.Request) {
		announce(w, number(r, "n"), number(r, "m"))
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/reset/{n}", func(w http.ResponseWriter, r *http.Request) { reset(w, claimed, number(r, "n")) })
	mux.HandleFunc("/flaky/{n}/{m}", func(w http.ResponseWriter, r *http.Request) { flaky(w, r, number(r, "n"), number(r, "m")) })
	mux.HandleFunc("/norange/{n}", func(w http.ResponseWriter, r *http.Request) {
		again := r.Header.Get("Range") != ""
		r.Header.Del("Range")
		if again {
			ok(w, r, number(r, "n"))
			return
		}
		flaky(w, r, number(r, "n"), 1000)
	})
	mux.HandleFunc("/wrongrange/{n}", func(w http.ResponseWriter, r *http.Request) { s.wrongRange(w, r, number(r, "n")) })
	mux.HandleFunc("/chunked/{n}", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.Copy(w, content(number(r, "n")))
	})
	mux.HandleFunc("/gzip", gzipped)
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) { raw(w, "no HTTP at all\r\n\r\n") })
	mux.HandleFunc("/circle/{n}", func(w http.ResponseWriter, r *http.Request) {
		at, _ := strconv.ParseInt(r.URL.Query().Get("at"), 10, 64) // 0 without
		http.Redirect(w, r, fmt.Sprintf("%s?at=%d", r.URL.Path, (at+1)%max(1, number(r, "n"))), http.StatusFound)
	})
	mux.HandleFunc("/hops/{n}", func(w http.ResponseWriter, r *http.Request) {
		if n := number(r, "n"); n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/hops/%d", n-1), http.StatusMovedPermanently)
			return
		}
		ok(w, r, 5)
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		to, _ := url.QueryUnescape(r.URL.RawQuery) // tests write their queries right
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/echo", echo)
	return mux
}

func ok(w http.ResponseWriter, r *http.Request, n int64) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if n <= 4096 && r.Header.Get("Range") == "" && r.Header.Get("If-Modified-Since") == "" {
		// The short way, so that measuring measures the client.
		h.Set("Content-Length", strconv.FormatInt(n, 10))
		h.Set("Etag", Version)
		h.Set("Last-Modified", modified.Format(http.TimeFormat))
		if r.Method != http.MethodHead {
			_, _ = w.Write(Body(n)) // a client that went away is its own affair, here and below
		}
		return
	}
	h.Set("Etag", Version)
	http.ServeContent(w, r, "", modified, content(n))
}

func (s *Server) later(w http.ResponseWriter, r *http.Request, status int, after string) {
	if s.relented.Load() {
		ok(w, r, 5)
		return
	}
	w.Header().Set("Retry-After", after)
	w.WriteHeader(status)
}

func (s *Server) limited(w http.ResponseWriter, r *http.Request) {
	if !s.bucket.allow() {
		s.refused.Add(1)
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	ok(w, r, 5)
}

// announce says that n bytes come and sends the first m of them.
func announce(w http.ResponseWriter, n, m int64) {
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Etag", Version)
	w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(w, content(min(n, m)))
	w.(http.Flusher).Flush()
}

// hang waits for the client to go away, or the server to end.
func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.quit:
	}
}

func (s *Server) drip(w http.ResponseWriter, r *http.Request, n int64, every time.Duration) {
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	tick := time.NewTicker(max(every, time.Microsecond))
	defer tick.Stop()
	for i := range n {
		_, _ = w.Write([]byte{Byte(i)})
		w.(http.Flusher).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.quit:
			return
		}
	}
}

// flaky breaks off a whole answer after m bytes, and answers ranges well.
func flaky(w http.ResponseWriter, r *http.Request, n, m int64) {
	if r.Header.Get("Range") != "" {
		w.Header().Set("Etag", Version)
		http.ServeContent(w, r, "", modified, content(n))
		return
	}
	announce(w, n, m)
	panic(http.ErrAbortHandler)
}

// wrongRange breaks off the first whole answer, answers a range with another,
// and the whole well from the second on.
func (s *Server) wrongRange(w http.ResponseWriter, r *http.Request, n int64) {
	switch {
	case r.Header.Get("Range") != "":
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", n-1, n))
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.Copy(w, content(n))
	case s.broken.CompareAndSwap(false, true):
		announce(w, n, n/2)
		panic(http.ErrAbortHandler)
	default:
		ok(w, r, n)
	}
}

// raw takes the connection over, sends text and closes it.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

// reset sends m of n bytes and resets the connection.
func reset(w http.ResponseWriter, n, m int64) {
	announce(w, n, m)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0) // closing resets then
	}
	_ = conn.Close()
}

func gzipped(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(Body(100)) // to memory
	_ = z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(b.Bytes())
}

func echo(w http.ResponseWriter, r *http.Request) {
	lines := []string{"Method: " + r.Method, "Host: " + r.Host}
	for name, values := range r.Header {
		lines = append(lines, name+": "+strings.Join(values, ","))
	}
	sort.Strings(lines)
	_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n")
}
