package sha256

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"unicode/utf8"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/files"
)

// load is a job. Answer and Resume are called one at a time, beside Items.
type load struct {
	spec  Spec
	spill *spill // nil without an output

	malformed atomic.Int64 // lines, counted by Items

	// By Answer and Resume; items that other errors ended are in the summary.
	verified, mismatched, missing, changed int64
}

var (
	_ batch.Load    = (*load)(nil)
	_ batch.Resumer = (*load)(nil)
)

// Work implements [batch.Load].
func (l *load) Work() (cpuwork.Work, []byte) {
	raw, err := json.Marshal(params{Special: l.spec.Special, IgnoreMissing: l.spec.IgnoreMissing})
	if err != nil {
		panic(err) // two booleans
	}
	return Work, raw
}

// Count implements [batch.Load]: it is known when every argument is an item.
func (l *load) Count() int64 {
	f := &l.spec.Files
	if l.spec.Verify || f.Recursive || len(f.Globs)+len(f.Lists) > 0 {
		return -1
	}
	return int64(len(f.Paths))
}

// Items implements [batch.Load].
func (l *load) Items(ctx context.Context) iter.Seq2[batch.Item, error] {
	return files.Items(ctx, func(yield files.Yield) {
		l.malformed.Store(0)
		l.spec.Files.Each(ctx, yield, func(entry files.Entry) bool {
			if l.spec.Verify {
				return l.listed(entry, yield)
			}
			return yield(item(entry.Name, request{path: entry.Path}))
		})
	})
}

func item(name string, r request) batch.Item {
	return batch.Item{Name: name, Item: cpuwork.Item{Data: r.encode()}}
}

// listed yields the files of one list of digests.
func (l *load) listed(list files.Entry, yield files.Yield) bool {
	fail := func(code, format string, args ...any) bool {
		return yield(batch.Item{Name: list.Name, Failed: cpuwork.Failf(code, "", format, args...)})
	}
	return list.Read(yield, func(r io.Reader) (going bool, err error) {
		proper, entry := 0, 0
		going = true
		err = checksums(r, func(c Checksum, ok bool) bool {
			entry++
			switch {
			case ok:
				proper++
				sum := c.Sum
				going = yield(item(c.Name, request{path: l.spec.Files.Resolve(c.Name), expected: &sum}))
			default:
				l.malformed.Add(1)
				if l.spec.Strict {
					going = fail("malformed", "checksum %d is malformed", entry)
				}
			}
			return going
		})
		if going && err == nil && proper == 0 {
			going = fail("no_checksums", "no line of it is a SHA256 checksum")
		}
		return going, err
	})
}

// Answer implements [batch.Load].
func (l *load) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	line := batch.Line{
		Index: item.Index, Item: item.Name, Seconds: r.Took.Seconds(), Attempts: r.Attempts,
		Output: map[string]any{},
	}
	if !utf8.ValidString(item.Name) {
		line.Output["name_base64"] = base64.StdEncoding.EncodeToString([]byte(item.Name))
	}
	if r.Err != nil {
		if !errors.As(r.Err, &line.Error) {
			line.Error = &cpuwork.ItemError{Code: "failed", Message: r.Err.Error()}
		}
		return line, l.take(item, line, [Size]byte{})
	}
	a, err := ParseAnswer(r.Output)
	if err != nil {
		return line, err
	}
	line.OK, line.Bytes = true, a.Bytes
	if a.Missing {
		line.Output["missing"] = true
		return line, l.take(item, line, a.Sum)
	}
	line.Output["sha256"] = hex.EncodeToString(a.Sum[:])
	if a.Changed {
		line.Output["changed"] = true
	}
	return line, l.take(item, line, a.Sum)
}

// Resume takes in the line of an item that an earlier life of the job had done.
func (l *load) Resume(line batch.Line) error {
	item := batch.Named{Index: line.Index, Name: line.Item}
	if text, ok := line.Output["name_base64"].(string); ok {
		name, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("resume item %d: %w", line.Index, err)
		}
		item.Name = string(name)
	}
	var sum [Size]byte
	if text, ok := line.Output["sha256"].(string); ok {
		if n, err := hex.Decode(sum[:], []byte(text)[:min(len(text), 2*Size)]); err != nil || n != Size {
			return fmt.Errorf("resume item %d: %q is no digest", line.Index, text)
		}
	} else if line.OK && line.Output["missing"] != true {
		return fmt.Errorf("resume item %d: there is no digest", line.Index)
	}
	return l.take(item, line, sum)
}

// take counts an answer and keeps it for the output.
func (l *load) take(item batch.Named, line batch.Line, sum [Size]byte) error {
	v := failed
	switch {
	case line.Error != nil && line.Error.Code == "mismatch":
		v = mismatched
		l.mismatched++
	case line.Error != nil && (line.Error.Code == "malformed" || line.Error.Code == "no_checksums"):
		v = ignored // it is about a list
	case line.Error != nil:
	case line.Output["missing"] == true:
		v = ignored
		l.missing++
	case l.spec.Verify:
		v = matched
		l.verified++
	default:
		v = digested
	}
	if line.Output["changed"] == true {
		l.changed++
	}
	if l.spill == nil {
		return nil
	}
	return l.spill.put(item.Index, v, item.Name, sum)
}

// Finish implements [batch.Load]: it writes the output.
func (l *load) Finish(ctx context.Context, s *batch.Summary) error {
	l.summarize(s)
	if l.spill != nil {
		if l.spill.kept != s.Items {
			return fmt.Errorf("write %s: there are answers to %d items of %d", l.spec.Output, l.spill.kept, s.Items)
		}
		if err := writeFile(l.spec.output(), func(out *bufio.Writer) error { return l.write(ctx, out) }); err != nil {
			return fmt.Errorf("write %s: %w", l.spec.Output, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	if l.spec.IgnoreMissing && l.verified+l.mismatched == 0 && s.Failed == 0 {
		return errors.New("check digests: no file was verified\ntry: run it in the directory that the list was made in")
	}
	return nil
}

func (l *load) summarize(s *batch.Summary) {
	if s.Kind == nil {
		s.Kind = map[string]any{}
	}
	if l.changed > 0 {
		s.Kind["changed_while_read"] = l.changed
	}
	if l.spec.Verify {
		s.Kind["verified"], s.Kind["mismatched"] = l.verified, l.mismatched
		s.Kind["missing_ignored"], s.Kind["malformed_lines"] = l.missing, l.malformed.Load()
	}
}

func (l *load) write(ctx context.Context, out *bufio.Writer) error {
	var text []byte
	return l.spill.all(func(v verdict, name string, sum [Size]byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		text = text[:0]
		switch v {
		case digested:
			text = AppendLine(text, name, sum, l.spec.Tag, l.spec.Zero)
		case matched:
			if !l.spec.Quiet {
				text = appendVerdict(text, name, "OK")
			}
		case mismatched:
			text = appendVerdict(text, name, "FAILED")
		case failed:
			if l.spec.Verify {
				text = appendVerdict(text, name, "FAILED open or read")
			}
		}
		_, err := out.Write(text)
		return err
	})
}

// Close lets go of what answers waited in; a job that stops needs it, after
// Finish it does nothing.
func (l *load) Close() error {
	if l.spill == nil {
		return nil
	}
	s := l.spill
	l.spill = nil
	return s.close()
}
