package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"weft/client/specfile"
	"weft/daemon/api"
)

// edit is one change that a flag makes to a specification.
type edit struct {
	key   string // "optimizer.lr", or a short name such as lr or mlp
	value string
	flag  string // as written, for messages
}

// specFlags change the specification; flags of train that are named after a
// key of it are in shortKeys.
func specFlags() []cli.Flag {
	str := func(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Aliases: []string{"d"},
			Usage: "`NAME` of a shipped or made set (digits, iris, …), or a .csv, .parquet, .npy, .idx or .safetensors file"},
		str("target", "`COLUMN` to predict, by name or index; with .npy and .idx the file of targets"),
		str("mlp", "`WIDTHS` of hidden layers, as 64,64, each with relu; none: a linear model"),
		str("outputs", "`N` outputs of --mlp; default as many as the data has classes or targets"),
		str("loss", "`LOSS`: cross_entropy, mse, bce_with_logits, huber"),
		str("optimizer", "`NAME`: adamw, adam, sgd, rmsprop"),
		str("lr", "learning `RATE`"),
		str("batch-size", "`ROWS` of a step"),
		str("epochs", "passes over the data: `N`"),
		str("steps", "optimizer steps instead of epochs: `N`"),
		str("seed", "`N` that initial weights, shuffling and dropout come from"),
		str("device", "`DEVICE`: auto, cpu, gpu, gpu:0"),
		&cli.StringSliceFlag{Name: "set",
			Usage: "set any key: `KEY=VALUE`, as optimizer.weight_decay=0.1; may be repeated"},
	}
}

// editFlags are the flags that are edits, in the order they are applied.
var editFlags = []string{"data", "target", "mlp", "outputs", "loss", "optimizer", "lr", "batch-size",
	"epochs", "steps", "seed", "device"}

// shortKeys are the names of --sweep and --set that stand for longer ones.
var shortKeys = map[string]string{
	"lr": "optimizer.lr", "weight_decay": "optimizer.weight_decay", "momentum": "optimizer.momentum",
	"betas": "optimizer.betas", "eps": "optimizer.eps", "nesterov": "optimizer.nesterov",
	"optimizer": "optimizer.name", "schedule": "schedule.name", "warmup_steps": "schedule.warmup_steps",
	"target": "data.target", "validation": "data.split.validation", "patience": "early_stopping.patience",
}

func readTrain(c *cli.Context) (trainOptions, error) {
	o := trainOptions{files: c.Args().Slice(), dryRun: c.Bool("dry-run"), fromSet: c.IsSet("data")}
	for _, name := range editFlags {
		if c.IsSet(name) {
			v := c.String(name)
			o.edits = append(o.edits, edit{strings.ReplaceAll(name, "-", "_"), v, "--" + name + " " + v})
		}
	}
	for _, s := range c.StringSlice("set") {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return o, usagef("--set optimizer.weight_decay=0.1", "--set %q is not key=value", s)
		}
		o.edits = append(o.edits, edit{k, v, "--set " + s})
	}
	switch {
	case c.IsSet("epochs") && c.IsSet("steps"):
		return o, usagef("leave one of them out", "--epochs and --steps contradict each other")
	case c.IsSet("outputs") && !c.IsSet("mlp"):
		return o, usagef("--mlp 64,64 --outputs "+c.String("outputs"), "--outputs is for --mlp")
	case len(o.files) == 0 && !o.fromSet:
		return o, usagef("weft train SPEC.yaml, or weft train --data digits --mlp 64,64",
			"weft train needs a specification, or --data")
	}
	stdin := 0
	for _, f := range o.files {
		if f == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return o, usagef("give - once; documents are separated by ---", "the standard input can be read only once")
	}
	var err error
	if o.sweep, err = readSweep(c); err != nil {
		return o, err
	}
	return o, nil
}

// drafts reads the files, applies the flags, and expands the sweep.
func (p *program) drafts(o trainOptions) ([]draft, error) {
	docs, err := p.documents(o)
	if err != nil {
		return nil, err
	}
	points, err := o.sweep.points(docs)
	if err != nil {
		return nil, err
	}
	var drafts []draft
	for i, doc := range docs {
		base := firstOf(o.submit.name, doc.node.Get("name").String(), doc.name)
		for _, point := range points[i] {
			d, err := o.draft(doc.node, base, point)
			if err != nil {
				return nil, err
			}
			drafts = append(drafts, d)
		}
	}
	if len(drafts) > api.MaxJobsPerPost {
		return nil, usagef("submit them in parts", "%d jobs are more than the %d of one submission",
			len(drafts), api.MaxJobsPerPost)
	}
	return drafts, nil
}

// document is one specification, and the name it has if it says none.
type document struct {
	node *specfile.Node
	name string
}

// documents reads every document, makes file names absolute and applies the
// edits. Without files the document is empty but for the edits.
func (p *program) documents(o trainOptions) ([]document, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find working directory: %w", err)
	}
	var docs []document
	for _, name := range o.files {
		nodes, err := p.readSpec(name)
		if err != nil {
			return nil, err
		}
		stem := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		dir := filepath.Dir(name)
		if name == "-" {
			stem, dir = "", "."
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(here, dir)
		}
		for _, n := range nodes {
			n.Absolute(dir)
			docs = append(docs, document{n, stem})
		}
	}
	if len(o.files) == 0 {
		docs = []document{{node: specfile.NewMapping(specfile.Pos{Flag: "the flags"})}}
	}
	for i := range docs {
		for _, e := range o.edits {
			if err := e.apply(docs[i].node); err != nil {
				return nil, err
			}
		}
		docs[i].node.Absolute(here)
		docs[i].name = firstOf(docs[i].name, dataName(docs[i].node))
	}
	return docs, nil
}

func (p *program) readSpec(name string) ([]*specfile.Node, error) {
	if name == "-" {
		return specfile.Read("stdin", p.stdin)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "no file " + name,
			Hint: "weft help train shows a specification; shipped data sets need none: --data digits"}
	}
	if err != nil {
		return nil, fmt.Errorf("read specification: %w", err)
	}
	defer f.Close()
	return specfile.Read(name, f)
}

// dataName names a specification after its data: "digits-mlp" where the model
// is --mlp's.
func dataName(n *specfile.Node) string {
	name := n.Get("data", "source").String()
	for _, path := range [][]string{{"csv"}, {"parquet"}, {"npy", "x"}, {"idx", "images"}, {"safetensors", "file"}} {
		if file := n.Get(append([]string{"data"}, path...)...).String(); file != "" {
			name, _, _ = strings.Cut(filepath.Base(file), ".")
		}
	}
	if name != "" && n.Get("model") != nil && strings.HasPrefix(n.Get("model").Pos.Flag, "--mlp") {
		name += "-mlp"
	}
	return name
}

// apply makes the change.
func (e edit) apply(doc *specfile.Node) error {
	pos := specfile.Pos{Flag: e.flag}
	key := strings.ReplaceAll(e.key, "-", "_")
	switch key {
	case "data":
		return e.applyData(doc, pos)
	case "mlp":
		return e.applyMLP(doc, pos)
	case "outputs":
		return e.applyOutputs(doc, pos)
	case "target":
		if done, err := e.applyTarget(doc, pos); done || err != nil {
			return err
		}
	case "epochs":
		doc.Delete("steps")
	case "steps":
		doc.Delete("epochs")
	}
	if long, ok := shortKeys[key]; ok && !strings.HasPrefix(e.value, "{") {
		key = long
	}
	value, err := specfile.Value(e.value, pos)
	if err != nil {
		return err
	}
	return doc.Set(strings.Split(key, "."), value)
}

// applyData names the data by a set's name or a file's ending, and keeps how
// it is prepared. A set that has numbers for targets is regressed.
func (e edit) applyData(doc *specfile.Node, pos specfile.Pos) error {
	if data := doc.Get("data"); data != nil && data.Kind == specfile.Mapping {
		for _, k := range []string{"source", "csv", "idx", "npy", "parquet", "safetensors", "make", "target"} {
			data.Delete(k)
		}
	} else {
		doc.Delete("data")
	}
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(e.value)), ".gz")
	str := func(path ...string) error {
		return doc.Set(append([]string{"data"}, path...), specfile.NewString(e.value, pos))
	}
	switch {
	case strings.HasSuffix(name, ".csv"), strings.HasSuffix(name, ".tsv"):
		return str("csv")
	case strings.HasSuffix(name, ".parquet"):
		return str("parquet")
	case strings.HasSuffix(name, ".npy"):
		return str("npy", "x")
	case strings.HasSuffix(name, ".safetensors"):
		for _, k := range []string{"x", "y"} {
			if err := doc.Set([]string{"data", "safetensors", k}, specfile.NewString(k, pos)); err != nil {
				return err
			}
		}
		return str("safetensors", "file")
	case strings.HasSuffix(name, ".idx"), strings.Contains(name, "-idx"), strings.Contains(name, ".idx"):
		return str("idx", "images")
	case strings.ContainsAny(e.value, "/\\") || strings.Contains(name, "."):
		return usagef(".csv, .parquet, .npy, .idx or .safetensors; or a specification with data:",
			"--data %s: its ending names no format", e.value)
	}
	if (e.value == "diabetes" || e.value == "teacher") && doc.Get("loss") == nil {
		if err := doc.Set([]string{"loss"}, specfile.NewString("mse", pos)); err != nil {
			return err
		}
	}
	return str("source")
}

// applyTarget puts the target where the data's format has it; done is false
// for formats that have a target column.
func (e edit) applyTarget(doc *specfile.Node, pos specfile.Pos) (done bool, err error) {
	for format, key := range map[string]string{"npy": "y", "idx": "labels", "safetensors": "y"} {
		if doc.Get("data", format) != nil {
			return true, doc.Set([]string{"data", format, key}, specfile.NewString(e.value, pos))
		}
	}
	return false, nil
}

// maxHidden bounds the layers that --mlp makes.
const maxHidden = 64

// applyMLP makes the model of hidden widths, relu between, and an output layer
// as wide as the data asks for.
func (e edit) applyMLP(doc *specfile.Node, pos specfile.Pos) error {
	model := &specfile.Node{Kind: specfile.Sequence, Pos: pos}
	linear := func(width *specfile.Node) {
		layer := specfile.NewMapping(pos)
		layer.Members = []specfile.Member{{Key: "linear", Pos: pos, Value: width}}
		model.Items = append(model.Items, layer)
	}
	widths := strings.Split(e.value, ",")
	if e.value == "" || e.value == "none" {
		widths = nil
	}
	if len(widths) > maxHidden {
		return usagef("a specification's model: may have more", "--mlp takes at most %d layers", maxHidden)
	}
	for _, w := range widths {
		n, err := strconv.ParseInt(strings.TrimSpace(w), 10, 32)
		if err != nil || n < 1 {
			return usagef("--mlp 64,64", "%s: %q is not a layer's width", e.flag, w)
		}
		linear(specfile.NewNumber(n, pos))
		model.Items = append(model.Items, specfile.NewString("relu", pos))
	}
	linear(specfile.NewString("auto", pos))
	return doc.Set([]string{"model"}, model)
}

func (e edit) applyOutputs(doc *specfile.Node, pos specfile.Pos) error {
	n, err := strconv.ParseInt(e.value, 10, 32)
	if err != nil || n < 1 {
		return usagef("--outputs 10", "%s: %q is not a number of outputs", e.flag, e.value)
	}
	model := doc.Get("model")
	if model == nil || model.Kind != specfile.Sequence || len(model.Items) == 0 {
		return usagef("--mlp 64,64 --outputs 10", "--outputs is for --mlp")
	}
	return doc.Set([]string{"model", strconv.Itoa(len(model.Items) - 1), "linear"}, specfile.NewNumber(n, pos))
}
