package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

// scrape reads a daemon's /metrics over its socket.
func (s *served) scrape() string {
	s.t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "weft.sock"))
		}}}
	resp, err := client.Get("http://weft/metrics")
	if err != nil {
		s.t.Fatalf("scrape: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("scrape: %d %v %s", resp.StatusCode, err, text)
	}
	return string(text)
}

// metric is a sample's value in a scrape; NaN where there is none.
func metric(text, name string) float64 {
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func digits(name string, epochs int) api.Submission {
	return api.Submission{Kind: api.KindTrain, Name: name, Spec: json.RawMessage(fmt.Sprintf(
		`{"data": {"source": "digits"}, "model": [{"linear": 64}, "relu", {"linear": 10}], "epochs": %d}`, epochs))}
}

// What a daemon that has trained tells agrees with its jobs, and with what
// Prometheus's own checker asks of a scrape.
func TestMetricsOfADaemonThatTrained(t *testing.T) {
	s := serve(t, t.TempDir())
	var steps int64
	var seconds float64
	for _, id := range s.submit(digits("a", 20), digits("b", 20), digits("c", 20)) {
		job := s.ended(id)
		if job.State != api.Succeeded {
			t.Fatalf("job %d %s: %+v", id, job.State, job.Error)
		}
		steps += job.Progress.Step
		seconds += job.Usage.DeviceSeconds
	}
	text := s.scrape()
	for name, want := range map[string]float64{
		`weft_jobs_ended_total{kind="train",state="succeeded"}`:               3,
		`weft_jobs_submitted_total{kind="train"}`:                             3,
		`weft_jobs_steps_total{device="cpu"}`:                                 float64(steps),
		`weft_store_writable`:                                                 1,
		`weft_http_requests_total{code="2xx",method="POST",route="/v1/jobs"}`: 1,
	} {
		if got := metric(text, name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	if got := metric(text, `weft_jobs_device_seconds_total{device="cpu"}`); math.Abs(got-seconds) > 1e-6 {
		t.Errorf("%v device seconds are counted, and %v charged", got, seconds)
	}
	busy := metric(text, `weft_device_busy_seconds_total{device="cpu"}`)
	if !(math.Abs(busy-seconds) <= 0.05*seconds) {
		t.Errorf("the device was busy for %v s, its jobs for %v s", busy, seconds)
	}
	if n := metric(text, `weft_device_quantum_duration_seconds_count{device="cpu"}`); !(n >= 3) {
		t.Errorf("%v quanta", n)
	}
	path := needs(t, "promtool")
	check := exec.CommandContext(t.Context(), path, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// needs finds a program of Prometheus's, or leaves the test out.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed; Debian and Ubuntu have it in the package prometheus", program)
	}
	return path
}

// certify writes a certificate for this machine, and its key.
func certify(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed},
		key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// prometheusConfig is what docs/monitoring.md says to write, with this test's
// address, and a shorter interval.
func prometheusConfig(t *testing.T, address string) string {
	t.Helper()
	doc, err := os.ReadFile("docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(doc)
	if block == nil || !bytes.Contains(block[1], []byte("gpu-host:7337")) {
		t.Fatal("docs/monitoring.md has no configuration with gpu-host:7337")
	}
	return "global: {scrape_interval: 1s, evaluation_interval: 1s}\n" +
		strings.Replace(string(block[1]), "gpu-host:7337", address, 1)
}

// Prometheus itself, told what the documentation says, reads the daemon over TLS
// with its token, and takes the alerts.
func TestPrometheusScrapesTheDaemon(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	program := needs(t, "prometheus")
	dir := t.TempDir()
	cert, key, token := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "token")
	certify(t, cert, key)
	alerts, err := os.ReadFile("docs/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	listen, web := freePort(t), freePort(t)
	for path, text := range map[string]string{token: strings.Repeat("t", 32), filepath.Join(dir, "alerts.yml"): string(alerts),
		filepath.Join(dir, "prometheus.yml"): prometheusConfig(t, listen)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, t.TempDir(), "--listen", listen, "--tls-cert", cert, "--tls-key", key, "--token-file", token)
	s.succeeded(s.submit(digits("a", 1))[0])
	cmd := exec.Command(program, "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path",
		filepath.Join(dir, "data"), "--web.listen-address", web)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := newTranscript()
	go told.follow(log)
	defer func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(told)
		}
	}()
	told.await(t, "Server is ready to receive web requests")
	base := "http://" + web
	for expr, want := range map[string]string{`up{job="weft"}`: "1",
		`weft_jobs_ended_total{kind="train",state="succeeded"}`:       "1",
		`weft_device_state{device="cpu",state="ready"}`:               "1",
		`count(weft_device_quantum_duration_seconds_bucket) > bool 5`: "1"} {
		untilQuery(t, base, expr, want)
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health string }
			}
		}
	}
	getJSON(t, base+"/api/v1/rules", &rules)
	if len(rules.Data.Groups) != 1 || len(rules.Data.Groups[0].Rules) != bytes.Count(alerts, []byte("- alert:")) {
		t.Fatalf("rules are %+v", rules)
	}
	for _, r := range rules.Data.Groups[0].Rules {
		if r.Health == "err" {
			t.Errorf("alert %s cannot be evaluated", r.Name)
		}
	}
}

// freePort is an address on this machine that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func getJSON(t *testing.T, from string, v any) {
	t.Helper()
	resp, err := http.Get(from)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
}

// untilQuery asks Prometheus until the one series that answers has that value.
func untilQuery(t *testing.T, base, expr, want string) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	for began := time.Now(); time.Since(began) < patience; <-tick.C {
		getJSON(t, base+"/api/v1/query?query="+url.QueryEscape(expr), &answer)
		if r := answer.Data.Result; len(r) == 1 && r[0].Value[1] == want {
			return
		}
	}
	t.Fatalf("%s is %+v, not %s", expr, answer.Data.Result, want)
}
