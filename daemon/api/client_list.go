package api

import (
	"bytes"
	"encoding/json"
	"regexp"
	"runtime"
	"slices"
	"sync"
)

// parallelBytes is the size of a list from which its jobs are decoded on all
// cores: ten thousand jobs are 5 MB, most of a command's time.
const parallelBytes = 256 << 10

// decodeJobs decodes GET /v1/jobs. A long list is cut between jobs and its
// pieces are decoded at once; a list of any other form than the daemon writes,
// or with a fault in it, is decoded as a whole, so the result is the same.
func decodeJobs(b []byte, out *JobList) error {
	if len(b) >= parallelBytes {
		if list, ok := decodePieces(b, runtime.GOMAXPROCS(0)); ok {
			*out = list
			return nil
		}
	}
	return json.Unmarshal(b, out)
}

// decodePieces decodes the jobs of b in n pieces.
func decodePieces(b []byte, n int) (list JobList, ok bool) {
	start, cuts, end := cutJobs(b, n)
	if end < 0 || !listTail.Match(b[end:]) {
		return list, false
	}
	frame := slices.Concat(b[:start], b[end:]) // the object without its jobs
	if json.Unmarshal(frame, &list) != nil || len(list.Jobs) != 0 {
		return list, false
	}
	pieces, errs := make([][]Job, len(cuts)), make([]error, len(cuts))
	var wg sync.WaitGroup
	for i, from := range cuts {
		to := end
		if i+1 < len(cuts) {
			to = cuts[i+1] - 1 // the comma
		}
		wg.Go(func() {
			errs[i] = json.Unmarshal(slices.Concat([]byte{'['}, b[from:to], []byte{']'}), &pieces[i])
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil || len(pieces[i]) == 0 {
			return list, false
		}
	}
	list.Jobs = slices.Concat(pieces...)
	return list, true
}

// listTail is what follows the jobs in the daemon's form of the list.
var listTail = regexp.MustCompile(`^\](,"next":[0-9]+)?\}\s*$`)

// cutJobs finds the array of jobs and at most n places in it, each the start
// of a job, that cut it into pieces of like size. The array's inside is
// b[start:end]; end is below 0 where b does not have the daemon's form.
func cutJobs(b []byte, n int) (start int, cuts []int, end int) {
	key := []byte(`"jobs":[`)
	start = bytes.Index(b, key)
	if start < 0 || bytes.Count(b[:start], []byte("{")) != 1 || bytes.IndexByte(b[:start], '[') >= 0 {
		return 0, nil, -1
	}
	start += len(key)
	cuts = []int{start}
	step := (len(b) - start) / max(n, 1)
	depth := 0
	for i := start; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = endOfString(b, i); i < 0 {
				return 0, nil, -1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return start, cuts, i
			}
			depth--
		case ',':
			if depth == 0 && len(cuts) < n && i+1 >= start+len(cuts)*step {
				cuts = append(cuts, i+1)
			}
		}
	}
	return 0, nil, -1
}

// endOfString returns the place of the quote that closes the string opened at
// b[i], or -1.
func endOfString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return -1
		}
		i += j
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
	return -1
}
