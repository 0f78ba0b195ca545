package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"weft/cpuwork/jobs"
	"weft/daemon/api"
	"weft/daemon/store"
)

func (s *server) registerResults(doc huma.API) {
	op := operation(doc, "get-results", http.MethodGet, "/v1/jobs/{id}/results",
		"What a CPU job's items came to, one JSON object a line, as they ended")
	op.Responses["200"] = textResponse("application/x-ndjson", "One ItemResult a line")
	huma.Register(doc, op, s.results)
}

type resultsInput struct {
	ID     int64 `path:"id" minimum:"1"`
	Failed bool  `query:"failed" doc:"only items that failed"`
}

func (s *server) results(ctx context.Context, in *resultsInput) (*streamOutput, error) {
	rec, err := s.store.Job(ctx, in.ID)
	if err != nil {
		return nil, s.fault(err)
	}
	if rec.Kind == api.KindTrain {
		return nil, newProblem(&api.Error{Code: api.CodeWrongState,
			Message: fmt.Sprintf("job %d trains a model, and has no items", in.ID),
			Hint:    fmt.Sprintf("weft show %d has its metrics, weft model %d its parameters", in.ID, in.ID)})
	}
	f, err := s.openResults(&rec)
	if err != nil {
		return nil, s.fault(err)
	}
	return &streamOutput{func(c huma.Context) {
		_, w := unwrap(c)
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		if f == nil {
			return
		}
		defer func() { _ = f.Close() }() // only read
		if err := copyResults(newPatientWriter(w), f, rec.Kind, in.Failed); err != nil {
			s.log.Debug("results broke off", "job", in.ID, "error", err)
			panic(http.ErrAbortHandler) // half of them must not be taken for all
		}
	}}, nil
}

// openResults opens a job's results; nil: there are none. Those of an attempt that
// a retry is to forget count for nothing.
func (s *server) openResults(rec *store.Record) (*os.File, error) {
	if !rec.State.Final() && !rec.HasCheckpoint {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(s.cfg.jobDir(rec.ID), jobs.ResultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	return f, nil
}

// copyResults copies whole lines: the last one may be on its way into the file.
func copyResults(w io.Writer, r io.Reader, kind api.Kind, onlyFailed bool) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	out := bufio.NewWriterSize(w, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return fmt.Errorf("read results: %w", err)
		}
		if onlyFailed && failedLine(kind, line) == nil {
			continue
		}
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("send results: %w", err)
		}
	}
}

// failedLine is the result of an item that failed; nil: it did not. A line that
// cannot be read is one that its reader should see.
func failedLine(kind api.Kind, text []byte) *jobs.Line {
	line := &jobs.Line{}
	if json.Unmarshal(text, line) == nil && !jobs.ItemFailed(string(kind), line) {
		return nil
	}
	return line
}

// summary is what a CPU job came to; nil: it is not known, or not yet.
func (s *server) summary(j *api.Job) (*api.Summary, error) {
	if j.Kind == api.KindTrain || !j.State.Final() {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(s.cfg.jobDir(j.ID), jobs.SummaryFile))
	if errors.Is(err, fs.ErrNotExist) { // it was cancelled, or failed as a whole
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read summary: %w", err)
	}
	out := &api.Summary{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("read summary of job %d: %w", j.ID, err)
	}
	return out, nil
}

// A failureLog tells which of a CPU job's items failed, as their results come.
type failureLog struct {
	s    *server
	id   int64
	none bool  // it has no items
	told int64 // bytes of the results that have been looked at
}

// next is the lines about items that have failed since the last call.
func (l *failureLog) next(ctx context.Context) ([]byte, error) {
	if l.none {
		return nil, nil
	}
	rec, err := l.s.store.Job(ctx, l.id)
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	f, err := l.s.openResults(&rec)
	if f == nil || err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err == nil && info.Size() < l.told {
		l.told = 0 // another attempt has begun
	}
	if _, err := f.Seek(l.told, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var out bytes.Buffer
	for lines := bufio.NewReaderSize(f, 64<<10); ; {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read results: %w", err)
		}
		l.told += int64(len(text))
		if line := failedLine(rec.Kind, text); line != nil && line.Error != nil {
			fmt.Fprintf(&out, "item failed: %s: %s (%s)\n", oneLine(line.Item), oneLine(line.Error.Message), line.Error.Code)
		}
	}
}

// oneLine keeps what it is given on a line.
func oneLine(s string) string { return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s) }
