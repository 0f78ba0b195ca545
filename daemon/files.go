package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
)

func (s *server) registerFiles(doc huma.API) {
	op := operation(doc, "get-model", http.MethodGet, "/v1/jobs/{id}/model", "The trained parameters, safetensors")
	op.Responses["200"] = &huma.Response{Description: "A safetensors file", Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
	huma.Register(doc, op, s.model)
	op = operation(doc, "predict", http.MethodPost, "/v1/jobs/{id}/predict", "Predictions for the rows of a file")
	op.Responses["200"] = textResponse("text/csv", "One row of predictions a row of data")
	registerBody(doc, op, schemaOf[api.PredictRequest](doc), s.predict)
}

// trained returns the path of a job's model.
func (s *server) trained(ctx context.Context, id int64) (store.Record, string, error) {
	rec, err := s.store.Job(ctx, id)
	if err != nil {
		return rec, "", err
	}
	if rec.Kind != api.KindTrain {
		return rec, "", &api.Error{Code: api.CodeWrongState,
			Message: fmt.Sprintf("job %d is of kind %s, and has no model", id, rec.Kind),
			Hint:    fmt.Sprintf("weft results %d shows what its items came to", id)}
	}
	if rec.State != api.Succeeded {
		return rec, "", &api.Error{Code: api.CodeWrongState,
			Message: fmt.Sprintf("job %d has no model: it is %s", id, rec.State),
			Hint:    fmt.Sprintf("weft wait %d, then try again", id)}
	}
	return rec, filepath.Join(s.cfg.jobDir(id), gpu.ModelFile), nil
}

func (s *server) model(ctx context.Context, in *idInput) (*streamOutput, error) {
	_, path, err := s.trained(ctx, in.ID)
	if err != nil {
		return nil, s.fault(err)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, newProblem(&api.Error{Code: api.CodeNotFound,
			Message: fmt.Sprintf("the model of job %d is not at %s any more", in.ID, path),
			Hint:    fmt.Sprintf("weft retry %d trains it again", in.ID)})
	}
	if err != nil {
		return nil, s.fault(fmt.Errorf("open model: %w", err))
	}
	return &streamOutput{func(c huma.Context) {
		defer func() { _ = f.Close() }() // only read
		r, w := unwrap(c)
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", "attachment; filename=job"+strconv.FormatInt(in.ID, 10)+".safetensors")
		http.ServeContent(newPatientWriter(w), r, "", time.Time{}, f)
	}}, nil
}

// A patientWriter moves the write deadline on with every write: a large file
// may take long, a client that does not read may not.
type patientWriter struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func newPatientWriter(w http.ResponseWriter) *patientWriter {
	return &patientWriter{w, http.NewResponseController(w)}
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not supported by a test's recorder
	return p.ResponseWriter.Write(b)
}

type predictInput struct {
	ID      int64  `path:"id" minimum:"1"`
	RawBody []byte `contentType:"application/json"`
}

func (s *server) predict(ctx context.Context, in *predictInput) (*streamOutput, error) {
	var req api.PredictRequest
	if err := decodeObject(in.RawBody, "", map[string]field{"data": {&req.Data, "an absolute path"}}); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(req.Data) {
		return nil, invalid(api.CodeInvalid, []api.FieldError{{Location: "/data",
			Message: fmt.Sprintf("data %q is not an absolute path", clip(req.Data))}})
	}
	_, model, err := s.trained(ctx, in.ID)
	if err != nil {
		return nil, s.fault(err)
	}
	return &streamOutput{func(c huma.Context) {
		_, w := unwrap(c)
		out := &csvWriter{w: newPatientWriter(w)}
		if err := s.owner.loader.Predict(ctx, model, req.Data, out); err != nil {
			s.endPrediction(w, out, err)
		}
	}}, nil
}

// endPrediction answers a prediction that failed: with a problem if nothing
// was sent, else by breaking off, so that half a file is not taken for one.
func (s *server) endPrediction(w http.ResponseWriter, out *csvWriter, err error) {
	if !out.begun {
		writeProblem(w, s.fault(err).(*problem))
		return
	}
	s.log.Warn("prediction broke off", "error", err)
	panic(http.ErrAbortHandler)
}

// A csvWriter sends its header with the first bytes.
type csvWriter struct {
	w     *patientWriter
	begun bool
}

var _ io.Writer = (*csvWriter)(nil)

func (c *csvWriter) Write(b []byte) (int, error) {
	if !c.begun {
		c.begun = true
		c.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		c.w.WriteHeader(http.StatusOK)
	}
	return c.w.Write(b)
}
