package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// csvFile reads one CSV file: delimiter and header are found out, the rest
// follows RFC 4180.
type csvFile struct {
	in     *input
	lim    limits
	r      *csv.Reader
	delim  rune
	header []string // nil when there is none
	width  int      // fields of the first record
	// ahead holds data records that were read to find the header, oldest first.
	ahead []csvRecord
	used  int64 // reader offset after the last record, see bounded
}

type csvRecord struct {
	fields []string
	line   int
}

// openCSV reads up to the first row of data. target is the column the user
// named, if any: it tells a header from data in doubtful cases.
func openCSV(in *input, target string, lim limits) (*csvFile, error) {
	sample, err := in.r.Peek(bufferBytes)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if what := notText(sample); what != "" {
		return nil, bad("give the data set under its own format, or save it as UTF-8 text with commas",
			"%s: is %s, not CSV", in.name, what)
	}
	if bytes.HasPrefix(sample, []byte("\xef\xbb\xbf")) { // UTF-8's byte order mark
		sample = sample[3:]
		in.r.Discard(3)
	}
	f := &csvFile{in: in, lim: lim, delim: sniffDelimiter(sample)}
	f.r = csv.NewReader(&boundedRecords{f: f})
	f.r.Comma, f.r.FieldsPerRecord, f.r.ReuseRecord = f.delim, -1, true
	f.r.TrimLeadingSpace = f.delim != '\t' // else it would eat empty fields
	return f, f.findHeader(target)
}

func (f *csvFile) findHeader(target string) error {
	for range 2 {
		fields, line, err := f.read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		f.ahead = append(f.ahead, csvRecord{slices.Clone(fields), line})
	}
	if len(f.ahead) == 0 {
		return bad("check whether the program that wrote it ended well", "%s: holds no rows", f.in.name)
	}
	first, second := f.ahead[0].fields, []string(nil)
	if len(f.ahead) == 2 {
		second = f.ahead[1].fields
	}
	f.width = len(first)
	if int64(f.width) > f.lim.columns {
		return bad("use fewer columns", "%s: %d columns, the limit is %d", f.in.name, f.width, f.lim.columns)
	}
	if !isHeader(first, second, target) {
		return nil
	}
	f.ahead = f.ahead[1:]
	f.header = make([]string, f.width)
	for i, name := range first {
		f.header[i] = strings.Clone(strings.TrimSpace(name))
	}
	if len(f.ahead) == 0 {
		return bad("check whether the program that wrote it ended well",
			"%s: holds a header and no rows", f.in.name)
	}
	return f.checkHeader()
}

func (f *csvFile) checkHeader() error {
	seen := make(map[string]bool, f.width)
	for i, name := range f.header {
		switch {
		case name == "":
			return bad("name it; if it is the row number that pandas writes, save with to_csv(index=False)",
				"%s: column %d has no name", f.in.name, i)
		case len(name) > f.lim.nameBytes:
			return bad("is the first line a header?", "%s: column %d has a name of %d bytes", f.in.name, i, len(name))
		case seen[name]:
			return bad("rename one of them", "%s: two columns are called %q", f.in.name, clip(name))
		}
		seen[name] = true
	}
	return nil
}

// next returns the next row of data and its line, or io.EOF. The fields are
// valid until the next call.
func (f *csvFile) next() ([]string, int, error) {
	var fields []string
	var line int
	if len(f.ahead) > 0 {
		fields, line = f.ahead[0].fields, f.ahead[0].line
		f.ahead = f.ahead[1:]
	} else {
		var err error
		if fields, line, err = f.read(); err != nil {
			return nil, 0, err
		}
	}
	if len(fields) != f.width {
		return nil, 0, f.ragged(line, len(fields))
	}
	return fields, line, nil
}

func (f *csvFile) ragged(line, have int) error {
	reference := "the header has"
	if f.header == nil {
		reference = "the first row has"
	}
	return bad(fmt.Sprintf("complete the row; a field that holds %s needs quotes around it", delimiterName(f.delim)),
		"%s:%d: %s, %s %d", f.in.name, line, count(int64(have), "field"), reference, f.width)
}

func delimiterName(delim rune) string {
	switch delim {
	case ';':
		return "a semicolon"
	case '\t':
		return "a tab"
	}
	return "a comma"
}

func (f *csvFile) read() ([]string, int, error) {
	fields, err := f.r.Read()
	f.used = f.r.InputOffset()
	if err == nil {
		line, _ := f.r.FieldPos(0)
		return fields, line, nil
	}
	var parse *csv.ParseError
	switch {
	case err == io.EOF || settled(err):
		return nil, 0, err
	case !errors.As(err, &parse):
		return nil, 0, readFault(f.in.name, err)
	case errors.Is(parse.Err, csv.ErrBareQuote):
		return nil, 0, bad(`put quotes around the whole field and double those inside: "a ""b"" c"`,
			"%s:%d: a quote inside a field", f.in.name, parse.StartLine)
	}
	return nil, 0, bad(`close the field with a quote, and double the quotes inside: "a ""b"" c"`,
		"%s:%d: a quoted field is not closed, or text follows it", f.in.name, parse.StartLine)
}

// boundedRecords feeds the CSV reader and stops a record that grows without
// end, as one with an open quote would.
type boundedRecords struct {
	f *csvFile
	n int64
}

func (b *boundedRecords) Read(p []byte) (int, error) {
	if b.n-b.f.used > b.f.lim.recordBytes {
		return 0, bad("look for a quote that is not closed",
			"%s: a row is longer than %d bytes", b.f.in.name, b.f.lim.recordBytes)
	}
	n, err := b.f.in.r.Read(p)
	b.n += int64(n)
	return n, err
}

// columnName names column i in a message: by its header, else by its index.
func (f *csvFile) columnName(i int) string {
	if f.header != nil {
		return fmt.Sprintf("column %q", clip(f.header[i]))
	}
	return fmt.Sprintf("column %d", i)
}

// readCSV reads a whole file with a target column.
func readCSV(in *input, target string, task Task, lim limits) (*table, error) {
	f, err := openCSV(in, target, lim)
	if err != nil {
		return nil, err
	}
	if f.width < 2 {
		return nil, bad("columns are told apart by a comma, a semicolon or a tab",
			"%s: one column only, features and a target are needed", in.name)
	}
	at, err := findColumn(in.name, target, f.header, f.width)
	if err != nil {
		return nil, err
	}
	name := f.columnName(at)
	y := &column{task: task, lim: lim, where: func(line int) string {
		if line < 0 {
			return fmt.Sprintf("%s: %s", in.name, name)
		}
		return fmt.Sprintf("%s:%d: %s", in.name, line, name)
	}}
	t := &table{name: in.name, shape: []int{f.width - 1}, targetColumn: at}
	if f.header != nil {
		t.features = slices.Delete(slices.Clone(f.header), at, at+1)
		t.targetNames = []string{f.header[at]}
	}
	if t.x, t.rows, err = f.features(except(f.width, at), at, y); err != nil {
		return nil, err
	}
	t.y, err = y.finish()
	return t, err
}

// except returns the columns 0 to width-1 without one.
func except(width, column int) []int {
	picks := make([]int, 0, width)
	for i := range width {
		if i != column {
			picks = append(picks, i)
		}
	}
	return picks
}

// features reads all rows: the columns in picks as numbers, column at (when y
// is not nil) into y.
func (f *csvFile) features(picks []int, at int, y *column) (x []float32, rows int, err error) {
	for {
		fields, line, err := f.next()
		if err == io.EOF {
			return x, rows, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if int64(rows) >= f.lim.rows || int64(len(x)+len(picks)) > f.lim.cells {
			return nil, 0, f.lim.cellsFit(f.in.name, int64(rows)+1, int64(len(picks)))
		}
		for _, i := range picks {
			v, problem := parseFeature(fields[i])
			if problem != nil {
				return nil, 0, problem.fault(fmt.Sprintf("%s:%d: %s", f.in.name, line, f.columnName(i)), false)
			}
			x = append(x, v)
		}
		if y != nil {
			if err := y.add(fields[at], line); err != nil {
				return nil, 0, err
			}
		}
		if rows++; rows == 1000 {
			x = f.reserve(x)
		}
	}
}

// reserve grows x to what the file will need if its rows go on as they began,
// so that appending need not copy it again and again.
func (f *csvFile) reserve(x []float32) []float32 {
	if f.in.size <= 0 || f.used <= 0 {
		return x
	}
	guess := int64(float64(len(x)) * float64(f.in.size) / float64(f.used) * 1.02)
	// A cell takes two bytes at least, so a guess is never above size/2.
	return slices.Grow(x, int(max(0, min(guess, f.in.size/2, f.lim.cells)-int64(len(x)))))
}

// findColumn returns the index of the target column: a name in the header, an
// index from 0 (or from -1 backwards), or the last column for "".
func findColumn(name, target string, header []string, width int) (int, error) {
	if target == "" {
		return width - 1, nil
	}
	if i := slices.Index(header, target); i >= 0 {
		return i, nil
	}
	if i, err := strconv.Atoi(target); err == nil {
		if i < 0 {
			i += width
		}
		if i >= 0 && i < width {
			return i, nil
		}
		hint := fmt.Sprintf("columns are 0 to %d", width-1)
		if header != nil {
			hint += ": " + list(header)
		}
		return 0, bad(hint, "%s: no column %s", name, target)
	}
	if header == nil {
		return 0, bad(fmt.Sprintf("give its index, 0 to %d, or put a header line above the rows", width-1),
			"%s: no column %q, the file has no header", name, clip(target))
	}
	return 0, noColumn(name, target, header)
}

// noColumn is the fault for a name that is not among the columns.
func noColumn(name, want string, header []string) error {
	hint := "columns: " + list(header)
	if n := nearest(want, header); n != "" {
		hint = fmt.Sprintf("did you mean %q? %s", n, hint)
	}
	return bad(hint, "%s: no column %q", name, clip(want))
}
