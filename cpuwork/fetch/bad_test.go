package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/cpuwork/fetch/fetchtest"
)

// Every way a server can misbehave ends in its code, a message and a hint, and
// leaves nothing behind.
func TestBadServers(t *testing.T) {
	s := start(t, fetchtest.Config{})
	idle := func(s *Spec) { s.IdleTimeout = 0.2 } // and all of its time for the header
	header := func(s *Spec) { s.HeaderTimeout = 0.2 }
	for _, c := range []struct {
		path, code, message string
		change              func(*Spec)
	}{
		{"/status/404", "status_404", "the server answered 404 Not Found", nil},
		{"/status/500", "status_500", "the server answered 500 Internal Server Error", nil},
		{"/status/302", "status_302", "the server answered 302 Found", nil},
		{"/status/206", CodeProtocol, "the server sent a part that nobody asked for", nil},
		{"/status/304", "status_304", "the server answered 304 Not Modified", nil},
		{"/stall/10", CodeStalled, "no byte came for 200ms", idle},
		{"/stall/0", CodeStalled, "no byte came for 200ms", idle},
		{"/silent", CodeTimeout, "no answer within 200ms", header},
		{"/drip/100000/1", CodeTimeout, "it took longer than 300ms", func(s *Spec) { s.TotalTimeout = 0.3 }},
		{"/lie/100/40", CodeLengthMismatch, "the server announced 100 bytes and sent 40", nil},
		{"/reset/5000", CodeReset, "the server reset the connection", nil},
		{"/garbage", CodeProtocol, "the exchange failed: HTTP/1.x transport connection broken: malformed HTTP", nil},
		{"/circle/3", CodeRedirectLoop, "redirected in a circle, back to " + s.URL + "/circle/3?at=1", nil},
		{"/hops/4", CodeTooManyRedirect, "4 redirects, the last to " + s.URL + "/hops/0", func(s *Spec) { s.MaxRedirects = 3 }},
		{"/hops/1", CodeTooManyRedirect, "1 redirects, the last to " + s.URL + "/hops/0", func(s *Spec) { s.MaxRedirects = -1 }},
		{"/to?file:///etc/passwd", CodeBadURL, `redirected to where nothing is fetched: "file" is not fetched, only http and https`, nil},
		{"/to?http://", CodeBadURL, "redirected to where nothing is fetched: there is no host in it", nil},
		{"/ok/1001", CodeTooLarge, "it has at least 1001 bytes, of 1000 that are allowed", func(s *Spec) { s.MaxBytes = 1000 }},
		{"/chunked/1001", CodeTooLarge, "bytes, of 1000 that are allowed", func(s *Spec) { s.MaxBytes = 1000 }},
		{"/after/429/7200", "status_429", "the server answered 429 Too Many Requests, and to come back in 2h0m0s: 10m0s is the most that is waited", nil},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			spec := local(into(dir))
			if c.change != nil {
				c.change(&spec)
			}
			spec.URLs = []string{s.URL + c.path + "\tgot"}
			lines := runLoad(t, spec, 1)
			if len(lines) != 1 || lines[0].OK || lines[0].Error == nil {
				t.Fatalf("got %+v", lines)
			}
			got := lines[0].Error
			if got.Code != c.code || !strings.Contains(got.Message, c.message) || got.Hint == "" {
				t.Errorf("got %s: %s (try: %s), want %s: %s", got.Code, got.Message, got.Hint, c.code, c.message)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", names(left))
			}
		})
	}
}

// A server that resets mid-header, or does not listen.
func TestNoServer(t *testing.T) {
	e := engineOf(t, local(nil))
	closed := listen(t, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	if _, failed := get(t, e, "http://"+closed); failed == nil || failed.Code != CodeReset || !failed.Retry {
		t.Errorf("reset before an answer: %+v", failed)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if _, failed := get(t, e, "http://"+addr); failed == nil || failed.Code != CodeRefused || !failed.Retry {
		t.Errorf("nobody listens: %+v", failed)
	}
}

// listen calls serve for one connection after it sent something.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			serve(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// More than was announced is not taken in, and does not spoil what follows. It may
// cost it an attempt: net/http looks at an idle connection for what nobody asked for,
// but a request can be quicker, and then takes that for its answer.
func TestMoreThanAnnounced(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more that nobody asked for")
		_ = c.Close()
	})
	e := engineOf(t, local(nil))
	for range 3 {
		var a Answer
		r := drive(t.Context(), e.item, []byte("http://"+addr), 2)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if err := json.Unmarshal(r.Output, &a); err != nil || a.Bytes != 5 {
			t.Fatalf("%d bytes, %v", a.Bytes, err)
		}
	}
}

func TestTLSFailures(t *testing.T) {
	plain := start(t, fetchtest.Config{})
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	e := engineOf(t, local(nil))
	_, failed := get(t, e, strings.Replace(plain.URL, "http:", "https:", 1))
	if failed == nil || failed.Code != CodeTLS || failed.Hint != "http:// instead of https://" || failed.Retry {
		t.Errorf("no TLS: %+v", failed)
	}
	_, failed = get(t, e, secure.URL)
	if failed == nil || failed.Code != CodeTLS || failed.Message != "the certificate is signed by an unknown authority" || failed.Retry {
		t.Errorf("own authority: %+v", failed)
	}
	e.transport.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	e.transport.TLSClientConfig.ServerName = "other.test"
	_, failed = get(t, e, secure.URL)
	if failed == nil || failed.Code != CodeTLS || !strings.HasPrefix(failed.Message, "the certificate is for another name") {
		t.Errorf("another's certificate: %+v", failed)
	}
}

func TestHTTP2(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(make([]byte, 40))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprint(w, r.Proto)
	}))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	dir := t.TempDir()
	e := engineOf(t, local(into(dir)))
	e.transport.TLSClientConfig = &tls.Config{RootCAs: secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	must(t, e, secure.URL+"\tproto")
	if got, _ := os.ReadFile(filepath.Join(dir, "proto")); string(got) != "HTTP/2.0" {
		t.Errorf("spoke %q", got)
	}
	_, failed := get(t, e, secure.URL+"/broken\tb")
	if failed == nil || !failed.Retry || failed.Code != CodeReset {
		t.Errorf("broken off: %+v", failed)
	}
}

// A cancelled item answers its context's error at once, and leaves nothing.
func TestCancel(t *testing.T) {
	s := start(t, fetchtest.Config{})
	for _, path := range []string{"/stall/100000", "/silent", "/drip/1000000/1"} {
		dir := t.TempDir()
		e := engineOf(t, local(into(dir)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		before := s.Stats().Requests
		go func() {
			_, err := e.item(ctx, []byte(s.URL+path+"\tx"), nil)
			done <- err
		}()
		for s.Stats().Requests == before { // it is under way: real sockets have no other sign
			select {
			case err := <-done:
				t.Fatalf("%s: ended by itself: %v", path, err)
			default:
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("%s left %v", path, names(left))
		}
	}
}

func TestDecompressionIsLeftToTheReader(t *testing.T) {
	s := start(t, fetchtest.Config{})
	dir := t.TempDir()
	e := engineOf(t, local(into(dir)))
	a := must(t, e, s.URL+"/gzip\tz")
	got, _ := os.ReadFile(filepath.Join(dir, "z"))
	if a.Encoding != "gzip" || !bytes.HasPrefix(got, []byte{0x1f, 0x8b}) || int64(len(got)) != a.Bytes {
		t.Errorf("%+v, file of %d bytes", a, len(got))
	}
	must(t, e, s.URL+"/echo\techo")
	if got, _ := os.ReadFile(filepath.Join(dir, "echo")); !strings.Contains(string(got), "Accept-Encoding: identity\n") {
		t.Errorf("asked with %s", got)
	}
}
