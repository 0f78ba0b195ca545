package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"weft/daemon/api"
	"weft/daemon/watchdog"
)

// listenUnix opens the daemon's socket. A socket that a daemon answers on is
// refused; one that nobody answers on was left by a daemon that was killed, and
// is replaced. Anything else at that path is left alone.
func listenUnix(ctx context.Context, path string, open bool) (net.Listener, error) {
	if err := clearStale(ctx, path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make socket's directory: %w", err)
	}
	// The socket is made under a private name and appears at its own with its
	// final mode: nobody can connect before the mode is right.
	hidden := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(hidden)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", hidden)
	if err != nil && len(hidden) > maxSocketPath {
		hidden = path
		l, err = lc.Listen(ctx, "unix", hidden)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	mode := os.FileMode(0o600)
	if open {
		mode = 0o666 // others may knock; their credentials decide
	}
	if err = os.Chmod(hidden, mode); err == nil && hidden != path {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(hidden)
		return nil, fmt.Errorf("place socket %s: %w", path, err)
	}
	return l, nil
}

func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("%s exists and is not a socket", path),
			Hint:    "move it away, or choose another: weft serve --socket PATH"}
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return &api.Error{Code: api.CodeWrongState,
			Message: fmt.Sprintf("another daemon answers on %s", path),
			Hint:    "use it: weft ls; or stop it first; or give this one its own: weft serve --socket PATH"}
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove stale socket: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("dial %s, which exists: %w", path, err)
	}
}

// listenTCP opens the daemon to other machines; the TLS configuration and the
// token that requests must carry come with it.
func listenTCP(ctx context.Context, cfg Config) (net.Listener, *tls.Config, string, error) {
	token, err := readToken(cfg.TokenFile)
	if err != nil {
		return nil, nil, "", err
	}
	cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, nil, "", fmt.Errorf("read TLS certificate: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, nil, "", fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	return l, &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}, token, nil
}

// A watchedListener lets the watchdog see the loop that accepts from it.
type watchedListener struct {
	net.Listener
	loop *watchdog.Loop
}

// Accept is net.Listener's.
func (l watchedListener) Accept() (net.Conn, error) {
	l.loop.Idle()
	c, err := l.Listener.Accept()
	l.loop.Tick()
	return c, err
}

// Close is net.Listener's.
func (l watchedListener) Close() error {
	l.loop.Done()
	return l.Listener.Close()
}

const minToken = 16

func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("token file %s can be read by other users", path),
			Hint:    "chmod 600 " + path}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken {
		return "", &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("the token in %s is shorter than %d characters", path, minToken),
			Hint:    "make one: openssl rand -hex 32"}
	}
	return token, nil
}
