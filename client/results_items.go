package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"weft/client/table"
	"weft/daemon/api"
)

// aTask is what of a CPU job's task says how its results are written.
type aTask struct {
	Check bool `json:"check"`
	Quiet bool `json:"quiet"`
	Tag   bool `json:"tag"`
	Zero  bool `json:"zero"`
	Files struct {
		Dir string `json:"dir"`
	} `json:"files"`
}

// short is a name without the directory that the job was submitted in.
func (t *aTask) short(name string) string {
	if t.Files.Dir == "" {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, strings.TrimSuffix(t.Files.Dir, "/")+"/"), "./")
}

func taskOf(job *api.JobDetail) aTask {
	var spec struct {
		Task aTask `json:"task"`
	}
	_ = json.Unmarshal(job.Spec, &spec) // another kind's has none of these
	return spec.Task
}

// An itemsWriter writes items. It sees all of them before, in any order, for what
// has to be known before the first is written.
type itemsWriter interface {
	see(it *itemLine)
	write(items *orderedItems) error
}

// itemsWriter is the writer for the output that was chosen.
func (p *program) itemsWriter(job *api.JobDetail, failed bool) itemsWriter {
	switch {
	case p.global.output == outJSON:
		return unseen(p.writeItemsJSON)
	case failed:
		return p.failedTable(taskOf(job))
	}
	return p.kindsWriter(job)
}

// kindsWriter writes items as the kind's own tools would.
func (p *program) kindsWriter(job *api.JobDetail) itemsWriter {
	task := taskOf(job)
	switch {
	case job.Kind == api.KindSHA256 && task.Check:
		return unseen(func(items *orderedItems) error { return p.writeVerdicts(job, items) })
	case job.Kind == api.KindSHA256:
		return unseen(func(items *orderedItems) error { return p.writeDigests(task, items) })
	case job.Kind == api.KindPrimes:
		return p.primesTable()
	}
	return &itemsTable{w: p.stdout, Table: table.Table{Width: p.global.width, Colour: p.global.colour, Columns: []table.Column{
		{Head: "ITEM", Flexible: true}, {Head: "STATE", Paint: paintState}, {Head: "SIZE", Right: true},
		{Head: "TIME", Right: true}, {Head: "RESULT", Flexible: true}}},
		rows: func(it *itemLine, row func([]string) error) error {
			size := ""
			if it.Bytes > 0 {
				size = sizeText(it.Bytes)
			}
			result := it.result()
			if job.Kind == api.KindJPEG && it.OK {
				result = it.picture(&task)
			}
			return row([]string{task.short(it.name()), string(it.state()), size, durationText(seconds(it.Seconds)), result})
		}}
}

// unseen writes items that need not be seen before.
type unseen func(*orderedItems) error

func (unseen) see(*itemLine)                     {}
func (u unseen) write(items *orderedItems) error { return u(items) }

// An itemsTable writes items as rows of a table.
type itemsTable struct {
	table.Table
	w      io.Writer
	layout table.Layout
	rows   func(it *itemLine, row func([]string) error) error // calls row for each row of an item
}

func (t *itemsTable) see(it *itemLine) {
	_ = t.rows(it, func(cells []string) error { // which only counts
		t.layout.Measure(cells)
		return nil
	})
}

func (t *itemsTable) write(items *orderedItems) error {
	out := t.Begin(t.w, &t.layout)
	if err := items.each(func(it *itemLine) error { return t.rows(it, out.Row) }); err != nil {
		return err
	}
	return out.Flush()
}

var (
	_ itemsWriter = (*itemsTable)(nil)
	_ itemsWriter = unseen(nil)
)

// writeItemsJSON writes an array of all items, as writeJSON would.
func (p *program) writeItemsJSON(items *orderedItems) error {
	const indent = "  "
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	var one bytes.Buffer
	enc := json.NewEncoder(&one)
	enc.SetEscapeHTML(false)
	enc.SetIndent(indent, indent)
	before := "["
	err := items.each(func(it *itemLine) error {
		one.Reset()
		if err := enc.Encode(it); err != nil {
			return err
		}
		_, _ = out.WriteString(before + "\n" + indent) // what is written next says it too
		before = ","
		_, err := out.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n")))
		return err
	})
	if err != nil {
		return err
	}
	end := "\n]\n"
	if items.count == 0 {
		end = "[]\n"
	}
	_, _ = out.WriteString(end) // Flush says what went wrong
	return out.Flush()
}

func (it *itemLine) state() api.State {
	if it.failed() {
		return api.Failed
	}
	return api.Succeeded
}

// result sums up what the item's answer was, or why there is none.
func (it *itemLine) result() string {
	if it.Error != nil {
		return it.Error.Message
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(it.Output)) {
		if text := factText(name, it.Output[name]); text != "" && name != nameBase64 {
			parts = append(parts, name+" "+text)
		}
	}
	return strings.Join(parts, ", ")
}

// picture sums up what became of a picture: "small/a.jpg, 48x32, 1.4 KiB, libturbojpeg".
func (it *itemLine) picture(task *aTask) string {
	text := func(key string) string { s, _ := it.Output[key].(string); return s }
	number := func(key string) int64 { n, _ := it.Output[key].(float64); return int64(n) }
	parts := []string{task.short(text("output"))}
	if it.Output["skipped"] == true {
		return parts[0] + ", there already"
	}
	if number("width") > 0 {
		parts = append(parts, fmt.Sprintf("%dx%d", number("width"), number("height")))
	}
	return strings.Join(append(parts, sizeText(number("bytes_out")), text("encoder")), ", ")
}

// writeDigests writes lines as sha256sum does.
func (p *program) writeDigests(task aTask, items *orderedItems) error {
	out := bufio.NewWriter(p.stdout)
	err := items.each(func(it *itemLine) error {
		sum, _ := it.Output["sha256"].(string)
		if !it.OK || sum == "" {
			return nil
		}
		name, escape, end := it.name(), "", "\x00"
		if !task.Zero {
			end = "\n"
			name, escape = sumName(name)
		}
		format, first, second := "%s%s  %s%s", sum, name
		if task.Tag {
			format, first, second = "%sSHA256 (%s) = %s%s", name, sum
		}
		_, err := fmt.Fprintf(out, format, escape, first, second, end)
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// sumName is a name as sha256sum writes it, and what it puts before the line.
func sumName(name string) (escaped, before string) {
	if !strings.ContainsAny(name, "\\\n\r") {
		return name, ""
	}
	return strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`).Replace(name), `\`
}

// writeVerdicts writes what sha256sum --check does: a verdict a file, and what is
// to be warned of to the standard error.
func (p *program) writeVerdicts(job *api.JobDetail, items *orderedItems) error {
	out := bufio.NewWriter(p.stdout)
	var unread, mismatched int64
	quiet := taskOf(job).Quiet
	err := items.each(func(it *itemLine) error {
		verdict := "OK"
		switch {
		case it.Output["missing"] == true:
			return nil // --ignore-missing
		case it.OK && quiet:
			return nil
		case it.OK:
		case it.Error != nil && (it.Error.Code == "malformed" || it.Error.Code == "no_checksums"):
			fmt.Fprintf(p.stderr, "weft: %s: %s\n", table.Clean(it.name()), it.Error.Message) // it is about a list
			return nil
		case it.Error != nil && it.Error.Code == "mismatch":
			verdict = "FAILED"
			mismatched++
		default:
			verdict = "FAILED open or read"
			unread++
			if it.Error != nil {
				fmt.Fprintf(p.stderr, "weft: %s: %s\n", table.Clean(it.name()), table.Clean(it.Error.Message))
			}
		}
		name, escape := it.name(), ""
		if strings.Contains(name, "\n") { // unlike in lists, a backslash alone is no reason
			name, escape = sumName(name)
		}
		_, err := fmt.Fprintf(out, "%s%s: %s\n", escape, name, verdict)
		return err
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	p.warnOfVerdicts(job, unread, mismatched)
	return nil
}

// warnOfVerdicts counts what sha256sum --check warns of at its end.
func (p *program) warnOfVerdicts(job *api.JobDetail, unread, mismatched int64) {
	malformed := 0.0
	if job.Summary != nil {
		malformed, _ = job.Summary.Kind["malformed_lines"].(float64)
	}
	for _, w := range []struct {
		n         int64
		one, many string
	}{
		{int64(malformed), "line is improperly formatted", "lines are improperly formatted"},
		{unread, "listed file could not be read", "listed files could not be read"},
		{mismatched, "computed checksum did NOT match", "computed checksums did NOT match"},
	} {
		switch {
		case w.n == 1:
			fmt.Fprintf(p.stderr, "weft: WARNING: 1 %s\n", w.one)
		case w.n > 1:
			fmt.Fprintf(p.stderr, "weft: WARNING: %d %s\n", w.n, w.many)
		}
	}
}

// primesTable has number, answer and time. A range has a row for each of its
// primes, if they are named, and one for all if not.
func (p *program) primesTable() *itemsTable {
	return &itemsTable{w: p.stdout, Table: table.Table{Width: p.global.width,
		Columns: []table.Column{{Head: "NUMBER", Right: true}, {Head: "PRIME"}, {Head: "TIME", Right: true}}},
		rows: func(it *itemLine, row func([]string) error) error {
			if list, named := it.Output["list"].([]any); named {
				for _, prime := range list {
					if err := row([]string{fmt.Sprint(prime), "yes", ""}); err != nil {
						return err
					}
				}
				return nil
			}
			took := ""
			if !it.failed() {
				took = microText(it.Seconds)
			}
			return row([]string{it.name(), it.prime(), took})
		}}
}

// prime is the answer about a number or a range.
func (it *itemLine) prime() string {
	count, isRange := it.Output["primes"].(float64)
	switch {
	case it.failed() && it.Error != nil:
		return "error: " + it.Error.Message
	case isRange && it.Output["first"] != nil && count > 0:
		return fmt.Sprintf("%s, %v to %v", countedPrimes(count), it.Output["first"], it.Output["last"])
	case isRange:
		return countedPrimes(count)
	case it.Output["prime"] == true:
		return "yes"
	}
	return "no"
}

func countedPrimes(n float64) string {
	if n == 1 {
		return "1 prime"
	}
	return strconv.FormatFloat(math.Trunc(n), 'f', -1, 64) + " primes"
}

// microText writes a short time.
func microText(s float64) string {
	switch {
	case s < 1e-3:
		return strconv.FormatFloat(s*1e6, 'f', 1, 64) + "µs"
	case s < 1:
		return strconv.FormatFloat(s*1e3, 'f', 2, 64) + "ms"
	}
	return durationText(seconds(s))
}

// failedTable is why items failed, and what to try.
func (p *program) failedTable(task aTask) *itemsTable {
	return &itemsTable{w: p.stdout, Table: table.Table{Width: p.global.width, Columns: []table.Column{
		{Head: "ITEM", Flexible: true}, {Head: "CODE"}, {Head: "ATTEMPTS", Right: true},
		{Head: "MESSAGE", Flexible: true}, {Head: "TRY", Flexible: true}}},
		rows: func(it *itemLine, row func([]string) error) error {
			if it.Error == nil {
				return nil
			}
			return row([]string{task.short(it.name()), it.Error.Code, strconv.Itoa(it.Attempts), it.Error.Message,
				firstLine(it.Error.Hint)})
		}}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
