package fetch

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"path/filepath"
	"strings"
	"time"
)

// What happens to a name under which there is a file already.
const (
	ExistingSkip      = "skip"      // the file counts as fetched; no request is made
	ExistingUpdate    = "update"    // fetched again if it changed since (If-Modified-Since)
	ExistingOverwrite = "overwrite" // fetched again, replaced when it is complete
)

// A Spec is what a job of this kind is told. Its zero values are the defaults.
// Times are in seconds, sizes in bytes.
type Spec struct {
	URLs  []string `json:"urls,omitempty"`  // "URL" or "URL<TAB>NAME", as a line of a list
	Lists []string `json:"lists,omitempty"` // files of such lines: absolute paths

	To       string `json:"to,omitempty"`       // directory that files are written to: an absolute path
	Discard  bool   `json:"discard,omitempty"`  // read and count the bodies, write no files
	Name     string `json:"name,omitempty"`     // template of names, "{base}" by default; see [Template]
	Existing string `json:"existing,omitempty"` // "skip" by default

	Method    string            `json:"method,omitempty"` // GET (default) or HEAD
	Headers   map[string]string `json:"headers,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`

	Rate            float64 `json:"rate,omitempty"`             // requests a second, all hosts together; 0: no limit
	Burst           int     `json:"burst,omitempty"`            // at once, after a pause; default: 12.5 ms of Rate
	HostRate        float64 `json:"host_rate,omitempty"`        // requests a second to each host; 0: no limit
	HostBurst       int     `json:"host_burst,omitempty"`       // default: 12.5 ms of HostRate
	Concurrency     int     `json:"concurrency,omitempty"`      // items in flight; default 64
	HostConcurrency int     `json:"host_concurrency,omitempty"` // requests in flight to one host; default 16
	Processes       int     `json:"processes,omitempty"`        // among which all these limits are divided; default 1

	ConnectTimeout float64 `json:"connect_timeout,omitempty"` // to connect, and again for TLS; default 10
	HeaderTimeout  float64 `json:"header_timeout,omitempty"`  // from the request to the answer's header; default 30
	IdleTimeout    float64 `json:"idle_timeout,omitempty"`    // without a byte of the body; default 30
	TotalTimeout   float64 `json:"total_timeout,omitempty"`   // one attempt, without its waiting for its turn; default 3600
	MaxRetryAfter  float64 `json:"max_retry_after,omitempty"` // the longest wait a server may ask for; default 600

	MaxBytes     int64 `json:"max_bytes,omitempty"`     // of one body; default 1 TiB
	MaxRedirects int   `json:"max_redirects,omitempty"` // default 10; -1: none

	BreakAfter   int     `json:"break_after,omitempty"`   // failures in a row that open a host's breaker; default 10; -1: never
	BreakSeconds float64 `json:"break_seconds,omitempty"` // for how long nobody asks the host then; default 10

	KeepPartial  bool `json:"keep_partial,omitempty"`  // keep what came of files that failed, for the next job to go on from
	Sync         bool `json:"sync,omitempty"`          // fsync every file by itself; otherwise many at once
	AllowPrivate bool `json:"allow_private,omitempty"` // also addresses that are not on the public internet
}

// Limits of a specification.
const (
	maxConcurrency = 4096
	maxProcesses   = 1024
	maxSeconds     = 30 * 24 * 3600
	maxRate        = 1e7
	maxRedirects   = 50
	maxHeaders     = 64
	defaultBytes   = 1 << 40
)

// A SpecError says which field of a specification cannot be. Its field is the
// JSON name.
type SpecError struct{ Field, Message, Hint string }

func (e *SpecError) Error() string { return e.Field + ": " + e.Message }

// Check refuses what cannot be and fills in the defaults.
func (s *Spec) Check() error {
	if len(s.URLs) == 0 && len(s.Lists) == 0 {
		return &SpecError{"urls", "there is nothing to fetch", "a URL, or a file with one URL a line"}
	}
	for _, check := range []func() error{s.checkPlaces, s.checkRequest, s.checkNumbers} {
		if err := check(); err != nil {
			return err
		}
	}
	s.fill()
	return nil
}

func (s *Spec) checkPlaces() error {
	for _, path := range s.Lists {
		if !filepath.IsAbs(path) {
			return &SpecError{"lists", fmt.Sprintf("%q is not an absolute path", path), "the whole path, from /"}
		}
	}
	writes := !s.Discard && !strings.EqualFold(s.Method, http.MethodHead)
	switch {
	case s.Discard && s.To != "":
		return &SpecError{"to", "files cannot be written and discarded", "one of the two"}
	case writes && !filepath.IsAbs(s.To):
		return &SpecError{"to", fmt.Sprintf("%q is not the absolute path of a directory", s.To), "a directory to write to, or discard"}
	}
	if _, err := ParseTemplate(s.Name); err != nil {
		return &SpecError{"name", err.Error(), "{index}-{base}, or {host}/{path}"}
	}
	switch s.Existing {
	case "", ExistingSkip, ExistingUpdate, ExistingOverwrite:
		return nil
	}
	return &SpecError{"existing", fmt.Sprintf("%q is not known", s.Existing), "skip, update or overwrite"}
}

func (s *Spec) checkRequest() error {
	switch strings.ToUpper(s.Method) {
	case "", http.MethodGet, http.MethodHead:
	default:
		return &SpecError{"method", fmt.Sprintf("%q would not only fetch", s.Method), "GET or HEAD"}
	}
	if len(s.Headers) > maxHeaders {
		return &SpecError{"headers", fmt.Sprintf("%d headers, at most %d", len(s.Headers), maxHeaders), ""}
	}
	for name, value := range s.Headers {
		if !validHeader(name, value) {
			return &SpecError{"headers", fmt.Sprintf("%q is not a header", name), `a name and a value without line ends, as "Accept: text/html"`}
		}
		if ownHeaders[textproto.CanonicalMIMEHeaderKey(name)] {
			return &SpecError{"headers", fmt.Sprintf("%q is set by the fetching itself", name), "to leave it out"}
		}
	}
	if !validHeader("User-Agent", s.UserAgent) {
		return &SpecError{"user_agent", "it contains what a header cannot", "printable characters only"}
	}
	return nil
}

// ownHeaders are those that fetching relies on setting itself.
var ownHeaders = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Upgrade": true, "Te": true, "Trailer": true,
	"Range": true, "If-Range": true, "If-Modified-Since": true, "Accept-Encoding": true, "User-Agent": true, "Proxy-Authorization": true,
}

// validHeader reports whether a header can be sent: RFC 9110, 5.1 and 5.5.
func validHeader(name, value string) bool {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return name != "" && len(name)+len(value) <= 16<<10
}

func (s *Spec) checkNumbers() error {
	for _, f := range []struct {
		field          string
		value, low, up float64
	}{
		{"rate", s.Rate, 0, maxRate},
		{"burst", float64(s.Burst), 0, maxRate},
		{"host_rate", s.HostRate, 0, maxRate},
		{"host_burst", float64(s.HostBurst), 0, maxRate},
		{"concurrency", float64(s.Concurrency), 0, maxConcurrency},
		{"host_concurrency", float64(s.HostConcurrency), 0, maxConcurrency},
		{"processes", float64(s.Processes), 0, maxProcesses},
		{"connect_timeout", s.ConnectTimeout, 0, maxSeconds},
		{"header_timeout", s.HeaderTimeout, 0, maxSeconds},
		{"idle_timeout", s.IdleTimeout, 0, maxSeconds},
		{"total_timeout", s.TotalTimeout, 0, maxSeconds},
		{"max_retry_after", s.MaxRetryAfter, 0, maxSeconds},
		{"max_bytes", float64(s.MaxBytes), 0, math.MaxInt64},
		{"max_redirects", float64(s.MaxRedirects), -1, maxRedirects},
		{"break_after", float64(s.BreakAfter), -1, math.MaxInt32},
		{"break_seconds", s.BreakSeconds, 0, maxSeconds},
	} {
		if !(f.value >= f.low && f.value <= f.up) { // so that NaN is refused too
			return &SpecError{f.field, fmt.Sprintf("%v is not between %v and %v", f.value, f.low, f.up), ""}
		}
	}
	return nil
}

func (s *Spec) fill() {
	def(&s.Name, "{base}")
	def(&s.Existing, ExistingSkip)
	def(&s.Method, http.MethodGet)
	s.Method = strings.ToUpper(s.Method)
	def(&s.UserAgent, "weft")
	def(&s.Processes, 1)
	def(&s.Concurrency, 64)
	def(&s.HostConcurrency, 16)
	def(&s.Burst, slack(s.Rate))
	def(&s.HostBurst, slack(s.HostRate))
	def(&s.ConnectTimeout, 10)
	def(&s.HeaderTimeout, 30)
	def(&s.IdleTimeout, 30)
	def(&s.TotalTimeout, 3600)
	def(&s.MaxRetryAfter, 600)
	def(&s.MaxBytes, defaultBytes)
	def(&s.MaxRedirects, 10)
	def(&s.BreakAfter, 10)
	def(&s.BreakSeconds, 10)
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// slack is the burst that lets a timer be 12.5 ms late without anything lost of
// the rate. A server that allows a burst of its own sees no more than this.
func slack(rate float64) int { return max(1, int(rate/80)) }

// params is what a worker is told: a checked specification without its items.
type params struct {
	Spec
	ID string `json:"id"` // of the job: workers of one process with equal params share connections and limits
}

func (p params) encode() ([]byte, error) {
	p.URLs, p.Lists = nil, nil
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	return data, nil
}

func decodeParams(data []byte) (params, error) {
	var p params
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("decode parameters: %w", err)
	}
	p.URLs = []string{"-"} // what a worker is given comes item by item
	err := p.Check()
	p.URLs = nil
	return p, err
}

// share is this process's part of the limits.
func (p params) share() params {
	n := p.Processes
	p.Rate /= float64(n)
	p.HostRate /= float64(n)
	p.Burst = max(1, p.Burst/n)
	p.HostBurst = max(1, p.HostBurst/n)
	p.Concurrency = max(1, p.Concurrency/n)
	p.HostConcurrency = max(1, p.HostConcurrency/n)
	return p
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
