package dataset

// Set is a data set ready to train on: split, standardized and in memory.
// Rows lie training part first, then validation, then test, each part in the
// source's order. A Set is read-only once made, and may be a view into a
// mapped arena.
type Set struct {
	Info
	X       []float32 // (Rows, prod(Shape))
	Labels  []int32   // (Rows) for classification, else nil
	Targets []float32 // (Rows, TargetWidth) for regression and binary, else nil
}

// Info describes a Set without its numbers; it is what the daemon and the
// clients know of it.
type Info struct {
	Rows        int      `json:"rows"` // all parts
	TrainRows   int      `json:"train_rows"`
	ValRows     int      `json:"val_rows"`
	TestRows    int      `json:"test_rows"`
	Shape       []int    `json:"shape"` // of one row
	Task        string   `json:"task"`  // train.Task
	Classes     []string `json:"classes,omitempty"`
	TargetWidth int      `json:"target_width"`       // columns of Targets; 0 for classification
	MaxLabel    int      `json:"max_label"`          // highest label; -1 without labels
	MaxLabelRow int      `json:"max_label_row"`      // source row (from 0) that holds it, for messages
	Features    []string `json:"features,omitempty"` // column names where the source has them
	TargetNames []string `json:"targets,omitempty"`  // target column names
	// TargetColumn is the target's place among a table's columns, so that rows
	// without a header can leave it in or out; -1 where there are no columns.
	TargetColumn int `json:"target_column"`
	// Mean is per feature, or per channel for rank-3 shapes; nil unless standardized.
	Mean      []float32 `json:"mean,omitempty"`
	Deviation []float32 `json:"deviation,omitempty"` // zero deviations are stored as 1
	// Hash is the SHA-256, in hex, of everything the Set's numbers come from:
	// the files' bytes and the preparation asked for.
	Hash  string `json:"hash"`
	Bytes int64  `json:"bytes"` // of the encoded Set
}
