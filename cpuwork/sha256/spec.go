package sha256

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"weft/cpuwork/batch"
	"weft/cpuwork/files"
)

// A Spec is a job that computes digests or checks them.
type Spec struct {
	Files   files.Spec `json:"files"`
	Special bool       `json:"special,omitempty"` // pipes and devices, too

	// Output is the file to write digests to or, with Verify, verdicts; it is
	// replaced. Empty: only the job's result file has them.
	Output string `json:"output,omitempty"`
	Zero   bool   `json:"zero,omitempty"` // lines end with a zero byte, names are not escaped
	Tag    bool   `json:"tag,omitempty"`  // BSD's format

	Verify        bool `json:"check,omitempty"`          // Files are lists of digests to be checked
	Quiet         bool `json:"quiet,omitempty"`          // no verdict OK in Output
	IgnoreMissing bool `json:"ignore_missing,omitempty"` // files that are not there count for nothing
	Strict        bool `json:"strict,omitempty"`         // malformed lines are failures
}

// Check says what is wrong with s, without looking at the files.
func (s *Spec) Check() error {
	if err := s.Files.Check(); err != nil {
		return err
	}
	if s.Output != "" && strings.HasSuffix(s.Output, "/") {
		return fmt.Errorf("check sha256: output %q is a directory\ntry: name a file in it", s.Output)
	}
	if s.Verify && (s.Zero || s.Tag) {
		return errors.New("check sha256: --zero and --tag say how digests are written, not how they are checked\n" +
			"try: leave them out; both formats are recognized")
	}
	if !s.Verify && (s.Quiet || s.IgnoreMissing || s.Strict) {
		return errors.New("check sha256: --quiet, --ignore-missing and --strict belong to --check\ntry: add --check")
	}
	return nil
}

// output is the path of the output; relative to the files' directory.
func (s *Spec) output() string { return s.Files.Resolve(s.Output) }

// New returns the job that s describes.
func New(s Spec) (batch.Load, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	l := &load{spec: s}
	if s.Output == "" {
		return l, nil
	}
	var err error
	if l.spill, err = newSpill(filepath.Dir(s.output())); err != nil {
		return nil, fmt.Errorf("make room for digests beside %s: %w\ntry: an output in a directory that exists and may be written to",
			s.Output, err)
	}
	return l, nil
}
