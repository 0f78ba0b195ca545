package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"weft/cpuwork"
)

// The codes of items that failed. A status that is not a success has the code
// status_NNN: status_404.
const (
	CodeBadURL          = "bad_url"            // not an http or https URL with a host
	CodeBadName         = "bad_name"           // a name that leaves the directory, or cannot be one
	CodeNameTaken       = "name_taken"         // an earlier item of the job has this name
	CodeDNS             = "dns"                // the host's name does not resolve
	CodeRefused         = "refused"            // nobody listens there
	CodeUnreachable     = "unreachable"        // no route to the host
	CodePrivate         = "private_address"    // not on the public internet, see [Spec].AllowPrivate
	CodeTLS             = "tls"                // the certificate or the handshake is not good
	CodeTimeout         = "timeout"            // connecting, the answer or the whole took too long
	CodeStalled         = "stalled"            // the body stopped coming
	CodeReset           = "reset"              // the server broke off
	CodeLengthMismatch  = "length_mismatch"    // less or more came than the server had said
	CodeProtocol        = "protocol"           // what came is not HTTP
	CodeTooLarge        = "too_large"          // more than [Spec].MaxBytes
	CodeTooManyRedirect = "too_many_redirects" // more than [Spec].MaxRedirects
	CodeRedirectLoop    = "redirect_loop"      // redirected to where it was before
	CodeCircuitOpen     = "circuit_open"       // the host failed so often that it is left alone for a while
	CodeWaiting         = cpuwork.CodeWaiting  // its turn is later: nothing was asked yet
	CodeBusy            = "busy"               // another job writes this file
	CodeWriteFailed     = "write_failed"       // the file could not be written
	CodeDiskFull        = "disk_full"
	CodeOpenFiles       = "too_many_files" // this process has no descriptor left
	CodeCancelled       = "cancelled"
)

// Why a request was given up by us; the cause of its context.
var (
	errStalled = errors.New("the body stalled")
	errTotal   = errors.New("the whole took too long")
)

// retry makes a failure one that another attempt may not meet.
func retry(e *cpuwork.ItemError) *cpuwork.ItemError {
	e.Retry = true
	return e
}

// failed says why a request or the reading of its body ended in err.
func (e *engine) failed(ctx context.Context, err error) *cpuwork.ItemError {
	var known *cpuwork.ItemError
	if errors.As(err, &known) {
		return known
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStalled):
		return retry(cpuwork.Failf(CodeStalled, "--idle-timeout for a slow server", "no byte came for %s", seconds(e.IdleTimeout)))
	case errors.Is(cause, errTotal):
		return retry(cpuwork.Failf(CodeTimeout, "--total-timeout for a large file", "it took longer than %s", seconds(e.TotalTimeout)))
	case cause != nil:
		return cpuwork.Failf(CodeCancelled, "", "cancelled")
	}
	for _, explain := range []func(error) *cpuwork.ItemError{addressFailed, tlsFailed, e.timeoutFailed, brokenOff} {
		if known := explain(err); known != nil {
			return known
		}
	}
	return retry(cpuwork.Failf(CodeProtocol, "the same with curl -v, to see what the server sends", "the exchange failed: %s", clip(plain(err))))
}

// plain is an error's text without the URL that net/http puts in front.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), "net/http: ")
}

func addressFailed(err error) *cpuwork.ItemError {
	var private *privateError
	var dns *net.DNSError
	switch {
	case errors.As(err, &private):
		return private.item()
	case errors.As(err, &dns):
		failed := cpuwork.Failf(CodeDNS, "the name spelt otherwise", "%s does not resolve: %s", clip(dns.Name), clip(dns.Err))
		failed.Retry = !dns.IsNotFound
		return failed
	case errors.Is(err, syscall.ECONNREFUSED):
		return retry(cpuwork.Failf(CodeRefused, "the host and port: nobody listens there now", "connection refused"))
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return retry(cpuwork.Failf(CodeUnreachable, "the network, or HTTPS_PROXY if there is a proxy", "no route to the host"))
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return retry(cpuwork.Failf(CodeOpenFiles, "a lower concurrency, or ulimit -n", "no descriptor left for another connection"))
	}
	return nil
}

func tlsFailed(err error) *cpuwork.ItemError {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		host   x509.HostnameError
		root   x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &host):
		return cpuwork.Failf(CodeTLS, "the name that the certificate is for", "the certificate is for another name: %s", clip(host.Error()))
	case errors.As(err, &root):
		return cpuwork.Failf(CodeTLS, "SSL_CERT_FILE with the authority that signed it", "the certificate is signed by an unknown authority")
	case errors.As(err, &verify):
		return cpuwork.Failf(CodeTLS, "the server's certificate", "the certificate is not good: %s", clip(verify.Err.Error()))
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return cpuwork.Failf(CodeTLS, "http:// instead of https://", "the server does not speak TLS on this port")
	case errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return cpuwork.Failf(CodeTLS, "the same with openssl s_client", "the TLS handshake failed: %s", clip(plain(err)))
	}
	return nil
}

func (e *engine) timeoutFailed(err error) *cpuwork.ItemError {
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return nil
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return retry(cpuwork.Failf(CodeTimeout, "--connect-timeout for a distant server", "no connection within %s", seconds(e.ConnectTimeout)))
	case strings.Contains(err.Error(), "TLS handshake"):
		return retry(cpuwork.Failf(CodeTimeout, "--connect-timeout for a distant server", "no TLS handshake within %s", seconds(e.ConnectTimeout)))
	case strings.Contains(err.Error(), "response headers"):
		return retry(cpuwork.Failf(CodeTimeout, "--header-timeout for a slow server", "no answer within %s", seconds(e.HeaderTimeout)))
	}
	return retry(cpuwork.Failf(CodeTimeout, "a later time", "timed out: %s", clip(plain(err))))
}

func brokenOff(err error) *cpuwork.ItemError {
	text := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return retry(cpuwork.Failf(CodeReset, "a lower rate", "the server reset the connection"))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "server closed idle connection"):
		return retry(cpuwork.Failf(CodeReset, "a lower rate", "the server closed the connection within its answer"))
	case strings.Contains(text, "stream error"), strings.Contains(text, "GOAWAY"):
		return retry(cpuwork.Failf(CodeReset, "a lower rate", "the server broke off: %s", clip(plain(err))))
	}
	return nil
}

// fileFailed says why a file could not be written.
func fileFailed(err error) *cpuwork.ItemError {
	var path *fs.PathError
	what := err
	if errors.As(err, &path) {
		what = path.Err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return cpuwork.Failf(CodeDiskFull, "another directory, or to make room", "there is no room left to write it")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return retry(cpuwork.Failf(CodeOpenFiles, "a lower concurrency, or ulimit -n", "no descriptor left for another file"))
	case errors.Is(err, errBusy):
		return retry(cpuwork.Failf(CodeBusy, "another directory, or to wait for the other job", "another job writes this file now"))
	}
	return cpuwork.Failf(CodeWriteFailed, "a directory that can be written to", "write file: %v", what)
}

// statusFailed is the failure of an answer that is not a success. A server
// that names a time to come back is asked again only then.
func (e *engine) statusFailed(resp *http.Response) *cpuwork.ItemError {
	code := resp.StatusCode
	failed := cpuwork.Failf(fmt.Sprintf("status_%d", code), statusHint(code), "the server answered %d %s", code, http.StatusText(code))
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		failed.Retry = true
	}
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		if after, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
			failed.After = after
			if longest := seconds(e.MaxRetryAfter); after > longest {
				failed.Retry, failed.After = false, 0
				failed.Message += fmt.Sprintf(", and to come back in %s: %s is the most that is waited", after.Round(time.Second), longest)
				failed.Hint = "--max-retry-after for a longer wait"
			}
		}
	}
	return failed
}

func statusHint(code int) string {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "--header with what the server wants to see, as Authorization"
	case http.StatusNotFound, http.StatusGone:
		return "the address spelt otherwise"
	case http.StatusTooManyRequests:
		return "a lower --rate or --host-rate"
	}
	return "a later time"
}

// blame is what a request's end says about its host.
type blame int

const (
	blameNobody blame = iota // nothing: it was not asked, or the fault is here
	blameHost                // it does not work
	blameURL                 // the host works: the URL is wrong
)

// blameFor sorts the codes: only a host's own failures open its breaker.
func blameFor(failed *cpuwork.ItemError) blame {
	if failed == nil {
		return blameURL
	}
	switch failed.Code {
	case CodeDNS, CodeRefused, CodeUnreachable, CodeTLS, CodeTimeout, CodeStalled, CodeReset, CodeProtocol, CodeLengthMismatch:
		return blameHost
	case CodePrivate, CodeWriteFailed, CodeDiskFull, CodeOpenFiles, CodeBusy, CodeCancelled, CodeCircuitOpen, CodeWaiting, "status_429":
		return blameNobody
	}
	if strings.HasPrefix(failed.Code, "status_5") {
		return blameHost
	}
	return blameURL
}
