package api

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// place is where a host points to.
type place struct {
	base   string // URL prefix of every request
	socket string // path; "" over TCP
}

// environment reads a variable; WEFT_HOST and WEFT_TOKEN are looked up when a
// client is made, never later.
func environment(name string) string { return os.Getenv(name) }

// DefaultHost returns $WEFT_HOST, else the first socket that exists of
// [SocketPlaces], else the first of them.
func DefaultHost() string {
	if h := environment("WEFT_HOST"); h != "" {
		return h
	}
	places := SocketPlaces(environment)
	for _, p := range places {
		if fi, err := os.Stat(p); err == nil && fi.Mode()&fs.ModeSocket != 0 {
			return "unix://" + p
		}
	}
	return "unix://" + places[0]
}

// SocketPlaces lists where a daemon's socket is looked for, in order:
// $XDG_RUNTIME_DIR/weft.sock, then weft.sock in [StateDir].
func SocketPlaces(getenv func(string) string) []string {
	var places []string
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		places = append(places, filepath.Join(dir, "weft.sock"))
	}
	return append(places, filepath.Join(StateDir(getenv), "weft.sock"))
}

// StateDir returns $WEFT_STATE, else $XDG_STATE_HOME/weft, else
// ~/.local/state/weft.
func StateDir(getenv func(string) string) string {
	if dir := getenv("WEFT_STATE"); dir != "" {
		return dir
	}
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "weft")
	}
	return filepath.Join(getenv("HOME"), ".local", "state", "weft")
}

func parseHost(host string) (place, error) {
	if strings.HasPrefix(host, "/") {
		return place{base: "http://weft", socket: host}, nil
	}
	bad := func(why, hint string) (place, error) {
		return place{}, &Error{Code: CodeInvalid, Message: "host " + quote(host) + " " + why, Hint: hint}
	}
	const forms = "give unix:///path/to/weft.sock or https://name:port"
	u, err := url.Parse(host)
	if err != nil {
		return bad("is not an address", forms)
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return bad("needs an absolute path", "unix:///run/user/1000/weft.sock, with three slashes")
		}
		return place{base: "http://weft", socket: u.Path}, nil
	case "https":
		if u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
			return bad("must be only a name and a port", forms)
		}
		return place{base: "https://" + u.Host}, nil
	case "http":
		return bad("is not encrypted, and would show the token", "use https, or the unix socket through ssh -L")
	}
	return bad("is not an address", forms)
}

// broken reports whether the connection failed under a request that may have
// reached the daemon; refusals to connect are not of this kind.
func broken(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// explain puts a transport's failure into words for a person.
func (c *Client) explain(err error) error {
	if AsError(err) != nil || errors.Is(err, context.Canceled) {
		return err
	}
	where := strings.TrimPrefix(c.host, "unix://")
	unreachable := func(message, hint string) error {
		return &Error{Code: CodeUnreachable, Message: message, Hint: hint}
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, named := errors.AsType[x509.HostnameError](err)
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return unreachable("no daemon answers at "+where, "weft serve starts one; -H or WEFT_HOST names another")
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &Error{Code: CodeForbidden, Message: "the socket " + where + " belongs to another user",
			Hint: "ask its owner to start the daemon with --allow-user, or run your own: weft serve"}
	case errors.Is(err, syscall.EINVAL) && len(where) > 100:
		return unreachable("the socket path "+where+" is too long for this system",
			"name a shorter one with --socket and WEFT_HOST")
	case unknown, named:
		return unreachable("the certificate of "+where+" is not trusted: "+inner(err),
			"SSL_CERT_FILE names a file with the authority that signed it")
	case errors.Is(err, context.DeadlineExceeded):
		return err
	case timeout != nil && timeout.Timeout():
		return unreachable("the daemon at "+where+" did not answer in time", "weft doctor looks for the cause")
	}
	return unreachable("cannot talk to the daemon at "+where+": "+inner(err), "weft doctor looks for the cause")
}

// inner strips the method and URL that net/http puts before an error.
func inner(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

func quote(s string) string { return `"` + s + `"` }
