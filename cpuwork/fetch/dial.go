package fetch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"weft/cpuwork"
)

// privateError is an address that was not connected to.
type privateError struct{ addr string }

func (e *privateError) Error() string { return e.addr + " is not on the public internet" }

func (e *privateError) item() *cpuwork.ItemError {
	return cpuwork.Failf(CodePrivate, "--allow-private, if it is meant", "%s is not on the public internet", e.addr)
}

// reserved are the networks that are not the public internet, of the registries
// of RFC 6890 and its successors. Networks of IPv6 that carry an address of
// IPv4 are looked at for what they carry.
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "3fff::/20", "2620:4f:8000::/48",
)

var (
	unicast6  = netip.MustParsePrefix("2000::/3")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

// public reports whether an address is on the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		switch {
		case nat64.Contains(a):
			return public(netip.AddrFrom4([4]byte(b[12:16])))
		case sixToFour.Contains(a):
			return public(netip.AddrFrom4([4]byte(b[2:6])))
		case !unicast6.Contains(a):
			return false
		}
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

// dialer connects to servers. It looks at an address after the name was
// resolved and before a packet is sent, so that no name can lead elsewhere in
// between; only a proxy of the environment may be anywhere.
type dialer struct {
	timeout time.Duration
	private bool                  // any address will do
	public  func(netip.Addr) bool // which will do otherwise
	proxies map[string]bool       // host:port
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nd := net.Dialer{Timeout: d.timeout, KeepAlive: 30 * time.Second}
	if !d.private && !d.proxies[addr] {
		nd.ControlContext = d.control
	}
	return nd.DialContext(ctx, network, addr)
}

// control is called with each address that is about to be connected to.
func (d *dialer) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse address %q: %w", address, err)
	}
	if !d.public(ap.Addr()) {
		return &privateError{ap.Addr().Unmap().String()}
	}
	return nil
}

// literal refuses a URL that a proxy would be sent to although its address can
// be seen not to be public, and the proxy itself. Names are the proxy's to
// resolve, and to refuse.
func (d *dialer) literal(u *url.URL) *cpuwork.ItemError {
	if d.private || len(d.proxies) == 0 {
		return nil
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !d.public(addr) {
		return (&privateError{addr.Unmap().String()}).item()
	}
	if host := authority(u); d.proxies[host] {
		return cpuwork.Failf(CodePrivate, "--allow-private, if it is meant", "%s is the proxy", host)
	}
	return nil
}

// authority is the host and port of a URL, as a transport dials it.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// environmentProxies are the proxies that the environment names.
func environmentProxies(proxy func(*http.Request) (*url.URL, error)) map[string]bool {
	found := map[string]bool{}
	for _, scheme := range []string{"http", "https"} {
		req := &http.Request{URL: &url.URL{Scheme: scheme, Host: "proxied.invalid"}}
		if u, err := proxy(req); err == nil && u != nil {
			found[authority(u)] = true
		}
	}
	return found
}
