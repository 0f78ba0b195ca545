package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"weft/daemon/api"
)

// A peer is who is at the other end of a connection.
type peer struct {
	uid   int // -1: not known, came over TCP
	owner string
	err   error // the kernel did not say
}

type peerKey struct{}

func peerOf(ctx context.Context) peer {
	p, _ := ctx.Value(peerKey{}).(peer)
	return p
}

// A gate lets connections in by who made them.
type gate struct {
	self  int // the daemon's own uid
	owner string
	allow []string
	token [sha256.Size]byte // of TCP's bearer token

	mu    sync.Mutex // guards names
	names map[uint32]string
}

func newGate(allow []string, token string) *gate {
	g := &gate{self: os.Getuid(), allow: allow, token: sha256.Sum256([]byte(token)), names: map[uint32]string{}}
	g.owner = g.name(uint32(g.self))
	return g
}

// name returns the user name of uid, or uid itself in digits.
func (g *gate) name(uid uint32) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n, ok := g.names[uid]; ok {
		return n
	}
	n := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(n); err == nil {
		n = u.Username
	}
	g.names[uid] = n
	return n
}

// connContext is http.Server's: it asks the kernel once per connection.
func (g *gate) connContext(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return context.WithValue(ctx, peerKey{}, peer{uid: -1, owner: g.owner})
	}
	uid, err := credentials(uc)
	p := peer{uid: int(uid), err: err}
	if err == nil {
		p.owner = g.name(uid)
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func credentials(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("read peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return 0, fmt.Errorf("read peer credentials: %w", err)
	}
	return cred.Uid, nil
}

// admit refuses a user who may not talk to this daemon.
func (g *gate) admit(p peer) error {
	if p.err == nil && (p.uid == g.self || p.uid == 0 || slices.Contains(g.allow, p.owner)) {
		return nil
	}
	who := "user " + p.owner
	if p.err != nil {
		who = "an unknown user"
	}
	return &api.Error{Code: api.CodeForbidden,
		Message: fmt.Sprintf("this daemon belongs to %s and does not serve %s", g.owner, who),
		Hint:    "start your own: weft serve; or ask its owner for --allow-user"}
}

// admitToken refuses a request over TCP that does not carry the token.
func (g *gate) admitToken(r *http.Request) error {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(got)))
	if ok && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 {
		return nil
	}
	return &api.Error{Code: api.CodeForbidden,
		Message: "the request carries no valid token",
		Hint:    "set WEFT_TOKEN to the token of the daemon's --token-file"}
}

// mayChange refuses actions on other people's jobs, except by root and by the
// daemon's own user.
func (g *gate) mayChange(p peer, owner string) error {
	if p.owner == owner || p.uid == 0 || p.uid == g.self || p.uid == -1 {
		return nil
	}
	return &api.Error{Code: api.CodeForbidden,
		Message: fmt.Sprintf("the job belongs to %s", owner),
		Hint:    "ask them, or the daemon's owner " + g.owner}
}
