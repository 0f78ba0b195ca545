package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"weft/bench/load"
	"weft/client/nearest"
	"weft/client/table"
	"weft/daemon/api"
)

// kept is a result of the history: of one of the benchmarks.
type kept struct {
	ID string // its file's name without the ending
	benchResult
}

// benchResult is what a benchmark measured; one of the two is not nil.
type benchResult struct {
	Share *shareResult
	Pools *poolsResult
}

// MarshalJSON writes the result whichever it is of.
func (k kept) MarshalJSON() ([]byte, error) {
	var of any = k.Share
	if k.Pools != nil {
		of = k.Pools
	}
	return json.Marshal(struct {
		ID     string `json:"id"`
		Result any    `json:"result"`
	}{k.ID, of})
}

func (b *benchResult) date() time.Time {
	if b.Pools != nil {
		return b.Pools.Date
	}
	return b.Share.Date
}

// benchDir is where results are kept: beside the daemon's state.
func benchDir() string { return filepath.Join(api.StateDir(os.Getenv), "bench") }

// remember keeps a result of share in a file of its own, and returns its id.
func remember(r *shareResult) (string, error) {
	name := r.Load.Name
	if _, ok := load.Find(name); !ok {
		name = "own"
	}
	return keep(fmt.Sprintf("%s-%s-%s-%d", r.Date.UTC().Format("20060102-150405"), name, r.Device.ID, r.Load.Models), r)
}

// rememberPools keeps a result of pools.
func rememberPools(r *poolsResult) (string, error) {
	return keep(r.Date.UTC().Format("20060102-150405")+"-pools", r)
}

// keep writes a result to a file of its own, of that name or with a number after it.
func keep(base string, r any) (string, error) {
	dir := benchDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
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
func (p *program) recall() ([]kept, error) {
	entries, err := os.ReadDir(benchDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read history: %w", err)
	}
	out := []kept{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		found, err := readResults(filepath.Join(benchDir(), e.Name()))
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("it has %s", counted(len(found), "result"))
		}
		if err != nil {
			fmt.Fprintf(p.stderr, "weft: %s is left out: %v\n", e.Name(), err)
			continue
		}
		out = append(out, kept{id, found[0]})
	}
	slices.SortStableFunc(out, func(a, b kept) int { return a.date().Compare(b.date()) })
	return out, nil
}

// maxShareFile bounds a result's size; ten thousand models take 10 MB.
const maxShareFile = 64 << 20

// readResults reads a result, or the list that --sweep-models makes.
func readResults(path string) ([]benchResult, error) {
	f, err := os.Open(path) // #nosec G304 -- of the history, or one that the user named
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(io.LimitReader(f, maxShareFile))
	texts := []json.RawMessage{nil}
	var into any = &texts[0]
	if first, err := in.Peek(1); err == nil && first[0] == '[' {
		into = &texts
	}
	if err := json.NewDecoder(in).Decode(into); err != nil {
		return nil, fmt.Errorf("it is no result: %w", err)
	}
	found := make([]benchResult, len(texts))
	for i, text := range texts {
		if found[i], err = readResult(text); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// readResult reads a result of either benchmark.
func readResult(text json.RawMessage) (b benchResult, err error) {
	var about struct{ Benchmark string }
	if err := json.Unmarshal(text, &about); err != nil {
		return b, fmt.Errorf("it is no result: %w", err)
	}
	format, known := 0, shareFormat
	switch about.Benchmark {
	case "pools":
		known = poolsFormat
		if err = json.Unmarshal(text, &b.Pools); err == nil {
			format, err = b.Pools.Format, b.Pools.check()
		}
	case "share":
		if err = json.Unmarshal(text, &b.Share); err == nil {
			format = b.Share.Format
			if len(b.Share.Arms) == 0 || b.Share.Load.Models < 1 {
				err = errors.New("nothing was measured")
			}
		}
	default:
		return b, errors.New("it is no result of weft bench")
	}
	if err != nil {
		return benchResult{}, fmt.Errorf("it is no result of weft bench %s: %w", about.Benchmark, err)
	}
	if format != known {
		return benchResult{}, fmt.Errorf("it has format %d, this weft reads %d", format, known)
	}
	return b, nil
}

// The benchmarks whose results are kept.
const (
	benchmarkShare = "share"
	benchmarkPools = "pools"
)

type historyOptions struct{ load, device, benchmark string }

// readHistory reads the flags that choose results.
func readHistory(c *cli.Context) (historyOptions, error) {
	o := historyOptions{load: c.String("load"), device: c.String("device"), benchmark: c.String("benchmark")}
	all := []string{benchmarkShare, benchmarkPools}
	if o.benchmark != "" && !slices.Contains(all, o.benchmark) {
		return o, usagef("--benchmark "+firstOf(nearest.Name(o.benchmark, all), benchmarkShare),
			"unknown benchmark %q; there are %s", o.benchmark, strings.Join(all, ", "))
	}
	if o.benchmark == benchmarkPools && o.load+o.device != "" {
		return o, usagef("leave them out", "--load and --device are for results of weft bench share")
	}
	check := shareOptions{load: o.load, device: firstOf(o.device, "auto")}
	if err := check.checkNames(); o.load != "own" && err != nil {
		return o, err
	}
	return o, nil
}

func (p *program) benchHistoryVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "bench history", Category: groupResult,
			Usage: "the results that weft bench share and pools have kept",
			Description: `Lists what weft bench share and weft bench pools measured on this machine, oldest
first, with speedups. Results are files in ` + "`bench`" + ` of the state directory
(WEFT_STATE, else ~/.local/state/weft), one each, as -o json writes them; to
forget one, remove its file.`,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "load", Usage: "only those of load `NAME`"},
				&cli.StringFlag{Name: "device", Usage: "only those on `DEVICE`: cpu, gpu, gpu:0"},
				&cli.StringFlag{Name: "benchmark", Usage: "only those of `NAME`: share, pools"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				o, err := readHistory(c)
				if err != nil {
					return err
				}
				return p.benchHistory(o)
			},
		},
		examples: []example{
			{"weft bench history", "all of them"},
			{"weft bench history --load lab --device gpu", "of one load, on a GPU"},
			{"weft bench history --benchmark pools", "of weft bench pools"},
			{"weft bench history -o json", "everything measured"},
		},
		exits: []exit{{exitFailed, "the history cannot be read"}},
	}
}

// matches reports whether a result is among those asked for.
func (o historyOptions) matches(b benchResult) bool {
	if b.Pools != nil {
		return o.benchmark != benchmarkShare && o.load+o.device == ""
	}
	r := b.Share
	_, ours := load.Find(r.Load.Name)
	device := strings.ReplaceAll(o.device, ":", "")
	return o.benchmark != benchmarkPools && (o.load == "" || o.load == r.Load.Name || (o.load == "own" && !ours)) &&
		(device == "" || device == "auto" || device == r.Device.ID || device == r.Device.Kind)
}

func (p *program) benchHistory(o historyOptions) error {
	found, err := p.recall()
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(k kept) bool { return !o.matches(k.benchResult) })
	if p.global.output == outJSON {
		return encodeJSON(p.stdout, found)
	}
	if len(found) == 0 {
		fmt.Fprintln(p.stderr, "no results; weft bench share and weft bench pools make them")
		return nil
	}
	share := p.shareHistory(found)
	if len(share.Rows) > 0 {
		if err := share.Write(p.stdout); err != nil {
			return err
		}
	}
	pools := p.poolsHistory(found)
	if len(pools.Rows) == 0 {
		return nil
	}
	if len(share.Rows) > 0 {
		fmt.Fprintln(p.stdout)
	}
	return pools.Write(p.stdout)
}

// shareHistory lists the results of share.
func (p *program) shareHistory(found []kept) *table.Table {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "ID"}, {Head: "DATE"}, {Head: "LOAD"},
		{Head: "MODELS", Right: true}, {Head: "DEVICE"}, {Head: "ROUNDS", Right: true}, {Head: "WALL", Right: true},
		{Head: "SPEEDUPS", Flexible: true}, {Head: "EQUAL"}, {Head: "COMMIT"}}}
	for _, k := range found {
		r := k.Share
		if r == nil {
			continue
		}
		t.Rows = append(t.Rows, []string{k.ID, r.Date.Format("2006-01-02 15:04"), r.Load.Name,
			humanize.Comma(int64(r.Load.Models)), firstOf(r.Device.Name, r.Device.ID), roundsText(r.Rounds, r.Load.Quick),
			secondsText(r.baselineWall()), r.speedupsText(), equalText(r.Equal), fmt.Sprintf("%.12s", r.Weft.Commit)})
	}
	return t
}

// poolsHistory lists the results of pools.
func (p *program) poolsHistory(found []kept) *table.Table {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "ID"}, {Head: "DATE"}, {Head: "CORES", Right: true},
		{Head: "ROUNDS", Right: true}, {Head: "SPEEDUPS", Flexible: true}, {Head: "MET", Right: true}, {Head: "EQUAL"}, {Head: "COMMIT"}}}
	for _, k := range found {
		r := k.Pools
		if r == nil {
			continue
		}
		met := 0
		for i := range r.Against {
			if r.Against[i].Met {
				met++
			}
		}
		t.Rows = append(t.Rows, []string{k.ID, r.Date.Format("2006-01-02 15:04"), humanize.Comma(int64(r.Machine.Cores)),
			roundsText(r.Rounds, r.Quick), r.speedupsText(), fmt.Sprintf("%d/%d", met, len(r.Against)), equalText(r.Equal),
			fmt.Sprintf("%.12s", r.Weft.Commit)})
	}
	return t
}

func roundsText(rounds int, quick bool) string {
	text := humanize.Comma(int64(rounds))
	if quick {
		text += " quick"
	}
	return text
}

func equalText(equal bool) string {
	if equal {
		return "yes"
	}
	return "NO"
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

// chosen finds results by id or file, all of one benchmark; without any, the last
// result and, of share, those that differ from it by the number of models only.
func (p *program) chosen(ids []string, o historyOptions) (share []*shareResult, pools []*poolsResult, err error) {
	found, err := p.recall()
	if err != nil {
		return nil, nil, err
	}
	var named []benchResult
	for _, id := range ids {
		some, err := resultsNamed(id, found)
		if err != nil {
			return nil, nil, err
		}
		named = append(named, some...)
	}
	if len(ids) == 0 {
		for _, k := range found {
			if o.matches(k.benchResult) {
				named = append(named, k.benchResult)
			}
		}
	}
	if len(named) == 0 { // also of an empty list in a file
		hint := "weft bench share"
		if o.benchmark == benchmarkPools {
			hint = "weft bench pools"
		}
		return nil, nil, &exitError{code: exitNotFound, message: "there is no result to plot", hint: hint}
	}
	last := named[len(named)-1]
	for _, b := range named {
		switch {
		case b.Pools != nil:
			pools = append(pools, b.Pools)
		case len(ids) > 0 || last.Share == nil || b.Share.comparable(last.Share):
			share = append(share, b.Share)
		}
	}
	switch {
	case len(ids) > 0 && len(share) > 0 && len(pools) > 0:
		return nil, nil, usagef("name results of one", "results of share and of pools do not fit one plot")
	case last.Pools != nil:
		share = nil
	default:
		pools = nil
	}
	return share, pools, nil
}

// resultsNamed are those of an id, or in a file.
func resultsNamed(id string, found []kept) ([]benchResult, error) {
	if i := slices.IndexFunc(found, func(k kept) bool { return k.ID == id }); i >= 0 {
		return []benchResult{found[i].benchResult}, nil
	}
	if strings.HasSuffix(id, ".json") {
		some, err := readResults(id)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", id, err)
		}
		return some, nil
	}
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].ID
	}
	h := "weft bench history lists them"
	if n := nearest.Name(id, names); n != "" {
		h = n
	}
	return nil, &exitError{code: exitNotFound, message: "there is no result " + id, hint: h}
}

// comparable reports whether two results may be points of one line: the same
// program trained the same models for as long, on the same machine and device.
func (r *shareResult) comparable(o *shareResult) bool {
	return r.Load.Name == o.Load.Name && r.Load.Quick == o.Load.Quick && r.Device == o.Device && r.Baseline == o.Baseline &&
		r.Machine.CPU == o.Machine.CPU && r.Machine.Cores == o.Machine.Cores && r.Weft == o.Weft &&
		bytes.Equal(r.firstSpec(), o.firstSpec())
}

// firstSpec is the first model's specification, which says what all are like:
// model i of a load is the same whatever its number of models.
func (r *shareResult) firstSpec() []byte {
	var b bytes.Buffer
	if len(r.Jobs) == 0 || json.Compact(&b, r.Jobs[0].Spec) != nil {
		return nil
	}
	return b.Bytes()
}
