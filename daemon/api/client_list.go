package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
)

// jobsPerPage is how many jobs Jobs asks for at once, unless it is told: few
// enough that the daemon's work on a page and ours overlap, enough that a page
// is worth a request.
const jobsPerPage = 2500

// Jobs lists all jobs that match, over as many answers as it takes, by id. A
// page is decoded while the daemon makes the next.
func (c *Client) Jobs(ctx context.Context, f Filter) ([]Job, error) {
	if f.Limit == 0 {
		f.Limit = jobsPerPage
	}
	var pages jobPages
	err := c.eachPage(ctx, f, func(f Filter) (int64, error) {
		var body []byte
		err := c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs", query: f.query(), again: true}, &body)
		if err != nil {
			return 0, err
		}
		return pages.add(body)
	})
	jobs, decodeErr := pages.wait()
	return jobs, errors.Join(err, decodeErr)
}

// jobPages decodes pages of a list, each in a goroutine that wait waits for.
type jobPages struct {
	pages    []*JobList
	errs     []*error
	decoding sync.WaitGroup
}

// add begins to decode a page and returns its cursor to the next one; 0: none.
func (p *jobPages) add(body []byte) (next int64, err error) {
	page, failed := new(JobList), new(error)
	p.pages, p.errs = append(p.pages, page), append(p.errs, failed)
	decode := func() {
		if err := json.Unmarshal(body, page); err != nil {
			*failed = fmt.Errorf("decode list of jobs: %w", err)
		}
	}
	if next, ok := cursorOf(body); ok {
		p.decoding.Go(decode)
		return next, nil
	}
	decode()
	return page.Next, *failed
}

// wait returns the jobs of all pages in order.
func (p *jobPages) wait() ([]Job, error) {
	p.decoding.Wait()
	var jobs []Job
	for i, page := range p.pages {
		if err := *p.errs[i]; err != nil {
			return nil, err
		}
		jobs = append(jobs, page.Jobs...)
	}
	return jobs, nil
}

// listTail is the end of a list in the daemon's form.
var listTail = regexp.MustCompile(`\],"next":([0-9]{1,18})\}\s*$`)

// cursorOf reads a list's cursor without decoding the rest. What it reads
// cannot be within a string, for it runs to the document's end.
func cursorOf(body []byte) (next int64, ok bool) {
	m := listTail.FindSubmatch(body[max(0, len(body)-64):])
	if m == nil {
		return 0, false
	}
	next, err := strconv.ParseInt(string(m[1]), 10, 64)
	return next, err == nil
}
