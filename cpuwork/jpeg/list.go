package jpeg

import (
	"context"
	"iter"
	"path/filepath"

	"weft/cpuwork/files"
)

// fileList is the Lister of Spec.Files.
type fileList struct {
	spec *files.Spec
	root string
}

func (fileList) Count() int64 { return -1 }

// Inputs keep the tree below root; without one, names that were given relative to
// the list's directory keep theirs, and others come to lie side by side.
func (l fileList) Inputs(ctx context.Context) iter.Seq2[Input, error] {
	return func(yield func(Input, error) bool) {
		for e := range l.spec.All(ctx) {
			in := Input{Path: e.Path, Rel: filepath.Base(e.Path)}
			if e.Err != nil {
				in.Err = e.Err
			}
			if l.root != "" {
				if rel, err := filepath.Rel(l.root, e.Path); err == nil && filepath.IsLocal(rel) {
					in.Rel = rel
				}
			} else if filepath.IsLocal(e.Name) {
				in.Rel = e.Name
			}
			if !yield(in, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Input{}, err)
		}
	}
}
