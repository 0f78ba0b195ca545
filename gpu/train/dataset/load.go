package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
)

// Load reads, splits and standardizes the data set that spec names, with the
// target as task wants it. What is wrong with the user's data is a [*Fault];
// other errors are a cancelled ctx or the machine's.
func Load(ctx context.Context, spec *Spec, task Task) (*Set, error) {
	return loadLimited(ctx, spec, task, defaultLimits())
}

func loadLimited(ctx context.Context, spec *Spec, task Task, lim limits) (*Set, error) {
	if err := spec.validate(task, lim); err != nil {
		return nil, err
	}
	l := &load{ctx: ctx, lim: lim, sum: sha256.New()}
	l.sum.Write(spec.canonical(task, false))
	t, err := l.table(spec, task)
	if err != nil {
		return nil, err
	}
	if err := t.reshape(spec.Shape); err != nil {
		return nil, err
	}
	return l.set(t, spec, task)
}

// load is one run of [Load].
type load struct {
	ctx context.Context // of this run, which ends with Load's return
	lim limits
	sum hash.Hash // of all that the numbers come from
}

// table reads spec's source.
func (l *load) table(spec *Spec, task Task) (*table, error) {
	switch spec.Source {
	case SourceCSV:
		return readFile(l, spec.File, func(in *input) (*table, error) { return readCSV(in, spec.Target, task, l.lim) })
	case SourceIDX:
		return l.idx(spec, task)
	case SourceNPY:
		return l.npy(spec, task)
	case SourceParquet:
		return l.parquet(spec, task)
	case SourceSafetensors:
		return l.safetensors(spec, task)
	case SourceMoons, SourceSpirals, SourceBlobs, SourceTeacher:
		return l.made(spec, task)
	default: // validate has seen the source
		return l.shipped(spec.Source, task)
	}
}

// reshape gives every row another shape of the same size.
func (t *table) reshape(shape []int) error {
	if shape == nil {
		return nil
	}
	if size(shape) != size(t.shape) {
		return bad(fmt.Sprintf("the shape's product must be %d", size(t.shape)),
			"%s: shape %v holds %d numbers, a row has %d", t.name, shape, size(shape), size(t.shape))
	}
	t.shape = slices.Clone(shape)
	return nil
}

// set cuts, orders and standardizes a table's rows.
func (l *load) set(t *table, spec *Spec, task Task) (*Set, error) {
	parts, err := split(t.name, t.rows, t.y.strata(), spec.Split)
	if err != nil {
		return nil, err
	}
	s := &Set{
		Info: Info{
			Rows: t.rows, TrainRows: parts.train, ValRows: parts.val, TestRows: parts.test,
			Shape: t.shape, Task: string(task), Classes: t.y.classes, TargetWidth: t.y.width,
			MaxLabel: t.y.max, MaxLabelRow: t.y.maxRow,
			Features: t.features, TargetNames: t.targetNames, TargetColumn: t.targetColumn,
		},
		X: t.x, Labels: t.y.labels, Targets: t.y.values,
	}
	if s.Labels == nil {
		s.MaxLabel = -1
	}
	if parts.order != nil {
		reorder(parts.order, s.X, size(s.Shape), s.Labels, s.Targets, s.TargetWidth)
	}
	if err := l.ctx.Err(); err != nil {
		return nil, fmt.Errorf("load %s: %w", t.name, err)
	}
	if spec.Standardize {
		if s.Mean, s.Deviation, err = moments(l.ctx, s.X, s.TrainRows, s.Shape); err != nil {
			return nil, err
		}
		if err := standardize(l.ctx, t.name, s.X, s.Shape, s.Mean, s.Deviation); err != nil {
			return nil, err
		}
	}
	s.Hash = hex.EncodeToString(l.sum.Sum(nil))
	s.Bytes, err = EncodedSize(s)
	return s, err
}

// canonical returns spec and task as bytes that are equal where the rows will
// be: what the source does not use is left out, and so are the files' names
// unless asked for.
func (s *Spec) canonical(task Task, paths bool) []byte {
	c := *s
	if !c.Source.made() {
		c.Make = Make{}
	}
	if c.Split.Validation == 0 && c.Split.Test == 0 {
		c.Split = Split{}
	}
	if task == Regression {
		c.Split.Stratify = false
	}
	if !paths {
		c.File = ""
		if c.Source != SourceSafetensors { // there they are tensors' names
			c.X, c.Y = "", ""
		}
	}
	const version = 1 // raise it when the same source is to give other numbers
	js, err := json.Marshal(struct {
		Version int
		Task    Task
		Spec    Spec
	}{version, task, c})
	if err != nil {
		panic("dataset: " + err.Error()) // numbers in Spec are finite after validate
	}
	return js
}
