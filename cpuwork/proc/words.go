package proc

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// Limits of what is kept of a child's output.
const (
	tailBytes  = 64 << 10 // the end of its output
	crashBytes = 32 << 10 // the beginning of its crash report, however long that gets
	lineBytes  = 4 << 10  // a longer line goes to the log in pieces

	tailLines  = 40 // in Exit.LastWords
	crashLines = 24 // of those, from the head of a crash report that is longer
	oneReport  = 24 // headlines closer than this belong to one crash report
)

// headline matches the line with which the Go runtime begins to say why it dies.
var headline = regexp.MustCompile(
	`^(panic: |fatal error: |runtime: (out of memory|goroutine stack exceeds)|SIG[A-Z]+: |unexpected fault address )`)

// words keeps the end of what a child writes to stdout and stderr. A Go crash
// prints its reason first and then thousands of lines of stacks, so the head of
// a crash report is kept as well.
type words struct {
	line func(string) // told every line; called without mu, one at a time

	mu      sync.Mutex // guards the fields below
	tail    []byte     // up to twice tailBytes, of which the end counts
	partial []byte     // a line that has not ended yet
	crash   []byte     // the head of a crash report, up to crashBytes
	since   int        // lines since its headline, that included; 0: no crash
}

// Write takes output as it comes. It never fails, so that the child never
// blocks on its own output.
func (w *words) Write(p []byte) (int, error) {
	for _, line := range w.add(p) {
		w.line(line)
	}
	return len(p), nil
}

// add stores p and returns the lines that it completes.
func (w *words) add(p []byte) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, p...)
	if len(w.tail) > 2*tailBytes {
		w.tail = append(w.tail[:0], w.tail[len(w.tail)-tailBytes:]...)
	}
	var lines []string
	for len(p) > 0 {
		piece, rest, ended := bytes.Cut(p, []byte{'\n'})
		room := lineBytes - len(w.partial)
		if len(piece) > room {
			piece, rest, ended = p[:room], p[room:], true
		}
		w.partial = append(w.partial, piece...)
		if p = rest; ended {
			lines = append(lines, w.endLine())
		}
	}
	return lines
}

// endLine takes the partial line as a whole one. The caller holds mu.
func (w *words) endLine() string {
	line := strings.ToValidUTF8(string(w.partial), "\uFFFD")
	w.partial = w.partial[:0]
	if headline.MatchString(line) && (w.since == 0 || w.since > oneReport) {
		w.crash, w.since = w.crash[:0], 0
	} else if w.since == 0 {
		return line
	}
	w.since++
	if len(w.crash) < crashBytes {
		w.crash = append(append(w.crash, line...), '\n')
	}
	return line
}

// last returns the last words: the end of the output or, if that begins within
// a crash report, the report's head and end without its noise; 40 lines at most.
func (w *words) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.partial) > 0 {
		w.endLine()
	}
	lines := splitLines(w.tail[max(0, len(w.tail)-tailBytes):])
	if w.since <= tailLines {
		return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
	}
	report := withoutNoise(splitLines(w.crash))
	if len(report) <= tailLines && len(w.crash) < crashBytes { // the whole of it
		return strings.Join(report, "\n")
	}
	head := append(report[:min(len(report), crashLines)], "[…]")
	end := withoutNoise(lines)
	end = end[max(0, len(end)-(tailLines-len(head))):]
	return strings.Join(append(head, end...), "\n")
}

func splitLines(p []byte) []string {
	text := strings.ToValidUTF8(string(bytes.TrimRight(p, "\n")), "\uFFFD")
	return strings.Split(text, "\n")
}

// noise matches the lines of a Go crash report that tell its reader nothing: the
// runtime's own frames, the scheduler's stack, memory in hexadecimal, registers.
var noise = regexp.MustCompile(`^(runtime\.|runtime: g |stack: frame=|PC=|goroutine 0 |[0-9a-f]{16}: | {6}|` +
	`[re]?[a-z0-9]{2,5} +0x[0-9a-f]+$)`)

// withoutNoise returns the lines that are not noise. The line that says where in
// the source a frame is goes with it, and so does the empty line after nothing.
func withoutNoise(lines []string) []string {
	var kept []string
	skipped := false
	for _, line := range lines {
		place := strings.HasPrefix(line, "\t")
		if place && skipped || line == "" && (len(kept) == 0 || kept[len(kept)-1] == "") {
			continue
		}
		if skipped = noise.MatchString(line); !skipped {
			kept = append(kept, line)
		}
	}
	return kept
}

// Lines of a child's output that go to the log: a child that prints without end
// must not fill the disk.
const (
	lineRate  = 200 // a second
	lineBurst = 1000
)

// logLines returns a function that logs a child's lines, within limits.
func logLines(log *slog.Logger, name string) func(string) {
	limiter := rate.NewLimiter(lineRate, lineBurst)
	left := 0 // lines left out; the function is called by one goroutine at a time
	return func(line string) {
		if !limiter.Allow() {
			left++
			return
		}
		if left > 0 {
			log.Warn("child prints too much", "name", name, "lines_left_out", left)
			left = 0
		}
		log.Info("child says", "name", name, "line", line)
	}
}
