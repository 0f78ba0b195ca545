package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// Parse reads a specification from JSON, fills in the defaults and checks all
// that can be known without the data. It refuses unknown keys, wrong types and
// values out of range; the error is a [*SpecError] with every fault found.
//
// Documents are limited to 1 MiB, 32 levels and 16,384 values.
func Parse(js []byte) (*Spec, error) {
	r := &reader{given: map[string]bool{}}
	n, ok := decode(js, &r.faults)
	if !ok {
		return nil, r.err()
	}
	s := new(Spec)
	specTable(s).read(r, &n, place{name: "the specification"})
	if n.kind == objectNode {
		s.finish(r)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// finish sets the defaults that depend on other keys and checks what holds
// between keys.
func (s *Spec) finish(r *reader) {
	if !r.given["/data/split/stratify"] {
		s.Data.Split.Stratify = s.Loss == CrossEntropy
	}
	if r.given["/steps"] {
		if r.given["/epochs"] {
			r.add("/steps", "keep one of them", "give epochs or steps, not both")
		}
		s.Epochs = 0
	}
	if o := s.Optimizer; o.Nesterov && (o.Momentum == 0 || o.Dampening != 0) && r.clean("/optimizer") {
		r.add("/optimizer/nesterov", "set momentum: 0.9", "nesterov needs a momentum greater than 0 and dampening 0")
	}
	if s.Schedule.MinLR > s.Optimizer.LR && r.clean("/optimizer") && r.clean("/schedule") {
		r.add("/schedule/min_lr", "", "min_lr must be at most lr, which is %s", formatFloat(s.Optimizer.LR))
	}
	if s.EarlyStopping != nil && r.clean("/loss") && r.clean("/early_stopping") {
		s.checkMetric(r)
	}
}

// checkMetric refuses to watch a metric that the loss does not come with.
func (s *Spec) checkMetric(r *reader) {
	const path = "/early_stopping/metric"
	metric := s.EarlyStopping.Metric
	switch regression := s.Loss.Task() == "regression"; {
	case metric == "val_accuracy" && regression:
		r.add(path, "watch val_loss, val_rmse or val_r2", "val_accuracy needs loss cross_entropy or bce_with_logits")
	case (metric == "val_rmse" || metric == "val_r2") && !regression:
		r.add(path, "watch val_loss or val_accuracy", "%s needs loss mse or huber", metric)
	}
}

// JSON returns the specification in its canonical form: every key in the
// reference's order, every default filled in. Parse gives the same Spec again.
func (s *Spec) JSON() []byte {
	c := *s // the table sets defaults first
	table := specTable(&c)
	c = *s
	var b bytes.Buffer
	table.write(&b)
	return b.Bytes()
}

// Hash identifies what a job computes: the SHA-256, in hex, of the canonical
// form without name, checkpoint and device, which may change between a
// checkpoint and its resume.
func (s *Spec) Hash() string {
	c := *s
	c.Name, c.Device, c.Checkpoint = "", "auto", Checkpoint{EverySeconds: 30}
	sum := sha256.Sum256(c.JSON())
	return hex.EncodeToString(sum[:])
}
