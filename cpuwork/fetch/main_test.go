package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/fetch/fetchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a server for one test.
func start(t testing.TB, config fetchtest.Config) *fetchtest.Server {
	t.Helper()
	s, err := fetchtest.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
	})
	return s
}

// local is a specification for the server of a test; change may be nil.
func local(change func(*Spec)) Spec {
	s := Spec{URLs: []string{"-"}, Discard: true, AllowPrivate: true}
	if change != nil {
		change(&s)
	}
	return s
}

// into changes a specification to write files.
func into(dir string) func(*Spec) {
	return func(s *Spec) { s.Discard, s.To = false, dir }
}

// engineOf makes an engine for one test.
func engineOf(t testing.TB, s Spec) *engine {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(params{Spec: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.close()
		if e.dir != nil {
			_ = e.dir.Close()
		}
	})
	return e
}

// get makes one attempt at a line of a list.
func get(t testing.TB, e *engine, line string) (Answer, *cpuwork.ItemError) {
	t.Helper()
	out, err := e.item(t.Context(), []byte(line), nil)
	var a Answer
	var failed *cpuwork.ItemError
	if errors.As(err, &failed) {
		return a, failed
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	return a, nil
}

// must is get where it has to succeed.
func must(t testing.TB, e *engine, line string) Answer {
	t.Helper()
	a, failed := get(t, e, line)
	if failed != nil {
		t.Fatalf("%s: %s: %s", line, failed.Code, failed.Message)
	}
	return a
}

// drive does one item as a pool does: again while its error says so, when it
// says so.
func drive(ctx context.Context, f cpuwork.Func, in []byte, attempts int) cpuwork.Result {
	var r cpuwork.Result
	for r.Attempts < attempts {
		r.Output, r.Err = f(ctx, in, nil)
		var failed *cpuwork.ItemError
		if !errors.As(r.Err, &failed) || !failed.Retry {
			r.Attempts++
			return r
		}
		if failed.Code != CodeWaiting {
			r.Attempts++
		}
		select {
		case <-time.After(failed.After):
		case <-ctx.Done():
			r.Err = ctx.Err()
			return r
		}
	}
	return r
}

// runLoad does a whole job, one item after the other.
func runLoad(t testing.TB, s Spec, attempts int) []batch.Line {
	t.Helper()
	l, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	work, params := l.Work()
	f, err := work.New(params)
	if err != nil {
		t.Fatal(err)
	}
	var lines []batch.Line
	var index int64
	for it, err := range l.Items(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r := cpuwork.Result{Err: it.Failed}
		if it.Failed == nil {
			r = drive(t.Context(), f, it.Data, attempts)
		}
		r.Index = index
		line, err := l.Answer(batch.Named{Index: index, Name: it.Name}, r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
		index++
	}
	if err := l.Finish(t.Context(), &batch.Summary{}); err != nil {
		t.Fatal(err)
	}
	return lines
}

// files are the names of all files below a directory, with their lengths.
func files(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		found[rel] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func names(found map[string]int64) []string {
	list := []string{}
	for name := range found {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}

// pipes is a listener without sockets, for tests in a bubble of synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, io.ErrClosedPipe
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "server.test:80" }

// piped makes a server and an engine that speak without sockets. Both end with
// what is returned.
func piped(t testing.TB, s Spec, config fetchtest.Config) (*engine, *fetchtest.Server, func()) {
	t.Helper()
	p := newPipes()
	server := fetchtest.Serve(p, config)
	e := engineOf(t, s)
	e.transport.DialContext = p.dial
	return e, server, func() {
		e.close()
		if err := server.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
	}
}
