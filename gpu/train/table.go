package train

import (
	"bytes"

	"weft/gpu/train/dataset"
)

// Limits of the specification's numbers.
const (
	maxName   = 128     // characters
	maxBatch  = 1 << 20 // rows
	maxEpochs = 1e6
	maxSteps  = 1e12
	maxRows   = 1e8 // of made sets
)

// specTable returns the whole specification's table, bound to s, after setting
// s to the defaults. The order of keys is that of the reference, and of
// reading: data comes before what depends on it.
func specTable(s *Spec) object {
	*s = Spec{
		Loss: CrossEntropy, BatchSize: 32, Epochs: 20, Shuffle: true,
		Checkpoint: Checkpoint{EverySeconds: 30}, Device: "auto", Precision: "float32",
		Schedule: Schedule{Name: Constant},
	}
	setOptimizer(&s.Optimizer, AdamW)
	return object{keys: []key{
		{name: "name", doc: "A name for people; it need not be unique.", val: text{&s.Name, maxName}},
		{name: "data", doc: "Where the rows come from and how they are prepared.",
			val: dataTable(&s.Data), need: true, hint: "add data: {source: digits}, or csv: with a file's path"},
		{name: "model", doc: "The layers, in order, as in torch.nn.Sequential.",
			val: layerList{&s.Model}, need: true, hint: "add model: [{linear: 64}, relu, {linear: 10}]"},
		{name: "loss", doc: "What training makes small; the mean over the batch.",
			val: enum[Loss]{&s.Loss, "loss", []Loss{CrossEntropy, MSE, BCEWithLogits, Huber}}},
		{name: "optimizer", doc: "The algorithm that updates the parameters, as torch.optim has it.",
			val: optimizerTable(&s.Optimizer)},
		{name: "schedule", doc: "How the learning rate changes from step to step.", val: scheduleTable(&s.Schedule)},
		{name: "clip_grad_norm", doc: "Largest 2-norm of the gradient over all parameters; 0 does not limit it.",
			val: number{&s.ClipGradNorm, atLeast(0)}},
		{name: "batch_size", doc: "Rows of an optimizer step.", val: integer[int]{&s.BatchSize, between(1, maxBatch)}},
		{name: "drop_last", doc: "Leave out an epoch's last batch when it is smaller.", val: boolean{p: &s.DropLast}},
		{name: "epochs", doc: "Passes over the training rows; not together with steps.",
			val: integer[int]{&s.Epochs, between(1, maxEpochs)}, omit: func() bool { return s.Steps > 0 }},
		{name: "steps", doc: "Optimizer steps, instead of epochs.",
			val: integer[int64]{&s.Steps, between(1, maxSteps)}, omit: func() bool { return s.Steps == 0 }},
		{name: "shuffle", doc: "Visit the rows in a new random order each epoch; false walks them in order.",
			val: boolean{p: &s.Shuffle}},
		{name: "seed", doc: "What initial weights, shuffling and dropout are drawn from.",
			val: integer[uint64]{&s.Seed, atLeast(0)}},
		{name: "init", doc: "Initial weights from a file instead of PyTorch's distributions.",
			val: object{keys: []key{{name: "from", need: true, hint: "add from: with a file's path",
				doc: "A safetensors file with the model's names and shapes.", val: filePath{&s.Init.From}}}},
			omit: func() bool { return s.Init.From == "" }},
		{name: "early_stopping", doc: "End the job when a metric stops improving, and keep the best epoch.",
			val: earlyStopping{&s.EarlyStopping}, omit: func() bool { return s.EarlyStopping == nil }},
		{name: "checkpoint", doc: "How a running job is kept safe.",
			val: object{keys: []key{{name: "every", doc: "Time between checkpoints: 30s, 2m, or a number of seconds.",
				val: seconds{&s.Checkpoint.EverySeconds, between(0.01, 86400)}}}}},
		{name: "device", doc: "Where to run: auto, cpu, gpu, or one GPU as gpu:0.", val: device{&s.Device}},
		{name: "precision", doc: "Arithmetic of matrix products; tf32 and bf16 need a GPU.",
			val: enum[string]{&s.Precision, "precision", []string{"float32", "tf32", "bf16"}}},
	}, extra: &schema{Not: &schema{Required: []string{"epochs", "steps"}}}}
}

// earlyStopping is an object that is off unless given.
type earlyStopping struct{ p **EarlyStopping }

func earlyStoppingTable(es *EarlyStopping) object {
	return object{keys: []key{
		{name: "metric", doc: "What is watched.", val: enum[string]{&es.Metric, "metric",
			[]string{"val_loss", "val_accuracy", "val_rmse", "val_r2", "train_loss"}}},
		{name: "patience", doc: "Epochs without improvement before the job ends.",
			val: integer[int]{&es.Patience, between(1, maxEpochs)}},
		{name: "min_delta", doc: "What counts as an improvement.", val: number{&es.MinDelta, atLeast(0)}},
	}}
}

func newEarlyStopping() *EarlyStopping { return &EarlyStopping{Metric: "val_loss", Patience: 5} }

func (v earlyStopping) read(r *reader, n *node, at place) {
	if n.kind != objectNode {
		r.want(n, objectNode, "an object", at)
		return
	}
	*v.p = newEarlyStopping()
	earlyStoppingTable(*v.p).read(r, n, at)
}

func (v earlyStopping) names() []string { return earlyStoppingTable(newEarlyStopping()).names() }

func (v earlyStopping) write(b *bytes.Buffer) { earlyStoppingTable(*v.p).write(b) }
func (v earlyStopping) schema() *schema       { return earlyStoppingTable(newEarlyStopping()).schema() }

// The sources that a name alone stands for.
var (
	shippedSources = []dataset.Source{dataset.SourceDigits, dataset.SourceIris, dataset.SourceWine,
		dataset.SourceBreastCancer, dataset.SourceDiabetes}
	madeSources = []dataset.Source{dataset.SourceMoons, dataset.SourceSpirals, dataset.SourceBlobs, dataset.SourceTeacher}
)
