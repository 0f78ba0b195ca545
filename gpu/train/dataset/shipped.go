package dataset

import (
	"bytes"
	"embed"
	"fmt"
)

// shippedFiles are the sets of shipped/LICENCES.md: CSV with a header, gzip,
// the target last.
//
//go:embed shipped/*.csv.gz
var shippedFiles embed.FS

// shippedClasses names the classes as scikit-learn's target_names do; digits
// are their own names, and diabetes has none, for its target is a number.
var shippedClasses = map[Source][]string{
	SourceIris:         {"setosa", "versicolor", "virginica"},
	SourceWine:         {"class_0", "class_1", "class_2"},
	SourceBreastCancer: {"malignant", "benign"},
}

// shipped reads a set that comes with the program.
func (l *load) shipped(source Source, task Task) (*table, error) {
	if source == SourceDiabetes && task != Regression {
		return nil, bad("use loss: mse", "diabetes: its target is a number, not a class")
	}
	if task == Binary && source != SourceBreastCancer {
		return nil, bad("use loss: cross_entropy", "%s: more than two classes, bce_with_logits takes two", source)
	}
	file, err := shippedFiles.ReadFile("shipped/" + string(source) + ".csv.gz")
	if err != nil {
		return nil, fmt.Errorf("read shipped set: %w", err)
	}
	in, err := newInput(l.ctx, string(source), bytes.NewReader(file), int64(len(file)), l.lim, l.sum)
	if err != nil {
		return nil, err
	}
	t, err := readCSV(in, "target", task, l.lim)
	if err != nil {
		return nil, err
	}
	if names := shippedClasses[source]; names != nil && task != Regression {
		t.y.classes = names
	}
	return t, in.finish()
}
