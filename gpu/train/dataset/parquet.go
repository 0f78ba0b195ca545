package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquet reads the table in one file.
func (l *load) parquet(spec *Spec, task Task) (t *table, err error) {
	err = l.randomAccess(spec.File, func(name string, f *os.File, size int64) error {
		t, err = l.readParquet(name, f, size, spec.Target, task)
		return err
	})
	return t, err
}

// readParquet reads a flat table of numbers with a target column.
func (l *load) readParquet(name string, r io.ReaderAt, size int64, target string, task Task) (t *table, err error) {
	defer recoverParquet(name, &err)
	f, err := l.openParquet(name, r, size)
	if err != nil {
		return nil, err
	}
	names := f.names()
	if len(names) < 2 {
		return nil, bad("features and a target are needed", "%s: %s", name, count(int64(len(names)), "column"))
	}
	at, err := findColumn(name, target, names, len(names))
	if err != nil {
		return nil, err
	}
	picks := except(len(names), at)
	y := &column{task: task, lim: l.lim, where: func(row int) string {
		if row < 0 {
			return fmt.Sprintf("%s: column %q", name, clip(names[at]))
		}
		return f.place(at, row)
	}}
	t = &table{name: name, shape: []int{len(picks)}, targetNames: []string{names[at]}, targetColumn: at}
	for _, i := range picks {
		t.features = append(t.features, names[i])
	}
	if t.x, t.rows, err = f.read(picks, at, y); err != nil {
		return nil, err
	}
	t.y, err = y.finish()
	return t, err
}

// recoverParquet turns a panic of the Parquet library into a fault. The
// library trusts what page headers and dictionaries say and panics where they
// contradict each other, so a damaged file gets here.
func recoverParquet(name string, err *error) {
	if p := recover(); p != nil {
		*err = damaged(name, fmt.Errorf("%v", p))
	}
}

func damaged(name string, err error) error {
	if settled(err) {
		return err
	}
	var u *unsupported
	if errors.As(err, &u) {
		return bad(u.hint, "%s: %v", name, u)
	}
	return bad("copy or write the file again", "%s: damaged Parquet file: %v", name, err)
}

// parquetFile is an open table; its columns are flat.
type parquetFile struct {
	load    *load
	name    string
	r       io.ReaderAt
	size    int64
	file    *parquet.File
	columns []*parquet.Column // without those that only hold a pandas index
	values  []parquet.Value
}

// pandasIndex is what pandas calls the columns that it keeps a frame's index
// in; read_parquet does not give them back as columns either.
var pandasIndex = regexp.MustCompile(`^__index_level_[0-9]+__$`)

func (l *load) openParquet(name string, r io.ReaderAt, size int64) (*parquetFile, error) {
	if err := guardFooter(name, r, size, l.lim); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(r, size,
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.OptimisticRead(false))
	if err != nil {
		return nil, damaged(name, err)
	}
	f := &parquetFile{load: l, name: name, r: r, size: size, file: file, values: make([]parquet.Value, 1024)}
	for _, c := range file.Root().Columns() {
		if !pandasIndex.MatchString(c.Name()) {
			f.columns = append(f.columns, c)
		}
	}
	if int64(len(f.columns)) > l.lim.columns {
		return nil, bad("use fewer columns", "%s: %d columns, the limit is %d", name, len(f.columns), l.lim.columns)
	}
	if file.NumRows() == 0 {
		return nil, bad("check whether the program that wrote it ended well", "%s: holds no rows", name)
	}
	return f, nil
}

func (f *parquetFile) names() []string {
	names := make([]string, len(f.columns))
	for i, c := range f.columns {
		names[i] = c.Name()
	}
	return names
}

// place names a column's row in a message.
func (f *parquetFile) place(column, row int) string {
	return fmt.Sprintf("%s: row %d: column %q", f.name, row, clip(f.columns[column].Name()))
}

// read reads all rows: the columns in picks as numbers, column at (when y is
// not nil) into y.
func (f *parquetFile) read(picks []int, at int, y *column) (x []float32, rows int, err error) {
	if err := f.check(picks, at, y != nil); err != nil {
		return nil, 0, err
	}
	for _, group := range f.file.RowGroups() {
		n, width := group.NumRows(), len(picks)
		if n < 0 || n > f.load.lim.rows {
			return nil, 0, f.load.lim.cellsFit(f.name, n, int64(width))
		}
		if err := f.load.lim.cellsFit(f.name, int64(rows)+n, int64(width)); err != nil {
			return nil, 0, err
		}
		var first []float32 // grown by values that are there, so n is true once it is read
		for k, i := range picks {
			values, err := f.numbers(group, i, rows, first)
			if err != nil {
				return nil, 0, err
			}
			if k == 0 {
				x = append(x, make([]float32, n*int64(width))...)
			}
			into := x[rows*width:]
			for row, v := range values {
				into[row*width+k] = v
			}
			first = values[:0]
		}
		if y != nil {
			if err := f.target(group, at, rows, y); err != nil {
				return nil, 0, err
			}
		}
		rows += int(n)
	}
	if rows == 0 {
		return nil, 0, bad("check whether the program that wrote it ended well", "%s: holds no rows", f.name)
	}
	return x, rows, nil
}

// check sees to it that the columns can be read: their types, and what their
// pages announce.
func (f *parquetFile) check(picks []int, at int, withTarget bool) error {
	used := picks
	if withTarget {
		used = append(slices.Clone(picks), at)
	}
	for _, i := range used {
		if kind, what := readable(f.columns[i]); kind == unusable || kind == textual && i != at {
			return f.unreadable(i, what)
		}
	}
	guard := &chunkGuard{name: f.name, r: f.r, size: f.size, lim: f.load.lim}
	defer guard.unpack.close()
	for _, group := range f.file.Metadata().RowGroups {
		for _, i := range used {
			if err := f.load.ctx.Err(); err != nil {
				return fmt.Errorf("read %s: %w", f.name, err)
			}
			c := f.columns[i]
			if err := guard.chunk(&group.Columns[c.Index()].MetaData, c.Optional()); err != nil {
				return err
			}
		}
	}
	return nil
}

// valueKind is what a column's values can be used as.
type valueKind int

const (
	unusable valueKind = iota
	numeric
	textual
)

// readable says whether a column's values can be used and what they are.
func readable(c *parquet.Column) (kind valueKind, what string) {
	if !c.Leaf() {
		return unusable, "a group of columns"
	}
	if c.Repeated() {
		return unusable, "a list"
	}
	if logical := c.Type().LogicalType(); logical != nil && logical.Value != nil {
		switch logical.Value.(type) {
		case *format.IntType, *format.Float16Type:
			return numeric, "numbers"
		case *format.StringType, *format.EnumType:
			return textual, "text"
		}
		return unusable, "of type " + logical.String()
	}
	switch c.Type().Kind() {
	case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double:
		return numeric, "numbers"
	case parquet.ByteArray:
		return textual, "text"
	}
	return unusable, "of type " + c.Type().String()
}

func (f *parquetFile) unreadable(column int, what string) error {
	hint := "features are numbers: drop the column, or encode it, such as 0 and 1 for each value"
	return bad(hint, "%s: column %q is %s", f.name, clip(f.columns[column].Name()), what)
}

// numbers appends one column of a row group to values.
func (f *parquetFile) numbers(group parquet.RowGroup, column, base int, values []float32) ([]float32, error) {
	number := numberOf(f.columns[column])
	err := f.each(group, column, base, func(v parquet.Value, row int) error {
		n := float32(number(v))
		if n-n != 0 {
			return bad("drop the row, or fill in and scale the values",
				"%s: %s", f.place(column, row), describe(n))
		}
		values = append(values, n)
		return nil
	})
	return values, err
}

func describe(v float32) string {
	if v != v {
		return "NaN"
	}
	return "infinite, or too large for float32"
}

// target adds one column of a row group to y.
func (f *parquetFile) target(group parquet.RowGroup, at, base int, y *column) error {
	c := f.columns[at]
	if kind, _ := readable(c); kind == textual {
		return f.each(group, at, base, func(v parquet.Value, row int) error {
			return y.add(string(v.ByteArray()), row)
		})
	}
	number := numberOf(c)
	var text []byte
	return f.each(group, at, base, func(v parquet.Value, row int) error {
		text = strconv.AppendFloat(text[:0], number(v), 'g', -1, 64)
		return y.add(string(text), row)
	})
}

// each hands over a column's values in a row group; base is the number of the
// group's first row. The group must hold as many as it announces.
func (f *parquetFile) each(group parquet.RowGroup, column, base int, use func(parquet.Value, int) error) error {
	pages := group.ColumnChunks()[f.columns[column].Index()].Pages()
	defer pages.Close() // nothing was written
	row, end := base, base+int(group.NumRows())
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			break
		}
		if err != nil {
			return damaged(f.name, err)
		}
		row, err = f.eachInPage(page, column, row, end, use)
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
	if row != end {
		return damaged(f.name, fmt.Errorf("column %q holds %d rows of %d", f.columns[column].Name(), row-base, end-base))
	}
	return nil
}

func (f *parquetFile) eachInPage(
	page parquet.Page, column, row, end int, use func(parquet.Value, int) error,
) (int, error) {
	values := page.Values()
	for {
		if err := f.load.ctx.Err(); err != nil {
			return row, fmt.Errorf("read %s: %w", f.name, err)
		}
		n, err := values.ReadValues(f.values)
		for _, v := range f.values[:n] {
			if row == end {
				return row, damaged(f.name, errors.New("more values than rows"))
			}
			if v.IsNull() {
				return row, bad("fill in missing values or drop their rows", "%s: missing value", f.place(column, row))
			}
			if err := use(v, row); err != nil {
				return row, err
			}
			row++
		}
		if err == io.EOF {
			return row, nil
		}
		if err != nil {
			return row, damaged(f.name, err)
		}
	}
}

// numberOf returns how a column's values read as numbers.
func numberOf(c *parquet.Column) func(parquet.Value) float64 {
	unsigned := false
	if logical := c.Type().LogicalType(); logical != nil {
		if t, ok := logical.Value.(*format.IntType); ok {
			unsigned = !t.IsSigned
		}
	}
	switch c.Type().Kind() {
	case parquet.Boolean:
		return func(v parquet.Value) float64 {
			if v.Boolean() {
				return 1
			}
			return 0
		}
	case parquet.Int32:
		if unsigned {
			return func(v parquet.Value) float64 { return float64(v.Uint32()) }
		}
		return func(v parquet.Value) float64 { return float64(v.Int32()) }
	case parquet.Int64:
		if unsigned {
			return func(v parquet.Value) float64 { return float64(v.Uint64()) }
		}
		return func(v parquet.Value) float64 { return float64(v.Int64()) }
	case parquet.Float:
		return func(v parquet.Value) float64 { return float64(v.Float()) }
	case parquet.Double:
		return func(v parquet.Value) float64 { return v.Double() }
	default: // readable has let only binary16 through
		return func(v parquet.Value) float64 {
			return float64(half(binary.LittleEndian.Uint16(v.ByteArray())))
		}
	}
}
