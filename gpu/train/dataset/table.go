package dataset

// table is what a source's reader returns: all rows in the source's order,
// features as numbers, and a target that is resolved for the task.
type table struct {
	name         string // for messages: the file's base name or the source
	rows         int
	shape        []int     // of one row
	x            []float32 // (rows, shape...)
	y            target
	features     []string // column names, nil where the source has none
	targetNames  []string
	targetColumn int // its place among the columns; -1 where there are none
}

// target is a target column (or matrix) as the task wants it: labels for
// classification, else values.
type target struct {
	labels  []int32   // (rows)
	values  []float32 // (rows, width)
	width   int       // of values
	classes []string  // names by label; nil where labels come as integers
	max     int       // highest label; -1 without labels
	maxRow  int       // first row with it
}

// setLabels fills in labels and their maximum.
func (t *target) setLabels(labels []int32) {
	t.labels, t.max = labels, -1
	for row, l := range labels {
		if int(l) > t.max {
			t.max, t.maxRow = int(l), row
		}
	}
}
