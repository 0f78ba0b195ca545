package batch

import (
	"context"
	"iter"

	"weft/cpuwork"
)

// A Load is a job's items and what is done with their answers. A job that goes
// on after a crash asks for the same items again, in the same order: those that
// had ended are not done again.
type Load interface {
	// Work is what is done to each item, and with which parameters.
	Work() (work cpuwork.Work, params []byte)
	// Count is how many items there are; -1 when only the end will tell. It is
	// asked again and again, from another goroutine.
	Count() int64
	// Items are the items in order. An error is the whole job's.
	Items(ctx context.Context) iter.Seq2[Item, error]
	// Answer takes in an item's end, as soon as it is known, one at a time and in
	// any order, and says how it shows in the result file and in the progress. An
	// error is the whole job's.
	Answer(item Named, r cpuwork.Result) (Line, error)
	// Finish is called once after the last item, with ctx not ended: what is
	// written at the end is written here. It does nothing for a job that stopped.
	Finish(ctx context.Context, s *Summary) error
}

// An Item is an item of a job: with a name that people know it by.
type Item struct {
	cpuwork.Item
	Name string // a path, a URL, a number
	// Failed, if not nil, is why the item cannot even be begun: it is answered
	// with this error and counts as one that failed.
	Failed error
}

// Named says which item a result is of.
type Named struct {
	Index int64
	Name  string
}

// A Line is one item's line of the result file, as JSON.
type Line struct {
	Index    int64              `json:"index"`
	Item     string             `json:"item"`
	OK       bool               `json:"ok"`
	Bytes    int64              `json:"bytes,omitempty"` // of input that it accounts for
	Seconds  float64            `json:"seconds"`         // the last attempt
	Attempts int                `json:"attempts"`
	Output   map[string]any     `json:"output,omitempty"` // what the kind answers: a digest, a size, a status
	Error    *cpuwork.ItemError `json:"error,omitempty"`

	// Wrote is the path of the file that the line says is there, whoever wrote it:
	// its content, its name and its directories are durable before the line is.
	// Empty: none. It is not in the result file.
	Wrote string `json:"-"`
}

// A Summary is what a job came to; all kinds have it in common.
type Summary struct {
	Items       int64          `json:"items"`
	OK          int64          `json:"ok"`
	Failed      int64          `json:"failed"`
	Bytes       int64          `json:"bytes"`
	Seconds     float64        `json:"seconds"` // running, over all lives of the job
	ItemsPerS   float64        `json:"items_per_second"`
	BytesPerS   float64        `json:"bytes_per_second"`
	Pool        string         `json:"pool"`
	Workers     int            `json:"workers"`
	Resumed     int64          `json:"resumed,omitempty"` // items that an earlier life had done
	Stopped     bool           `json:"stopped,omitempty"` // early, by Options.Stop: not all items were done
	FirstFailed []Line         `json:"first_failed,omitempty"`
	Kind        map[string]any `json:"kind,omitempty"` // what only this kind has
}
