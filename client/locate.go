package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"weft/daemon/api"
)

// submissionFlags are the flags behind a submission's own fields.
var submissionFlags = map[string]string{
	"name": "--name", "labels": "--label", "priority": "--priority", "after": "--after", "at": "--at",
	"hold": "--hold", "retries": "--retries", "timeout_seconds": "--timeout",
}

// locate turns the daemon's faults, which point into the request, into faults
// that point into files and flags. Jobs of a sweep share their faults: each is
// told once.
func locate(err error, drafts []draft) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || len(p.Errors) == 0 {
		return err
	}
	var out faults
	seen := map[string]bool{}
	for _, f := range p.Errors {
		e := &api.Error{Code: p.Code, Message: locateOne(f, drafts), Hint: f.Hint}
		if !seen[e.Message] {
			seen[e.Message] = true
			out = append(out, e)
		}
	}
	if len(out) > maxTold {
		more := len(out) - maxTold
		out = append(out[:maxTold:maxTold], &api.Error{Code: p.Code, Message: fmt.Sprintf("and %d more faults", more)})
	}
	return out
}

// locateOne writes one fault with its place and key: "spec.yaml:7:3:
// optimizer.lr: must be above 0". The key is left out where the message names
// it already.
func locateOne(f api.FieldError, drafts []draft) string {
	rest := strings.TrimPrefix(f.Location, "/")
	first, after, _ := strings.Cut(rest, "/")
	i, err := strconv.Atoi(first)
	if err != nil && len(drafts) == 1 {
		i, after, err = 0, rest, nil // the daemon may leave out the only index
	}
	if err != nil || i < 0 || i >= len(drafts) {
		return f.Message
	}
	field, pointer, _ := strings.Cut(after, "/")
	if field != "spec" {
		if flag, ok := submissionFlags[field]; ok {
			return flag + ": " + f.Message
		}
		return f.Message
	}
	pos, key := drafts[i].doc.Locate(pointer)
	last := key[strings.LastIndexByte(key, '.')+1:]
	if key == "" || strings.Contains(f.Message, strconv.Quote(last)) || strings.HasPrefix(f.Message, last+" ") {
		return pos.String() + ": " + f.Message
	}
	return pos.String() + ": " + key + ": " + f.Message
}
