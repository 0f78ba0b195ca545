package client

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"weft/bench/load"
	"weft/client/specfile"
	"weft/daemon/api"
)

// shareLoad is the models of a run, composed.
type shareLoad struct {
	name   string
	about  string
	drafts []draft // without documents where the load is one of ours
}

// compose makes the models that the flags ask for.
func (p *program) compose(o shareOptions) (*shareLoad, error) {
	if o.load != "" {
		return composeLoad(o), nil
	}
	return p.composeFiles(o)
}

func composeLoad(o shareOptions) *shareLoad {
	l, _ := load.Find(o.load)
	n := firstSet(o.models, l.Models)
	if o.quick && o.models == 0 {
		n = min(n, quickModels)
	}
	out := &shareLoad{name: l.Name, about: l.About}
	for i := range n {
		s := l.Spec(i)
		switch {
		case o.epochs > 0:
			s.Epochs = o.epochs
		case o.steps > 0:
			s.Epochs, s.Steps = 0, o.steps
		case o.quick:
			s.Epochs = (s.Epochs + quickPart - 1) / quickPart
		}
		out.drafts = append(out.drafts, draft{Submission: api.Submission{Kind: api.KindTrain, Name: s.Name,
			Spec: s.JSON()}})
	}
	return out
}

func firstSet(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// composeFiles reads the user's specifications and copies each; copies differ
// by their seeds, which count on from the specification's own.
func (p *program) composeFiles(o shareOptions) (*shareLoad, error) {
	t := trainOptions{files: o.files}
	if o.epochs > 0 {
		n := strconv.Itoa(o.epochs)
		t.edits = append(t.edits, edit{"epochs", n, "--epochs " + n})
	}
	if o.steps > 0 {
		n := strconv.FormatInt(o.steps, 10)
		t.edits = append(t.edits, edit{"steps", n, "--steps " + n})
	}
	docs, err := p.documents(t)
	if err != nil {
		return nil, err
	}
	copies := o.copies
	if o.quick {
		copies = min(copies, quickModels)
	}
	if n := len(docs) * copies; n > api.MaxJobsPerPost {
		return nil, usagef(fmt.Sprintf("--copies %d", api.MaxJobsPerPost/len(docs)),
			"%d models are more than the %d there can be", n, api.MaxJobsPerPost)
	}
	out := &shareLoad{name: strings.Join(o.files, " "), about: "specifications of the user's own"}
	for _, doc := range docs {
		if o.quick && len(t.edits) == 0 {
			shorten(doc.node)
		}
		seed := wholeNumber(doc.node.Get("seed"), 0)
		base := firstOf(doc.node.Get("name").String(), doc.name)
		for i := range copies {
			n, name := doc.node.Clone(), base
			if copies > 1 {
				pos := specfile.Pos{Flag: "--copies " + strconv.Itoa(copies)}
				if err := n.Set([]string{"seed"}, specfile.NewNumber(seed+int64(i), pos)); err != nil {
					return nil, err
				}
				name = clipName(fmt.Sprintf("%s-%d", base, i))
			}
			// The device is the benchmark's, for all models.
			n.Delete("device")
			out.drafts = append(out.drafts, draft{doc: n, Submission: api.Submission{Kind: api.KindTrain,
				Name: name, Spec: n.JSON()}})
		}
	}
	return out, nil
}

// defaultEpochs are a specification's that says nothing of its length.
const defaultEpochs = 20

// shorten divides a specification's length by quickPart. A length that cannot
// be read is left for the daemon to refuse.
func shorten(doc *specfile.Node) {
	key, n := "epochs", wholeNumber(doc.Get("epochs"), defaultEpochs)
	if doc.Get("steps") != nil {
		key, n = "steps", wholeNumber(doc.Get("steps"), 0)
	}
	if n > 0 {
		_ = doc.Set([]string{key}, specfile.NewNumber((n+quickPart-1)/quickPart, specfile.Pos{Flag: "--quick"}))
	}
}

// wholeNumber reads a scalar; without one it is what is missing, and 0 where
// it is something else.
func wholeNumber(n *specfile.Node, missing int64) int64 {
	if n == nil {
		return missing
	}
	v, err := strconv.ParseInt(n.Text, 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// submissions are the models as they are posted.
func (l *shareLoad) submissions() []api.Submission {
	subs := make([]api.Submission, len(l.drafts))
	for i := range l.drafts {
		subs[i] = l.drafts[i].Submission
	}
	return subs
}

const (
	warmModels = 8  // at least, where the load has so many
	warmSteps  = 20 // of each
)

// warmUp are short versions of some models: the first few, and one for every
// set of data that the load has.
func (l *shareLoad) warmUp() []api.Submission {
	var out []api.Submission
	seen := map[string]bool{}
	for i := range l.drafts {
		var s struct {
			Data json.RawMessage `json:"data"`
		}
		_ = json.Unmarshal(l.drafts[i].Spec, &s) // the daemon has taken it already
		if i < warmModels || !seen[string(s.Data)] {
			seen[string(s.Data)] = true
			out = append(out, short(l.drafts[i].Submission, "warm-up", warmSteps))
		}
	}
	return out
}

// short is a submission that ends after so many steps.
func short(sub api.Submission, name string, steps int64) api.Submission {
	var keys map[string]json.RawMessage
	if json.Unmarshal(sub.Spec, &keys) != nil {
		return sub // the daemon says what is wrong with it
	}
	delete(keys, "epochs")
	delete(keys, "early_stopping")
	keys["steps"] = strconv.AppendInt(nil, steps, 10)
	keys["name"] = []byte(strconv.Quote(name))
	spec, err := json.Marshal(keys)
	if err != nil { // it was JSON before
		return sub
	}
	return api.Submission{Kind: api.KindTrain, Name: name, Spec: spec}
}
