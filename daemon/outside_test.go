package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
	"weft/gpu"
)

// certify writes a certificate for 127.0.0.1 and its key, and returns a pool
// that trusts it.
func certify(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

func TestTCPWantsTLSAndToken(t *testing.T) {
	const token = "correct horse battery staple"
	var pool *x509.CertPool
	r := newRig(t, 1, func(r *rig) {
		dir := filepath.Dir(r.cfg.StateDir)
		r.cfg.Listen = "127.0.0.1:0"
		r.cfg.CertFile, r.cfg.KeyFile = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
		r.cfg.TokenFile = filepath.Join(dir, "token")
		pool = certify(t, r.cfg.CertFile, r.cfg.KeyFile)
		if err := os.WriteFile(r.cfg.TokenFile, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	url := r.d.http[1].url + "/v1/version"
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	for sent, status := range map[string]int{"Bearer " + token: 200, "Bearer wrong": 401, "": 401} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", sent)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != status || status == 401 && !strings.Contains(string(body), `"code":"forbidden"`) {
			t.Errorf("with %q: %d %s", sent, resp.StatusCode, body)
		}
	}
	plain := &http.Client{Transport: &http.Transport{}}
	defer plain.CloseIdleConnections()
	if resp, err := plain.Get("http" + strings.TrimPrefix(url, "https")); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("without TLS: %d", resp.StatusCode)
		}
	}
}

func TestConfigIsRefused(t *testing.T) {
	cfg := testConfig(t)
	dir := filepath.Dir(cfg.StateDir)
	token := filepath.Join(dir, "token")
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"TCP without TLS", func(c *Config) { c.Listen = ":7337"; c.TokenFile = token },
			"listening on :7337 needs a TLS certificate, its key and a token"},
		{"long socket", func(c *Config) { c.Socket = "/tmp/" + strings.Repeat("x", 110) },
			"socket path /tmp/" + strings.Repeat("x", 110) + " is longer than 107 bytes"},
		{"unreachable socket", func(c *Config) { c.AllowUsers = []string{"friend"} },
			"other users cannot reach " + cfg.StateDir + "/weft.sock: the state directory is closed to them"},
		{"short token", func(c *Config) {
			c.Listen, c.CertFile, c.KeyFile, c.TokenFile = "127.0.0.1:0", "c", "k", token
			if err := os.WriteFile(token, []byte("short"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the token in " + token + " is shorter than 16 characters"},
		{"open token", func(c *Config) {
			c.Listen, c.CertFile, c.KeyFile, c.TokenFile = "127.0.0.1:0", "c", "k", token
			if err := os.Chmod(token, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "token file " + token + " can be read by other users"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := cfg
			c.change(&cfg)
			_, err := New(context.Background(), cfg)
			e, is := err.(*api.Error)
			if !is || e.Message != c.want || e.Hint == "" || e.Code != api.CodeInvalid {
				t.Errorf("error is %+v, want %s", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(cfg.StateDir, socketName)); !os.IsNotExist(err) {
				t.Errorf("a socket is left: %v", err)
			}
		})
	}
}

func TestSystemdIsTold(t *testing.T) {
	dir := filepath.Dir(testConfig(t).StateDir)
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", "")
	r := newRig(t, 1)
	read := func() string {
		b := make([]byte, 100)
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	for _, want := range []string{"READY=1", "WATCHDOG=1"} {
		if got := read(); got != want {
			t.Errorf("systemd is told %q, want %q", got, want)
		}
	}
	r.close()
	for got := ""; got != "STOPPING=1"; got = read() {
		if got != "" && got != "WATCHDOG=1" {
			t.Fatalf("systemd is told %q", got)
		}
	}
}

func TestAbortDoesNotWaitForJobs(t *testing.T) {
	r := newRig(t, 1)
	id := r.submit("")
	r.arrived()
	r.dev.emit(gpu.Started{Job: id})
	r.until(id, "started")
	r.d.Abort()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	r.stop()
	r.stop = nil
	r.client.CloseIdleConnections()
}
