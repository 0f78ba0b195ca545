package jpeg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// New is the job of converting spec's inputs.
func New(spec Spec) (batch.Load, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	params, err := json.Marshal(spec.Options)
	if err != nil {
		return nil, fmt.Errorf("write the options: %w", err)
	}
	switch {
	case spec.Inputs != nil:
	case spec.Files != nil:
		spec.Inputs = fileList{spec: spec.Files, root: spec.Root}
	default:
		spec.Inputs = pathList{paths: spec.Paths, root: spec.Root}
	}
	return &load{spec: spec, params: params, encoders: map[string]int64{}}, nil
}

type load struct {
	spec   Spec
	params []byte

	bytesOut, skipped int64
	encoders          map[string]int64 // pictures by encoder
}

func (l *load) Work() (cpuwork.Work, []byte) { return Work, l.params }
func (l *load) Count() int64                 { return l.spec.Inputs.Count() }

func (l *load) Items(ctx context.Context) iter.Seq2[batch.Item, error] {
	return func(yield func(batch.Item, error) bool) {
		names := newNames(l.spec.Output, l.spec.Force)
		for in, err := range l.spec.Inputs.Inputs(ctx) {
			if err != nil {
				yield(batch.Item{}, err)
				return
			}
			names.note(in)
		}
		for in, err := range l.spec.Inputs.Inputs(ctx) {
			if err != nil {
				yield(batch.Item{}, err)
				return
			}
			item := batch.Item{Name: in.Path}
			out, err := names.of(in)
			if err != nil {
				item.Failed = err
			} else {
				item.Data = AppendPaths(nil, in.Path, out)
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

func (l *load) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	line := batch.Line{Index: item.Index, Item: item.Name, Seconds: r.Took.Seconds(), Attempts: r.Attempts}
	if r.Err != nil {
		if !errors.As(r.Err, &line.Error) {
			line.Error = &cpuwork.ItemError{Code: cpuwork.CodeFailed, Message: r.Err.Error()}
		}
		return line, nil
	}
	var a Answer
	if err := json.Unmarshal(r.Output, &a); err != nil {
		return line, fmt.Errorf("read the answer to item %d: %w", item.Index, err)
	}
	line.OK, line.Bytes, line.Wrote = true, a.BytesIn, a.Output
	line.Output = map[string]any{"output": a.Output}
	if a.Skipped {
		l.skipped++
		line.Output["skipped"] = true
		return line, nil
	}
	line.Output["width"], line.Output["height"] = a.Width, a.Height
	line.Output["bytes_in"], line.Output["bytes_out"] = a.BytesIn, a.BytesOut
	line.Output["format"], line.Output["encoder"] = a.Format, a.Encoder
	l.bytesOut += a.BytesOut
	l.encoders[a.Encoder]++
	return line, nil
}

// Finish tells what only this kind knows: the results are durable already.
func (l *load) Finish(_ context.Context, s *batch.Summary) error {
	if s.Kind == nil {
		s.Kind = map[string]any{}
	}
	s.Kind["bytes_out"], s.Kind["skipped"], s.Kind["encoders"] = l.bytesOut, l.skipped, l.encoders
	return nil
}

var _ batch.Load = (*load)(nil)
