package pools

import (
	"fmt"

	"weft/cpuwork"
	"weft/cpuwork/jpeg"
)

// An Arm is a pool with its number of workers. For [cpuwork.Event] that is how many
// items are in flight.
type Arm struct {
	Pool    cpuwork.Kind `json:"pool"`
	Workers int          `json:"workers"`
	Variant string       `json:"variant,omitempty"` // one of those below
}

// The variants: items handed over one by one instead of in chunks, and other encoders
// than the one that is chosen by itself.
const (
	VariantOne   = "one by one"
	VariantTurbo = jpeg.EncoderTurbo
	VariantJpegn = jpeg.EncoderJpegn
	VariantStd   = jpeg.EncoderStd
)

// Name is the arm's name: goroutine-2, or sequential-1 (jpegn).
func (a Arm) Name() string {
	name := fmt.Sprintf("%s-%d", a.Pool, a.Workers)
	if a.Variant != "" {
		name += " (" + a.Variant + ")"
	}
	return name
}

// Here reports whether this machine has what the arm needs: an encoder may be a
// library that is not installed.
func (a Arm) Here() bool { return a.Variant != VariantTurbo || jpeg.HasEncoder(a.Variant) }

// A Task is what a contestant's process is told.
type Task struct {
	Case    string  `json:"case"`
	Arm     Arm     `json:"arm"` // of a peer: its number of workers alone
	Items   int     `json:"items"`
	Size    int     `json:"size"`             // bytes of an item
	Input   string  `json:"input,omitempty"`  // the file that items are made of
	Files   string  `json:"files,omitempty"`  // the directory with one file for each item
	Width   int     `json:"width,omitempty"`  // of pictures, which are RGB
	Height  int     `json:"height,omitempty"` // of pictures
	URL     string  `json:"url,omitempty"`    // to be fetched
	Rate    float64 `json:"rate,omitempty"`   // requests a second at most
	Burst   int     `json:"burst,omitempty"`  // of the server's bucket
	Scratch string  `json:"scratch"`          // a name for what has to have one outside of the process
}

// An Answer is what a contestant's run came to.
type Answer struct {
	Skip    string  `json:"skip,omitempty"`    // a probe's: why it cannot run here
	Runtime string  `json:"runtime,omitempty"` // python 3.11.7, Pillow 10.2
	Wall    float64 `json:"wall_seconds"`
	CPU     float64 `json:"cpu_seconds"`     // of all its processes, in the clock
	Peak    int64   `json:"peak_bytes"`      // PSS of all its processes together
	Digest  string  `json:"digest"`          // of the answers in order; "": it made none
	Items   int     `json:"items"`           // that were done
	Bytes   int64   `json:"output_bytes"`    // of answers
	Chunk   int     `json:"chunk,omitempty"` // items handed over together, in the end
	Refused int64   `json:"refused,omitempty"`
}
