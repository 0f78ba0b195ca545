package peers

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"weft/bench/load"
)

func specs(name string, models, steps int) []json.RawMessage {
	l, _ := load.Find(name)
	out := make([]json.RawMessage, models)
	for i := range out {
		s := l.Spec(i)
		if steps > 0 {
			s.Epochs, s.Steps = 0, int64(steps)
		}
		out[i] = s.JSON()
	}
	return out
}

// What is written has the sizes that load.json says, for every load.
func TestPrepare(t *testing.T) {
	for _, l := range load.All {
		dir := t.TempDir()
		w, err := Prepare(t.Context(), dir, specs(l.Name, 3, 50))
		if err != nil {
			t.Errorf("%s: %v", l.Name, err)
			continue
		}
		if same := l.Name != "mixed"; w.Same != same || (w.Differ == "") != same || len(w.Models) != 3 || len(w.Data) != 1 {
			t.Errorf("%s: same %v, differ %q, %d models, %d sets", l.Name, w.Same, w.Differ, len(w.Models), len(w.Data))
		}
		d, order, start := w.Data[0], int64(0), int64(0)
		for _, m := range w.Models {
			if m.Order != order || m.Start != start || m.Steps != 50 {
				t.Errorf("%s: model %+v, want order %d, start %d", l.Name, m, order, start)
			}
			order += int64(m.Epochs) * int64(d.Train)
			for _, s := range m.Shapes {
				n := int64(1)
				for _, x := range s {
					n *= int64(x)
				}
				start += n
			}
		}
		row := 1
		for _, n := range d.Shape {
			row *= n
		}
		for name, want := range map[string]int64{"order.i32": order * 4, "start.f32": start * 4,
			d.X: int64(d.Train+d.Val) * int64(row) * 4} {
			if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Size() != want {
				t.Errorf("%s: %s: %v, %v, want %d bytes", l.Name, name, fi, err, want)
			}
		}
	}
}

// What the scripts do not have is said, not left out.
func TestPrepareRefuses(t *testing.T) {
	for body, want := range map[string]string{
		`"model":[{"linear":8},{"dropout":0.1},{"linear":10}]`:             "layer dropout is not in the peers' scripts",
		`"model":[{"linear":10}],"clip_grad_norm":1`:                       "clipping is not in the peers' scripts",
		`"model":[{"linear":10}],"optimizer":{"name":"rmsprop","lr":1e-3}`: "optimizer rmsprop is not in the peers' scripts",
		`"model":[{"linear":10}],"epochs":1000000`:                         "the order of all epochs' rows takes more than 1 GiB",
	} {
		_, err := Prepare(t.Context(), t.TempDir(), []json.RawMessage{[]byte(`{"data":{"source":"digits"},` + body + `}`)})
		var c *CannotError
		if !errors.As(err, &c) || c.Reason != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range Names() {
		p, ok := Find(name)
		if _, err := scripts.Open(p.Script); !ok || err != nil || p.About == "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, ok := Find("torch"); ok {
		t.Error("a peer is found by half its name")
	}
	dir := t.TempDir()
	if err := WriteScripts(dir); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*.py")); len(found) != 3 {
		t.Errorf("scripts: %v", found)
	}
}
