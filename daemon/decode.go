package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"weft/daemon/api"
)

// A field is where a key of a JSON object goes and what it must be, in words.
type field struct {
	dst  any
	want string
}

// decodeObject reads a JSON object strictly; at is its JSON pointer.
func decodeObject(js []byte, at string, fields map[string]field) error {
	if faults := decodeFields(js, at, fields); len(faults) > 0 {
		return invalid(api.CodeInvalid, faults)
	}
	return nil
}

// decodeFields is decodeObject that returns every fault.
func decodeFields(js []byte, at string, fields map[string]field) []api.FieldError {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(js, &members); err != nil || members == nil {
		return []api.FieldError{{Location: at, Message: notJSON(err, "a JSON object")}}
	}
	var faults []api.FieldError
	for _, key := range slices.Sorted(maps.Keys(members)) {
		f, ok := fields[key]
		if !ok {
			faults = append(faults, unknownKey(at, key, fields))
			continue
		}
		if err := json.Unmarshal(members[key], f.dst); err != nil {
			faults = append(faults, api.FieldError{
				Location: at + "/" + escapePointer(key),
				Message:  fmt.Sprintf("%s must be %s", key, f.want),
			})
		}
	}
	return faults
}

func unknownKey(at, key string, fields map[string]field) api.FieldError {
	e := api.FieldError{
		Location: at + "/" + escapePointer(key),
		Message:  fmt.Sprintf("unknown key %q", key),
	}
	if n := nearest(key, slices.Sorted(maps.Keys(fields))); n != "" {
		e.Hint = fmt.Sprintf("did you mean %q?", n)
	} else {
		e.Hint = "known keys: " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
	}
	return e
}

// notJSON says where a document stops being JSON, or what it should have been.
func notJSON(err error, want string) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("not JSON at byte %d: %v", syntax.Offset, syntax)
	}
	return "must be " + want
}

// badBody refuses a body that is not JSON at all.
func badBody(message string) *problem {
	p := newProblem(&api.Error{Code: api.CodeInvalid, Message: message,
		Hint: "send one submission object, or an array of them, as application/json"})
	p.Status, p.Title = http.StatusBadRequest, http.StatusText(http.StatusBadRequest)
	return p
}

// escapePointer is RFC 6901's for one reference token.
func escapePointer(key string) string { return pointerEscapes.Replace(key) }

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// nearest returns the name that key is most likely a slip of, or "".
func nearest(key string, names []string) string {
	best, at := "", len(key)/2+1
	for _, n := range names {
		if d := distance(key, n); d < at {
			best, at = n, d
		}
	}
	return best
}

// distance is Levenshtein's, with long keys cut off.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

const (
	maxName     = 200
	maxLabelKey = 63
	maxLabel    = 253
	maxPriority = 1_000_000
	maxRetries  = 1_000
	maxAfter    = 1_000
	maxTimeout  = 10 * 365 * 24 * 3600 // seconds
)

// checkPatch checks the values of a PATCH.
func checkPatch(p api.Patch) error {
	var c checker
	if p.Priority != nil {
		c.priority("", *p.Priority)
	}
	set := map[string]string{}
	for k, v := range p.Labels {
		if v != nil {
			set[k] = *v
		}
	}
	c.labels("", set)
	if len(c) > 0 {
		return invalid(api.CodeInvalid, c)
	}
	return nil
}

// A checker gathers faults.
type checker []api.FieldError

func (c *checker) add(at, format string, args ...any) {
	*c = append(*c, api.FieldError{Location: at, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) priority(at string, p int) {
	if p < -maxPriority || p > maxPriority {
		c.add(at+"/priority", "priority %d is not between %d and %d", p, -maxPriority, maxPriority)
	}
}

func (c *checker) labels(at string, labels map[string]string) {
	if len(labels) > api.MaxLabels {
		c.add(at+"/labels", "%d labels are more than %d", len(labels), api.MaxLabels)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		where := at + "/labels/" + escapePointer(k)
		if k == "" || len(k) > maxLabelKey || !printable(k) || strings.Contains(k, "=") {
			c.add(where, "label name %q is empty, has = or a control character in it, or is longer than %d bytes",
				k, maxLabelKey)
		}
		if v := labels[k]; len(v) > maxLabel || !printable(v) {
			c.add(where, "label value %q has a control character in it, or is longer than %d bytes", clip(v), maxLabel)
		}
	}
}

// submission checks everything of a submission but its specification.
func (c *checker) submission(at string, sub *api.Submission) {
	if !slices.Contains(api.Kinds, sub.Kind) {
		c.add(at+"/kind", "unknown kind %q", clip(string(sub.Kind)))
		(*c)[len(*c)-1].Hint = fmt.Sprintf("there are %s", kindNames())
	}
	if len(sub.Name) > maxName || !printable(sub.Name) {
		c.add(at+"/name", "name %q has a control character in it, or is longer than %d bytes", clip(sub.Name), maxName)
	}
	c.labels(at, sub.Labels)
	c.priority(at, sub.Priority)
	if sub.Retries < 0 || sub.Retries > maxRetries {
		c.add(at+"/retries", "retries %d is not between 0 and %d", sub.Retries, maxRetries)
	}
	if sub.Timeout < 0 || sub.Timeout > maxTimeout {
		c.add(at+"/timeout_seconds", "timeout_seconds %g is not between 0 and %d", sub.Timeout, maxTimeout)
	}
	if len(sub.After) > maxAfter {
		c.add(at+"/after", "%d jobs to wait for are more than %d", len(sub.After), maxAfter)
	}
	if len(bytes.TrimSpace(sub.Spec)) == 0 {
		c.add(at+"/spec", "spec is missing")
	}
}

func kindNames() string {
	names := make([]string, len(api.Kinds))
	for i, k := range api.Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

func printable(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
