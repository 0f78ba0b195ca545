package daemon

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"weft/daemon/api"
)

func TestGarbageIsAnsweredAndForgotten(t *testing.T) {
	r := newRig(t, 1)
	for _, garbage := range []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // TLS
		"SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
		strings.Repeat("\x00\xff", 5000) + "\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nHost: weft\r\nContent-Length: -5\r\n\r\n",
		"GET /v1/jobs HTTP/1.1\r\nHost: weft\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n",
	} {
		c, err := net.Dial("unix", r.cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, garbage) // it may hang up before the end
		_ = c.(*net.UnixConn).CloseWrite()
		answer, _ := io.ReadAll(c)
		refused := bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) || bytes.HasPrefix(answer, []byte("HTTP/1.1 505"))
		if len(answer) > 0 && !refused {
			t.Errorf("%.20q is answered %.60q", garbage, answer)
		}
		_ = c.Close()
	}
	if id := r.submit(""); id == 0 {
		t.Error("the daemon does not answer any more")
	}
}

// TestHalfRequestsHoldNothing leaves connections open in the middle of a
// request; others are served, and the daemon ends in time.
func TestHalfRequestsHoldNothing(t *testing.T) {
	r := newRig(t, 1)
	for i := range 50 {
		c, err := net.Dial("unix", r.cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			fmt.Fprint(c, "POST /v1/jobs HT")
		} else {
			fmt.Fprint(c, "POST /v1/jobs HTTP/1.1\r\nHost: weft\r\nContent-Length: 1000\r\n\r\n{")
		}
	}
	if id := r.submit(""); id == 0 {
		t.Error("the daemon does not answer")
	}
	r.close()
}

func TestSecondDaemonIsRefused(t *testing.T) {
	r := newRig(t, 1)
	none := func() (hardware, error) { t.Error("its devices are opened"); return hardware{}, nil }
	_, err := open(context.Background(), r.cfg, none)
	want := fmt.Sprintf("another daemon (pid %d) has the state directory %s", os.Getpid(), r.cfg.StateDir)
	e, is := err.(*api.Error)
	if !is || e.Message != want ||
		e.Hint != "use it: weft ls; or stop it first; or give this one its own: weft serve --state-dir DIR" {
		t.Errorf("error is %+v", err)
	}
	other := testConfig(t)
	other.Socket = r.cfg.Socket
	if other, err = other.complete(); err != nil {
		t.Fatal(err)
	}
	_, err = open(context.Background(), other, none)
	if e, is := err.(*api.Error); !is || e.Message != "another daemon answers on "+r.cfg.Socket {
		t.Errorf("error is %+v", err)
	}
	if id := r.submit(""); id == 0 {
		t.Error("the first daemon's socket is gone")
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	cfg := testConfig(t)
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.Socket = cfg.StateDir + "/weft.sock"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	r := newRig(t, 1, func(r *rig) { r.cfg = cfg })
	if id := r.submit(""); id == 0 {
		t.Error("the daemon does not answer")
	}
	for path, mode := range map[string]os.FileMode{cfg.Socket: 0o600, cfg.StateDir: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
	r.close()
	if _, err := os.Stat(cfg.Socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestFileInThePlaceOfTheSocketIsLeftAlone(t *testing.T) {
	cfg := testConfig(t)
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Socket = cfg.StateDir + "/notes"
	if err := os.WriteFile(cfg.Socket, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := open(context.Background(), cfg, func() (hardware, error) { return hardware{}, nil })
	if e, is := err.(*api.Error); !is || e.Message != cfg.Socket+" exists and is not a socket" {
		t.Errorf("error is %v", err)
	}
	if b, err := os.ReadFile(cfg.Socket); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestGateRefusesOtherUsers(t *testing.T) {
	g := newGate([]string{"friend"}, "0123456789abcdef")
	g.self, g.owner = 1000, "alice"
	for _, c := range []struct {
		p    peer
		want string
	}{
		{peer{uid: 1000, owner: "alice"}, ""},
		{peer{uid: 0, owner: "root"}, ""},
		{peer{uid: 1001, owner: "friend"}, ""},
		{peer{uid: 1002, owner: "bob"}, "this daemon belongs to alice and does not serve user bob"},
		{peer{uid: 1000, err: io.EOF}, "this daemon belongs to alice and does not serve an unknown user"},
	} {
		err := g.admit(c.p)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%+v: %v, want %q", c.p, err, c.want)
		}
	}
	if err := g.mayChange(peer{uid: 1001, owner: "friend"}, "alice"); err == nil {
		t.Error("a friend cancels alice's jobs")
	}
	if err := g.mayChange(peer{uid: 1001, owner: "friend"}, "friend"); err != nil {
		t.Errorf("a friend cannot cancel their own job: %v", err)
	}
	for header, good := range map[string]bool{
		"Bearer 0123456789abcdef": true, "Bearer 0123456789abcdee": false, "0123456789abcdef": false, "": false,
	} {
		req := &http.Request{Header: http.Header{"Authorization": {header}}}
		if err := g.admitToken(req); (err == nil) != good {
			t.Errorf("Authorization %q: %v", header, err)
		}
	}
}

func TestOwnerIsThePeer(t *testing.T) {
	r := newRig(t, 1)
	j := r.job(r.submit(`,"hold":true`))
	g := newGate(nil, "")
	if j.Owner != g.name(uint32(syscall.Getuid())) || j.Owner == "" || j.Node == "" {
		t.Errorf("owner %q on node %q", j.Owner, j.Node)
	}
}

// TestConnectionsAreReused sends two requests on one connection, so
// that a deadline set for the first would be seen by the second.
func TestConnectionsAreReused(t *testing.T) {
	r := newRig(t, 1)
	c, err := net.Dial("unix", r.cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range 3 {
		fmt.Fprintf(c, "POST /v1/jobs HTTP/1.1\r\nHost: weft\r\nContent-Length: %d\r\n\r\n%s", len(sub("")), sub(""))
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 201 {
			t.Fatalf("%v %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}
