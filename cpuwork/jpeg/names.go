package jpeg

import (
	"context"
	"iter"
	"path/filepath"
	"strings"

	"weft/cpuwork"
)

// An Input is a file to convert. Rel says where below the output directory its
// result goes: a relative path, of which the extension is changed.
type Input struct {
	Path string
	Rel  string
	Err  error // not nil: why this file cannot even be begun
}

// A Lister lists inputs, the same ones in the same order each time it is asked.
type Lister interface {
	Count() int64 // -1 when only the end will tell
	Inputs(ctx context.Context) iter.Seq2[Input, error]
}

// pathList is the Lister of Spec.Paths.
type pathList struct {
	paths []string
	root  string
}

func (l pathList) Count() int64 { return int64(len(l.paths)) }

func (l pathList) Inputs(ctx context.Context) iter.Seq2[Input, error] {
	return func(yield func(Input, error) bool) {
		for _, p := range l.paths {
			in := Input{Path: p, Rel: filepath.Base(p)}
			if l.root != "" {
				if rel, err := filepath.Rel(l.root, p); err == nil && filepath.IsLocal(rel) {
					in.Rel = rel
				}
			}
			if !yield(in, ctx.Err()) {
				return
			}
		}
	}
}

// replaced are the extensions that .jpg is put in the place of; to any other name
// it is appended.
var replaced = map[string]bool{
	".png": true, ".jpg": true, ".jpeg": true, ".jpe": true, ".jfif": true,
	".webp": true, ".bmp": true, ".dib": true, ".tif": true, ".tiff": true,
}

func asJPG(path string) string {
	if ext := filepath.Ext(path); replaced[strings.ToLower(ext)] && len(ext) < len(filepath.Base(path)) {
		path = path[:len(path)-len(ext)]
	}
	return path + ".jpg"
}

// names gives inputs their outputs, each to one input only.
type names struct {
	output  string
	force   bool
	outputs map[string]string // by their true path: the input that has it
	inputs  map[string]bool   // by their true path: those that end as outputs do
	dir     string            // the last directory, and where it truly is
	trueDir string
}

func newNames(output string, force bool) *names {
	return &names{output: output, force: force, outputs: map[string]string{}, inputs: map[string]bool{}}
}

// note remembers an input if an output could replace it.
func (n *names) note(in Input) {
	if filepath.Ext(in.Path) == ".jpg" {
		n.inputs[n.truly(in.Path)] = true
	}
}

// of is the path of in's result.
func (n *names) of(in Input) (string, error) {
	if in.Err != nil {
		return "", in.Err
	}
	out := asJPG(in.Path)
	if n.output != "" {
		rel := in.Rel
		if !filepath.IsLocal(rel) {
			rel = filepath.Base(in.Path)
		}
		out = filepath.Join(n.output, asJPG(rel))
	}
	at := n.truly(out)
	itself := at == n.truly(in.Path)
	if itself && !n.force {
		return "", cpuwork.Failf(CodeIsInput, "an output directory, or force to replace it", "%s would be replaced by its own result", in.Path)
	}
	if !itself && n.inputs[at] {
		return "", cpuwork.Failf(CodeIsInput, "an output directory", "%s would replace %s, which is an input too", in.Path, out)
	}
	if first, taken := n.outputs[at]; taken {
		return "", cpuwork.Failf(CodeSameOutput, "one output directory for each, or other names",
			"%s has the same output as %s: %s", in.Path, first, out)
	}
	n.outputs[at] = in.Path
	return out, nil
}

// truly is path with its directory's links resolved, so that two ways to one file
// are seen to be one. What does not exist yet has but one way.
func (n *names) truly(path string) string {
	dir, base := filepath.Split(path)
	if n.trueDir == "" || dir != n.dir {
		n.dir, n.trueDir = dir, resolve(dir)
	}
	return filepath.Join(n.trueDir, base)
}

func resolve(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return filepath.Clean(dir)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	// A part that does not exist yet: what is above it may still be a link.
	if parent := filepath.Dir(abs); parent != abs {
		return filepath.Join(resolve(parent), filepath.Base(abs))
	}
	return abs
}
