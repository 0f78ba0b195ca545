package fetch

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/cpuwork/fetch/fetchtest"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.15.255.255": true, "172.32.0.0": true, "100.128.0.0": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00::1": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true, "2002:808:808::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "127.0.0.1": false, "127.255.255.255": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false, "192.168.1.1": false,
		"198.18.0.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.1.1.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::1": false, "2002:a9fe:a9fe::": false, "2001:0:1::1": false,
		"2001:db8::1": false, "fc00::1": false, "fd12::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
		"100::1": false, "3fff::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// An address is looked at after a name was resolved, in every spelling, and no
// byte is sent.
func TestPrivateIsRefused(t *testing.T) {
	s := start(t, fetchtest.Config{})
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	e := engineOf(t, local(func(s *Spec) { s.AllowPrivate = false }))
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.9.8.7"} {
		_, failed := get(t, e, "http://"+host+":"+port+"/ok/1")
		if failed == nil || failed.Code != CodePrivate || failed.Retry || failed.Hint != "--allow-private, if it is meant" {
			t.Errorf("%s: %+v", host, failed)
		}
	}
	if got := s.Stats(); got.Conns > 0 {
		t.Errorf("%+v", got)
	}
}

// A redirect to a private address is refused like a listed one.
func TestRedirectToPrivate(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fetchtest.Serve(l, fetchtest.Config{})
	defer func() { _ = s.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	e := engineOf(t, local(func(s *Spec) { s.AllowPrivate = false }))
	e.dialer.public = func(a netip.Addr) bool { return a.Unmap() == netip.MustParseAddr("127.0.0.1") }
	at := func(host string) string { return fmt.Sprintf("http://%s:%d", host, port) }
	must(t, e, at("127.0.0.1")+"/ok/1")
	_, failed := get(t, e, at("127.0.0.1")+"/to?"+at("127.0.0.2")+"/ok/1")
	if failed == nil || failed.Code != CodePrivate || failed.Message != "127.0.0.2 is not on the public internet" {
		t.Errorf("%+v", failed)
	}
	if n := s.Stats().Requests; n != 2 {
		t.Errorf("%d requests", n)
	}
}

// A proxy of the environment may be private; what it is asked for may not.
func TestProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		_, _ = fmt.Fprint(w, "by proxy")
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	e := engineOf(t, local(func(s *Spec) { s.AllowPrivate = false }))
	through := func(*http.Request) (*url.URL, error) { return u, nil }
	e.dialer.proxies = environmentProxies(through)
	e.transport.Proxy = through
	if a := must(t, e, "http://example.test/x"); a.Bytes != 8 {
		t.Errorf("%+v", a)
	}
	for _, private := range []string{"http://10.0.0.1/", "http://[::1]/", "http://[::ffff:169.254.169.254]/", proxy.URL, "http://" + u.Host + "/x"} {
		if _, failed := get(t, e, private); failed == nil || failed.Code != CodePrivate {
			t.Errorf("%s: %+v", private, failed)
		}
	}
	if len(asked) != 1 || asked[0] != "http://example.test/x" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// The user's headers and passwords go to the listed origin and no further.
func TestHeadersStayHome(t *testing.T) {
	a, b := start(t, fetchtest.Config{}), start(t, fetchtest.Config{})
	dir := t.TempDir()
	e := engineOf(t, local(func(s *Spec) {
		into(dir)(s)
		s.Headers = map[string]string{"x-api-key": "k", "Cookie": "c=1"}
		s.UserAgent = "weft-test"
	}))
	read := func(url, name string) map[string]string {
		t.Helper()
		must(t, e, url+"\t"+name)
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
			k, v, _ := strings.Cut(lines.Text(), ": ")
			got[k] = v
		}
		return got
	}
	with := strings.Replace(a.URL, "//", "//me:p%40ss@", 1)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:p@ss"))
	for i, c := range []struct {
		url  string
		home bool
		auth string
	}{
		{a.URL + "/echo", true, ""},
		{with + "/echo", true, basic},
		{with + "/to?/echo", true, basic},
		{with + "/to?" + url.QueryEscape(b.URL+"/echo"), false, ""},
		{with + "/to?" + url.QueryEscape(strings.Replace(b.URL, "//", "//x:y@", 1)+"/echo"), false, ""},
		{with + "/to?" + url.QueryEscape(b.URL+"/to?"+url.QueryEscape(a.URL+"/echo")), true, basic},
	} {
		got := read(c.url, fmt.Sprint(i))
		if sent := got["X-Api-Key"] == "k" && got["Cookie"] == "c=1"; sent != c.home {
			t.Errorf("%s: headers sent: %v", c.url, got)
		}
		if got["Authorization"] != c.auth || got["User-Agent"] != "weft-test" || got["Referer"] != "" || got["Method"] != "GET" {
			t.Errorf("%s: %v", c.url, got)
		}
	}
}

// Names that do not resolve fail their item, for good or until later.
func TestDNS(t *testing.T) {
	e := engineOf(t, local(nil))
	for _, c := range []struct {
		err   *net.DNSError
		retry bool
	}{
		{&net.DNSError{Err: "no such host", Name: "nowhere.test", IsNotFound: true}, false},
		{&net.DNSError{Err: "server misbehaving", Name: "nowhere.test", IsTemporary: true}, true},
	} {
		e.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: c.err}
		}
		_, failed := get(t, e, "http://nowhere.test")
		if failed == nil || failed.Code != CodeDNS || failed.Retry != c.retry || failed.Message != "nowhere.test does not resolve: "+c.err.Err {
			t.Errorf("%+v", failed)
		}
	}
}
