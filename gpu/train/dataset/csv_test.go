package dataset

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func loadCSV(t testing.TB, content, target string, task Task) (*Set, error) {
	t.Helper()
	spec := Spec{Source: SourceCSV, File: write(t, "train.csv", []byte(content)), Target: target}
	return Load(t.Context(), &spec, task)
}

func TestCSV(t *testing.T) {
	const houses = "area,rooms,price\n50,2,100.5\n70,3,150\n"
	for _, c := range []struct {
		name, content, target string
		task                  Task
		x                     []float32
		labels                []int32
		targets               []float32
		features              string // joined by |
		targetName, classes   string
	}{
		{name: "header, last column", content: houses, task: Regression,
			x: []float32{50, 2, 70, 3}, targets: []float32{100.5, 150}, features: "area|rooms", targetName: "price"},
		{name: "target by name", content: houses, target: "area", task: Regression,
			x: []float32{2, 100.5, 3, 150}, targets: []float32{50, 70}, features: "rooms|price", targetName: "area"},
		{name: "target by index", content: houses, target: "1", task: Regression,
			x: []float32{50, 100.5, 70, 150}, targets: []float32{2, 3}, features: "area|price", targetName: "rooms"},
		{name: "target from behind", content: houses, target: "-3", task: Regression,
			x: []float32{2, 100.5, 3, 150}, targets: []float32{50, 70}, features: "rooms|price", targetName: "area"},
		{name: "no header", content: "1,2,a\n3,4,b\n", task: Classification,
			x: []float32{1, 2, 3, 4}, labels: []int32{0, 1}, classes: "a|b"},
		{name: "one row, no end of line", content: "1,2,3.5", task: Regression,
			x: []float32{1, 2}, targets: []float32{3.5}},
		{name: "strings sorted", content: "x,y\n1,pear\n2,apple\n3,pear\n4,fig\n", task: Classification,
			x: []float32{1, 2, 3, 4}, labels: []int32{2, 0, 2, 1}, classes: "apple|fig|pear", features: "x", targetName: "y"},
		{name: "numbers in their order", content: "x,y\n1,10\n2,9\n3,-1\n4,9.0\n", task: Classification,
			x: []float32{1, 2, 3, 4}, labels: []int32{2, 1, 0, 1}, classes: "-1|9|10", features: "x", targetName: "y"},
		{name: "booleans as pandas writes them", content: "x,y\nTrue,1\nfalse,2\n", task: Regression,
			x: []float32{1, 0}, targets: []float32{1, 2}, features: "x", targetName: "y"},
		{name: "hexadecimal is text", content: "x,y\n1,0x10\n2,0x9\n", task: Classification,
			x: []float32{1, 2}, labels: []int32{0, 1}, classes: "0x10|0x9", features: "x", targetName: "y"},
		{name: "binary strings", content: "x,y\n1,yes\n2,no\n", task: Binary,
			x: []float32{1, 2}, targets: []float32{1, 0}, classes: "no|yes", features: "x", targetName: "y"},
		{name: "binary numbers", content: "x,y\n1,1\n2,0\n", task: Binary,
			x: []float32{1, 2}, targets: []float32{1, 0}, classes: "0|1", features: "x", targetName: "y"},
		{name: "binary of two other numbers", content: "x,y\n1,1\n2,-1\n", task: Binary,
			x: []float32{1, 2}, targets: []float32{1, 0}, classes: "-1|1", features: "x", targetName: "y"},
		{name: "soft targets", content: "x,y\n1,0.25\n2,1\n", task: Binary,
			x: []float32{1, 2}, targets: []float32{0.25, 1}, features: "x", targetName: "y"},
		{name: "quotes, spaces, CRLF", content: "\"a,b\", c ,\"say \"\"y\"\"\"\r\n1, 2 ,\"3\"\r\n\r\n-4e1,.5,+6\r\n",
			task: Regression,
			x:    []float32{1, 2, -40, 0.5}, targets: []float32{3, 6}, features: "a,b|c", targetName: `say "y"`},
		{name: "byte order mark", content: "\ufeffa,y\n1,2\n", task: Regression,
			x: []float32{1}, targets: []float32{2}, features: "a", targetName: "y"},
		{name: "semicolons", content: "a;b;y\n1;2;3\n", task: Regression,
			x: []float32{1, 2}, targets: []float32{3}, features: "a|b", targetName: "y"},
		{name: "tabs", content: "a\tb, c\ty\n1\t2\t3\n", task: Regression,
			x: []float32{1, 2}, targets: []float32{3}, features: "a|b, c", targetName: "y"},
		{name: "line break in quotes", content: "a,y\n1,\"two\nlines\"\n2,b\n", task: Classification,
			x: []float32{1, 2}, labels: []int32{1, 0}, classes: "b|two\nlines", features: "a", targetName: "y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := loadCSV(t, c.content, c.target, c.task)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "X", s.X, c.x)
			equal(t, "labels", s.Labels, c.labels)
			equal(t, "targets", s.Targets, c.targets)
			equal(t, "features", []string{strings.Join(s.Features, "|")}, []string{c.features})
			equal(t, "target", []string{strings.Join(s.TargetNames, "|")}, []string{c.targetName})
			equal(t, "classes", []string{strings.Join(s.Classes, "|")}, []string{c.classes})
		})
	}
}

func TestCSVPacked(t *testing.T) {
	path := write(t, "train.csv.gz", pack([]byte("a,y\n1,2\n")))
	s := mustLoad(t, Spec{Source: SourceCSV, File: path}, Regression)
	equal(t, "X", s.X, []float32{1})
}

func TestCSVFaults(t *testing.T) {
	const (
		encode  = "features are numbers: drop the column, or encode it, such as 0 and 1 for each value"
		fill    = "fill in missing values or drop their rows"
		written = "check whether the program that wrote it ended well"
		ragged  = "complete the row; a field that holds a comma needs quotes around it"
	)
	many := "a,y\n"
	for i := range 60 {
		many += fmt.Sprintf("1,c%d\n", i)
	}
	for _, c := range []struct {
		name, content, target string
		task                  Task
		message, hint         string
	}{
		{"short row", "a,b,c,d,e\n1,2,3,4,5\n\n1,2,3\n", "", Regression, "train.csv:4: 3 fields, the header has 5", ragged},
		{"long row, no header", "1,2\n3,4\n5,6,7\n", "", Regression, "train.csv:3: 3 fields, the first row has 2", ragged},
		{"one field", "a;b\n1;2\n3\n", "", Regression, "train.csv:3: 1 field, the header has 2",
			"complete the row; a field that holds a semicolon needs quotes around it"},
		{"unknown target", "area,rooms,price\n1,2,3\n", "prise", Regression, `train.csv: no column "prise"`,
			`did you mean "price"? columns: area, rooms, price`},
		{"unlike any", "area,rooms,price\n1,2,3\n", "quantity", Regression, `train.csv: no column "quantity"`,
			"columns: area, rooms, price"},
		{"target out of range", "a,b\n1,2\n", "2", Regression, "train.csv: no column 2", "columns are 0 to 1: a, b"},
		{"no header to find a name in", "1,2\n3,4\n", "price", Regression,
			`train.csv: no column "price", the file has no header`,
			"give its index, 0 to 1, or put a header line above the rows"},
		{"text feature", "a,city,y\n1,2,3\n1,Rome,3\n", "", Regression,
			`train.csv:3: column "city": "Rome" is not a number`, encode},
		{"text feature, no header", "1,2,3\n1,Rome,3\n", "", Regression,
			`train.csv:2: column 1: "Rome" is not a number`, encode},
		{"text target", "a,y\n1,2\n1,b\n", "", Regression, `train.csv:3: column "y": "b" is not a number`,
			"to predict classes use loss: cross_entropy"},
		{"empty cell", "a,b,y\n1,,3\n", "", Regression, `train.csv:2: column "b": missing value`, fill},
		{"NaN", "a,b,y\n1,2,3\n1,NaN,3\n", "", Regression, `train.csv:3: column "b": missing value "NaN"`, fill},
		{"missing class", "a,y\n1,x\n2,NA\n", "", Classification, `train.csv:3: column "y": missing value "NA"`, fill},
		{"infinity", "a,y\n1,3\ninf,3\n", "", Regression, `train.csv:3: column "a": "inf" is not finite`,
			"drop the row or put a finite number there"},
		{"too large", "a,y\n1,3\n1e39,3\n", "", Regression, `train.csv:3: column "a": "1e39" is too large for float32`,
			"scale the column"},
		{"decimal comma", "a;y\n1;3\n1,5;3\n", "", Regression, `train.csv:3: column "a": "1,5" is not a number`,
			"write decimals with a point, not a comma"},
		{"hexadecimal", "a,y\n1,3\n0x10,3\n", "", Regression, `train.csv:3: column "a": "0x10" is not a number`, encode},
		{"fraction as class", "a,y\n1,3\n2,1.5\n", "", Classification, `train.csv:3: column "y": 1.5 is not a class`,
			"for a number to predict use loss: mse; classes are names or whole numbers"},
		{"one class", "a,y\n1,3\n2,3\n", "", Classification, `train.csv: column "y": all rows are of one class, "3"`,
			"a classifier needs two classes or more; is the right column the target?"},
		{"three for binary", "a,y\n1,u\n2,v\n3,w\n", "", Binary,
			`train.csv: column "y": 3 classes, bce_with_logits takes two`,
			"for more than two classes use loss: cross_entropy"},
		{"too many classes", many, "", Classification, `train.csv:52: column "y": more than 50 classes`,
			"for a number to predict use loss: mse"},
		{"long class", "a,y\n1," + strings.Repeat("x", 101) + "\n", "", Classification,
			`train.csv:2: column "y": a class name of 101 bytes`, "is the right column the target?"},
		{"header only", "a,b,y\n", "", Regression, "train.csv: holds a header and no rows", written},
		{"blank lines only", "\n\r\n\n", "", Regression, "train.csv: holds no rows", written},
		{"empty", "", "", Regression, "train.csv: is empty", written},
		{"one column", "a\n1\n2\n", "", Regression, "train.csv: one column only, features and a target are needed",
			"columns are told apart by a comma, a semicolon or a tab"},
		{"pandas index", ",a,y\n0,1,2\n1,1,2\n", "", Regression, "train.csv: column 0 has no name",
			"name it; if it is the row number that pandas writes, save with to_csv(index=False)"},
		{"name twice", "a,a,y\n0,1,2\n", "", Regression, `train.csv: two columns are called "a"`, "rename one of them"},
		{"open quote", "a,y\n1,2\n\"3,4\n5,6\n", "", Regression,
			"train.csv:3: a quoted field is not closed, or text follows it",
			`close the field with a quote, and double the quotes inside: "a ""b"" c"`},
		{"bare quote", "a,y\n1,2\n3,4\"\n5,6\n", "", Regression, "train.csv:3: a quote inside a field",
			`put quotes around the whole field and double those inside: "a ""b"" c"`},
		{"endless record", "a,y\n1,\"" + strings.Repeat("x", 700_000), "", Classification,
			"train.csv: a row is longer than 65536 bytes", "look for a quote that is not closed"},
		{"UTF-16", "\xff\xfea\x00,\x00", "", Regression, "train.csv: is UTF-16 text, not CSV",
			"give the data set under its own format, or save it as UTF-8 text with commas"},
		{"binary", "PAR1\x00\x01", "", Regression, "train.csv: is a Parquet file, not CSV",
			"give the data set under its own format, or save it as UTF-8 text with commas"},
		{"columns", strings.Repeat("1,", 65) + "1\n", "", Regression, "train.csv: 66 columns, the limit is 64",
			"use fewer columns"},
		{"rows", strings.Repeat("1,2\n", 1001), "", Regression,
			"train.csv: 1001 rows of 1 numbers are over the limit of 4000 numbers", "train on a part of the rows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := Spec{Source: SourceCSV, File: write(t, "train.csv", []byte(c.content)), Target: c.target}
			_, err := loadLimited(t.Context(), &spec, c.task, tinyLimits())
			wantFault(t, err, c.message, c.hint)
		})
	}
}

// Whatever is written as CSV comes back, bit for bit.
func TestCSVRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.IntRange(2, 6).Draw(rt, "columns")
		rows := rapid.IntRange(1, 30).Draw(rt, "rows")
		delim := rapid.SampledFrom([]string{",", ";", "\t"}).Draw(rt, "delimiter")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "end")
		quote := rapid.SampledFrom([]string{"", `"`}).Draw(rt, "quote")
		var b strings.Builder
		if rapid.Bool().Draw(rt, "header") {
			for c := range columns {
				fmt.Fprintf(&b, "%scolumn %d%s%s", quote, c, quote, map[bool]string{true: end, false: delim}[c == columns-1])
			}
		}
		var x, y []float32
		for range rows {
			for c := range columns {
				v := rapid.Float32Range(-3e38, 3e38).Draw(rt, "v")
				b.WriteString(quote + strconv.FormatFloat(float64(v), 'g', -1, 32) + quote)
				if c < columns-1 {
					x = append(x, v)
					b.WriteString(delim)
				} else {
					y = append(y, v)
					b.WriteString(end)
				}
			}
		}
		table, err := readCSV(inputOf(t, "r.csv", []byte(b.String()), defaultLimits()), "", Regression, defaultLimits())
		if err != nil {
			rt.Fatalf("%v in\n%s", err, b.String())
		}
		equal(t, "X", table.x, x)
		equal(t, "targets", table.y.values, y)
	})
}

func TestIsHeader(t *testing.T) {
	for _, c := range []struct {
		first, second, target string
		want                  bool
	}{
		{"a,b", "1,2", "", true},
		{"a,b", "", "", true},
		{"a,b", "c,d", "", true},
		{"1,2", "3,4", "", false},
		{"1,b", "3,c", "", false},
		{"2019,y", "3,4", "", true},
		{"2019,y", "3,c", "y", true},
		{"NaN,1", "3,4", "", false},
		{",a", "0,1", "", true},
		{"1,2", "3,4", "1", false},
	} {
		var second []string
		if c.second != "" {
			second = strings.Split(c.second, ",")
		}
		if got := isHeader(strings.Split(c.first, ","), second, c.target); got != c.want {
			t.Errorf("isHeader(%q above %q, target %q) = %t", c.first, c.second, c.target, got)
		}
	}
}
