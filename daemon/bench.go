package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/daemon/api"
)

const (
	benchFolder   = "bench"  // in the state directory; the client writes there
	benchEnding   = ".json"  // of a result's file; its name before that is the id
	maxBenchFile  = 64 << 20 // bytes; ten thousand models take 10 MB
	maxBenchFiles = 100_000  // in the folder
)

// benchFiles serves the results that `weft bench share` keeps, each a file. The
// files are the store: the client writes them whole or not at all, also where
// no daemon runs, and to forget one is to remove its file.
type benchFiles struct {
	dir  string
	turn chan struct{} // holds one token while files are read, so that answers take bounded memory
}

func (s *server) registerBench(doc huma.API) {
	b := &benchFiles{dir: filepath.Join(s.cfg.StateDir, benchFolder), turn: make(chan struct{}, 1)}
	huma.Register(doc, operation(doc, "list-bench", http.MethodGet, "/v1/bench",
		"Results of weft bench share, newest first"), func(ctx context.Context, in *benchInput) (*benchOutput, error) {
		list, err := b.list(ctx, in)
		if err != nil {
			return nil, s.fault(err)
		}
		return &benchOutput{*list}, nil
	})
	op := operation(doc, "get-bench", http.MethodGet, "/v1/bench/{id}", "One result, as weft bench share -o json writes it")
	op.Responses["200"] = &huma.Response{Description: "docs/benchmarks.md says what it has",
		Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}
	huma.Register(doc, op, func(ctx context.Context, in *benchOneInput) (*streamOutput, error) {
		body, err := b.one(ctx, in.ID)
		if err != nil {
			return nil, s.fault(err)
		}
		return &streamOutput{func(c huma.Context) {
			_, w := unwrap(c)
			w.Header().Set("Content-Type", "application/json")
			_, _ = newPatientWriter(w).Write(body) // the client has gone if this fails
		}}, nil
	})
}

type benchInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"files to read at most"`
	Before string `query:"before" doc:"only results before this one; next of the answer before"`
}

type benchOutput struct{ Body api.BenchList }

type benchOneInput struct {
	ID string `path:"id" doc:"as in GET /v1/bench"`
}

var benchID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// take waits for the turn to read files.
func (b *benchFiles) take(ctx context.Context) (release func(), err error) {
	select {
	case b.turn <- struct{}{}:
		return func() { <-b.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// list reads the newest results before one. Names begin with the date in UTC.
func (b *benchFiles) list(ctx context.Context, in *benchInput) (*api.BenchList, error) {
	release, err := b.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	out := &api.BenchList{Results: []api.BenchSummary{}}
	root, ids, err := b.open()
	if root == nil || err != nil {
		return out, err
	}
	defer func() { _ = root.Close() }() // only read
	last := ""
	for _, id := range ids {
		if in.Before != "" && id >= in.Before {
			continue
		}
		if len(out.Results)+out.LeftOut == in.Limit {
			out.Next = last
			break
		}
		last = id
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		body, err := readBench(root, id)
		if err != nil {
			out.LeftOut++
			continue
		}
		r, err := summarize(id, body)
		if err != nil {
			out.LeftOut++
			continue
		}
		out.Results = append(out.Results, *r)
	}
	return out, nil
}

// open opens the folder and lists the results in it, newest first; a root of
// nil: there is no folder.
func (b *benchFiles) open() (root *os.Root, ids []string, err error) {
	root, err = os.OpenRoot(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("open results: %w", err)
	}
	dir, err := root.Open(".")
	if err != nil {
		_ = root.Close() // the error that matters is another
		return nil, nil, fmt.Errorf("open results: %w", err)
	}
	defer func() { _ = dir.Close() }() // only read
	names, err := dir.Readdirnames(maxBenchFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = root.Close() // the error that matters is another
		return nil, nil, fmt.Errorf("list results: %w", err)
	}
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, benchEnding); ok && benchID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return root, ids, nil
}

// one reads one result.
func (b *benchFiles) one(ctx context.Context, id string) ([]byte, error) {
	release, err := b.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	missing := &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no result %q", id),
		Hint: "GET /v1/bench, or weft bench history, lists them"}
	if !benchID.MatchString(id) {
		return nil, missing
	}
	root, err := os.OpenRoot(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	} else if err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	defer func() { _ = root.Close() }() // only read
	body, err := readBench(root, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	} else if err != nil {
		return nil, err
	}
	if _, err := summarize(id, body); err != nil {
		return nil, err
	}
	return body, nil
}

// readBench reads a result's file, which must be one and not too large.
func readBench(root *os.Root, id string) ([]byte, error) {
	// Opening a pipe would wait for its writer.
	f, err := root.OpenFile(id+benchEnding, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open result: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	switch fi, err := f.Stat(); {
	case err != nil:
		return nil, fmt.Errorf("read result: %w", err)
	case !fi.Mode().IsRegular():
		return nil, &api.Error{Code: api.CodeData, Message: fmt.Sprintf("result %s is no file", id)}
	case fi.Size() > maxBenchFile:
		return nil, &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("result %s has %d bytes, more than %d", id, fi.Size(),
			maxBenchFile)}
	}
	body, err := io.ReadAll(io.LimitReader(f, maxBenchFile))
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	return body, nil
}

// benchMedian is what a summary reads of a spread.
type benchMedian struct {
	Median float64 `json:"median"`
}

func (m *benchMedian) value() *float64 {
	if m == nil {
		return nil
	}
	return &m.Median
}

// benchArm is what a summary reads of an arm or a peer.
type benchArm struct {
	Arm         string       `json:"arm"`
	Peer        string       `json:"peer"`
	Wall        *benchMedian `json:"wall_seconds"`
	Speedup     *benchMedian `json:"speedup"`
	Utilization *benchMedian `json:"utilization"`
	Energy      *benchMedian `json:"energy_joules"`
}

// summarize reads a result as far as the list tells it.
func summarize(id string, body []byte) (*api.BenchSummary, error) {
	var r struct {
		Benchmark string    `json:"benchmark"`
		Date      time.Time `json:"date"`
		Weft      struct {
			Version string `json:"version"`
			Commit  string `json:"commit"`
		} `json:"weft"`
		Device struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"device"`
		Load struct {
			Name   string `json:"name"`
			Models int    `json:"models"`
			Quick  bool   `json:"quick"`
		} `json:"load"`
		Rounds   int        `json:"rounds"`
		Baseline string     `json:"baseline"`
		Equal    bool       `json:"models_equal"`
		Arms     []benchArm `json:"arms"`
		Peers    []benchArm `json:"peers"`
	}
	if err := json.Unmarshal(body, &r); err != nil || r.Benchmark != "share" || len(r.Arms) == 0 {
		return nil, &api.Error{Code: api.CodeData, Message: fmt.Sprintf("%s is no result of weft bench share", id)}
	}
	out := &api.BenchSummary{ID: id, Benchmark: r.Benchmark, Date: r.Date, Load: r.Load.Name, Models: r.Load.Models,
		Quick: r.Load.Quick, Device: r.Device.ID, DeviceName: r.Device.Name, Rounds: r.Rounds, Baseline: r.Baseline,
		Equal: r.Equal, Version: r.Weft.Version, Commit: r.Weft.Commit, Arms: []api.BenchArm{}}
	add := func(name string, peer bool, a *benchArm) {
		if a.Wall != nil { // a peer that did not run has none
			out.Arms = append(out.Arms, api.BenchArm{Name: name, Peer: peer, Wall: a.Wall.Median, Speedup: a.Speedup.value(),
				Utilization: a.Utilization.value(), Energy: a.Energy.value()})
		}
	}
	for i := range r.Arms {
		add(r.Arms[i].Arm, false, &r.Arms[i])
	}
	for i := range r.Peers {
		add(r.Peers[i].Peer, true, &r.Peers[i])
	}
	return out, nil
}
