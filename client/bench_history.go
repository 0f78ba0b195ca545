package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"weft/bench/load"
	"weft/client/nearest"
	"weft/client/table"
	"weft/daemon/api"
)

// keptShare is a result of the history.
type keptShare struct {
	ID     string       `json:"id"` // its file's name without the ending
	Result *shareResult `json:"result"`
}

// benchDir is where results are kept: beside the daemon's state.
func benchDir() string { return filepath.Join(api.StateDir(os.Getenv), "bench") }

// remember keeps a result in a file of its own, and returns its id.
func remember(r *shareResult) (string, error) {
	dir := benchDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	name := r.Load.Name
	if _, ok := load.Find(name); !ok {
		name = "own"
	}
	base := fmt.Sprintf("%s-%s-%s-%d", r.Date.UTC().Format("20060102-150405"), name, r.Device.ID, r.Load.Models)
	for n := 1; ; n++ {
		id := base
		if n > 1 {
			id = fmt.Sprintf("%s-%d", base, n)
		}
		path := filepath.Join(dir, id+".json")
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		return id, saveFile(path, false, func(w io.Writer) error { return encodeJSON(w, r) })
	}
}

// recall reads the history, oldest first. A file that cannot be read is told
// and left out.
func (p *program) recall() ([]keptShare, error) {
	entries, err := os.ReadDir(benchDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read history: %w", err)
	}
	out := []keptShare{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		r, err := readShareFile(filepath.Join(benchDir(), e.Name()))
		if err != nil {
			fmt.Fprintf(p.stderr, "weft: %s is left out: %v\n", e.Name(), err)
			continue
		}
		out = append(out, keptShare{id, r})
	}
	slices.SortStableFunc(out, func(a, b keptShare) int { return a.Result.Date.Compare(b.Result.Date) })
	return out, nil
}

// maxShareFile bounds a result's size; ten thousand models take 10 MB.
const maxShareFile = 64 << 20

func readShareFile(path string) (*shareResult, error) {
	f, err := os.Open(path) // #nosec G304 -- of the history, or one that the user named
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r shareResult
	if err := json.NewDecoder(io.LimitReader(f, maxShareFile)).Decode(&r); err != nil {
		return nil, fmt.Errorf("it is no result: %w", err)
	}
	switch {
	case r.Benchmark != "share" || len(r.Arms) == 0 || r.Load.Models < 1:
		return nil, errors.New("it is no result of weft bench share")
	case r.Format != shareFormat:
		return nil, fmt.Errorf("it has format %d, this weft reads %d", r.Format, shareFormat)
	}
	return &r, nil
}

type historyOptions struct{ load, device string }

func (p *program) benchHistoryVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "bench history", Category: groupResult,
			Usage: "the results that weft bench share has kept",
			Description: `Lists what weft bench share measured on this machine, oldest first, with each
arm's speedup. Results are files in ` + "`bench`" + ` of the state directory
(WEFT_STATE, else ~/.local/state/weft), one each, as -o json writes them; to
forget one, remove its file.`,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "load", Usage: "only those of load `NAME`"},
				&cli.StringFlag{Name: "device", Usage: "only those on `DEVICE`: cpu, gpu, gpu:0"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				o := historyOptions{load: c.String("load"), device: c.String("device")}
				check := shareOptions{load: o.load, device: firstOf(o.device, "auto")}
				if err := check.checkNames(); o.load != "own" && err != nil {
					return err
				}
				return p.benchHistory(o)
			},
		},
		examples: []example{
			{"weft bench history", "all of them"},
			{"weft bench history --load lab --device gpu", "of one load, on a GPU"},
			{"weft bench history -o json", "everything measured"},
		},
		exits: []exit{{exitFailed, "the history cannot be read"}},
	}
}

// matches reports whether a result is among those asked for.
func (o historyOptions) matches(r *shareResult) bool {
	_, ours := load.Find(r.Load.Name)
	device := strings.ReplaceAll(o.device, ":", "")
	return (o.load == "" || o.load == r.Load.Name || (o.load == "own" && !ours)) &&
		(device == "" || device == "auto" || device == r.Device.ID || device == r.Device.Kind)
}

func (p *program) benchHistory(o historyOptions) error {
	kept, err := p.recall()
	if err != nil {
		return err
	}
	kept = slices.DeleteFunc(kept, func(k keptShare) bool { return !o.matches(k.Result) })
	if p.global.output == outJSON {
		return encodeJSON(p.stdout, kept)
	}
	if len(kept) == 0 {
		fmt.Fprintln(p.stderr, "no results; weft bench share makes one")
		return nil
	}
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "ID"}, {Head: "DATE"}, {Head: "LOAD"},
		{Head: "MODELS", Right: true}, {Head: "DEVICE"}, {Head: "ROUNDS", Right: true}, {Head: "WALL", Right: true},
		{Head: "SPEEDUPS", Flexible: true}, {Head: "EQUAL"}, {Head: "COMMIT"}}}
	for _, k := range kept {
		r := k.Result
		equal := "yes"
		if !r.Equal {
			equal = "NO"
		}
		rounds := humanize.Comma(int64(r.Rounds))
		if r.Load.Quick {
			rounds += " quick"
		}
		t.Rows = append(t.Rows, []string{k.ID, r.Date.Format("2006-01-02 15:04"), r.Load.Name,
			humanize.Comma(int64(r.Load.Models)), firstOf(r.Device.Name, r.Device.ID), rounds, secondsText(r.baselineWall()),
			r.speedupsText(), equal, fmt.Sprintf("%.12s", r.Weft.Commit)})
	}
	return t.Write(p.stdout)
}

func (r *shareResult) baselineWall() float64 {
	for i := range r.Arms {
		if r.Arms[i].Arm == r.Baseline {
			return r.Arms[i].Wall.Median
		}
	}
	return r.Arms[0].Wall.Median
}

// speedupsText is every arm's and peer's speedup in a line.
func (r *shareResult) speedupsText() string {
	var parts []string
	for _, l := range r.speedupLines() {
		if l.name != r.Baseline {
			parts = append(parts, l.name+" "+timesText(l.speedup.Median))
		}
	}
	return strings.Join(parts, ", ")
}

// speedupLine is an arm's or a peer's speedup against the baseline; the
// baseline's own is 1.
type speedupLine struct {
	name    string
	peer    bool
	speedup spread
}

func (r *shareResult) speedupLines() []speedupLine {
	var out []speedupLine
	for i := range r.Arms {
		a := &r.Arms[i]
		s := spread{1, 1, 1, 1, 1}
		if a.Speedup != nil {
			s = *a.Speedup
		}
		out = append(out, speedupLine{a.Arm, false, s})
	}
	for i := range r.Peers {
		if s := r.Peers[i].Speedup; s != nil {
			out = append(out, speedupLine{r.Peers[i].Peer, true, *s})
		}
	}
	return out
}

// chosen finds results by id or file; without any, the last result and those
// that differ from it by the number of models only.
func (p *program) chosen(ids []string, o historyOptions) ([]*shareResult, error) {
	kept, err := p.recall()
	if err != nil {
		return nil, err
	}
	var out []*shareResult
	for _, id := range ids {
		i := slices.IndexFunc(kept, func(k keptShare) bool { return k.ID == id })
		if i >= 0 {
			out = append(out, kept[i].Result)
			continue
		}
		if strings.HasSuffix(id, ".json") {
			r, err := readShareFile(id)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", id, err)
			}
			out = append(out, r)
			continue
		}
		names := make([]string, len(kept))
		for i := range kept {
			names[i] = kept[i].ID
		}
		h := "weft bench history lists them"
		if n := nearest.Name(id, names); n != "" {
			h = n
		}
		return nil, &exitError{code: exitNotFound, message: "there is no result " + id, hint: h}
	}
	if len(ids) > 0 {
		return out, nil
	}
	kept = slices.DeleteFunc(kept, func(k keptShare) bool { return !o.matches(k.Result) })
	if len(kept) == 0 {
		return nil, &exitError{code: exitNotFound, message: "there is no result to plot", hint: "weft bench share"}
	}
	last := kept[len(kept)-1].Result
	for _, k := range kept {
		if k.Result.comparable(last) {
			out = append(out, k.Result)
		}
	}
	return out, nil
}

// comparable reports whether two results may be points of one line.
func (r *shareResult) comparable(o *shareResult) bool {
	return r.Load.Name == o.Load.Name && r.Load.Quick == o.Load.Quick && r.Device == o.Device && r.Baseline == o.Baseline &&
		r.Machine.CPU == o.Machine.CPU && r.Machine.Cores == o.Machine.Cores
}
