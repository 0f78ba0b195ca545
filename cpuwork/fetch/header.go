package fetch

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfter reads a Retry-After header, in seconds or as a date (RFC 9110,
// 10.2.3): how long to wait from now. What is past is no wait.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0, false
	}
	if digits(value) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n > math.MaxInt64/int64(time.Second) {
			return math.MaxInt64, true // digits, but too many
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, at.Sub(now)), true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// contentRange reads a Content-Range header of a single range in bytes (RFC
// 9110, 14.4); total is -1 where the server does not know it.
func contentRange(value string) (first, last, total int64, ok bool) {
	unit, rest, _ := strings.Cut(value, " ")
	span, size, found := strings.Cut(strings.TrimSpace(rest), "/")
	from, to, ranged := strings.Cut(span, "-")
	if !strings.EqualFold(unit, "bytes") || !found || !ranged || !digits(from) || !digits(to) {
		return 0, 0, 0, false
	}
	first, err := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	total = -1
	if size != "*" {
		var err3 error
		if total, err3 = strconv.ParseInt(size, 10, 64); err3 != nil || !digits(size) || last >= total {
			return 0, 0, 0, false
		}
	}
	return first, last, total, err == nil && err2 == nil && first <= last
}

// validators are what a server says of a version of a file, by which it can be
// told from others.
type validators struct {
	ETag         string `json:"etag,omitempty"`          // only a strong one
	LastModified string `json:"last_modified,omitempty"` // only if it is strong: RFC 9110, 8.8.2.2
}

func validatorsOf(h http.Header) validators {
	var v validators
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) && len(tag) < 1024 {
		v.ETag = tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err == nil && err2 == nil && date.Sub(modified) >= time.Second {
		v.LastModified = h.Get("Last-Modified")
	}
	return v
}

// condition is the value of If-Range; "" when no version can be named.
func (v validators) condition() string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.LastModified
}

// contradicts reports whether an answer is of another version.
func (v validators) contradicts(h http.Header) bool {
	tag := h.Get("ETag")
	return v.ETag != "" && tag != "" && tag != v.ETag
}
