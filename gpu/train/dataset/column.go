package dataset

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// column collects a target column that comes as texts, one row after the
// other, and maps it for the task: strings in sorted order, numbers in theirs.
type column struct {
	task  Task
	lim   limits
	where func(pos int) string // names a row in a message: "train.csv:7: column \"price\""

	values []float32 // regression: the numbers

	codes []int32          // else: each row's text, by first appearance
	index map[string]int32 // text to code
	texts []string         // code to text
	first []int            // code to the position of its first row
}

// add takes the next row's text; pos is handed to where when it is at fault.
func (c *column) add(text string, pos int) error {
	if c.task == Regression {
		v, problem := parseNumber(text)
		if problem != nil {
			return problem.fault(c.where(pos), true)
		}
		c.values = append(c.values, v)
		return nil
	}
	if code, ok := c.index[text]; ok {
		c.codes = append(c.codes, code)
		return nil
	}
	return c.addText(text, pos)
}

func (c *column) addText(text string, pos int) error {
	trimmed := strings.TrimSpace(text)
	if missing(trimmed) {
		return (&problem{kind: isMissing, text: trimmed}).fault(c.where(pos), true)
	}
	if len(trimmed) > c.lim.nameBytes {
		return bad("is the right column the target?", "%s: a class name of %d bytes", c.where(pos), len(trimmed))
	}
	code, ok := c.index[trimmed]
	if !ok {
		if len(c.texts) >= c.lim.classes {
			return bad("for a number to predict use loss: mse", "%s: more than %d classes", c.where(pos), c.lim.classes)
		}
		if c.index == nil {
			c.index = map[string]int32{}
		}
		code = int32(len(c.texts))
		trimmed = strings.Clone(trimmed) // text may be a piece of a whole record
		c.index[trimmed] = code
		c.texts, c.first = append(c.texts, trimmed), append(c.first, pos)
	}
	c.codes = append(c.codes, code)
	return nil
}

// finish maps what was collected.
func (c *column) finish() (target, error) {
	if c.task == Regression {
		return target{values: c.values, width: 1, max: -1}, nil
	}
	numbers := c.numbers()
	if c.task == Binary && numbers != nil && between01(numbers) {
		return c.probabilities(numbers), nil
	}
	classes, codeToClass, err := c.classify(numbers)
	if err != nil {
		return target{}, err
	}
	for i, code := range c.codes {
		c.codes[i] = codeToClass[code]
	}
	t := target{classes: classes, max: -1}
	if c.task == Binary {
		t.width, t.values = 1, make([]float32, len(c.codes))
		for i, label := range c.codes {
			t.values[i] = float32(label)
		}
		return t, nil
	}
	t.setLabels(c.codes)
	return t, nil
}

// numbers returns the texts as numbers, or nil if one is none.
func (c *column) numbers() []float64 {
	numbers := make([]float64, len(c.texts))
	for i, text := range c.texts {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v-v != 0 || hexadecimal(text) {
			return nil
		}
		numbers[i] = v + 0 // -0 is 0
	}
	return numbers
}

func between01(numbers []float64) bool {
	for _, v := range numbers {
		if v < 0 || v > 1 {
			return false
		}
	}
	return true
}

// probabilities takes numbers in [0, 1] as they are: bce_with_logits accepts
// soft targets too.
func (c *column) probabilities(numbers []float64) target {
	t := target{width: 1, values: make([]float32, len(c.codes)), max: -1, classes: []string{"0", "1"}}
	for _, v := range numbers {
		if v != 0 && v != 1 {
			t.classes = nil
		}
	}
	for i, code := range c.codes {
		t.values[i] = float32(numbers[code])
	}
	return t
}

// classify orders the distinct texts and returns the classes' names and each
// text's class. Texts of one number, such as 1 and 1.0, are one class.
func (c *column) classify(numbers []float64) (classes []string, codeToClass []int32, err error) {
	order := make([]int32, len(c.texts))
	for i := range order {
		order[i] = int32(i)
	}
	if numbers == nil {
		slices.SortFunc(order, func(a, b int32) int { return strings.Compare(c.texts[a], c.texts[b]) })
	} else {
		for i, v := range numbers {
			if c.task == Classification && v != math.Trunc(v) {
				return nil, nil, bad("for a number to predict use loss: mse; classes are names or whole numbers",
					"%s: %s is not a class", c.where(c.first[i]), clip(c.texts[i]))
			}
		}
		slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(numbers[a], numbers[b]) })
	}
	codeToClass = make([]int32, len(c.texts))
	for i, code := range order {
		if i == 0 || numbers == nil || numbers[code] != numbers[order[i-1]] {
			name := c.texts[code]
			if numbers != nil {
				name = strconv.FormatFloat(numbers[code], 'f', -1, 64)
			}
			classes = append(classes, name)
		}
		codeToClass[code] = int32(len(classes) - 1)
	}
	return classes, codeToClass, c.checkClasses(classes)
}

func (c *column) checkClasses(classes []string) error {
	switch {
	case len(classes) == 1:
		return bad("a classifier needs two classes or more; is the right column the target?",
			"%s: all rows are of one class, %q", c.where(-1), clip(classes[0]))
	case c.task == Binary && len(classes) > 2:
		return bad("for more than two classes use loss: cross_entropy",
			"%s: %d classes, bce_with_logits takes two", c.where(-1), len(classes))
	}
	return nil
}

// parseNumber reads a finite decimal number as float32.
func parseNumber(text string) (float32, *problem) {
	v, err := strconv.ParseFloat(text, 32)
	if err == nil && v-v == 0 && !hexadecimal(text) {
		return float32(v), nil
	}
	trimmed := strings.TrimSpace(text)
	if trimmed != text {
		return parseNumber(trimmed)
	}
	p := &problem{kind: notNumber, text: text}
	switch {
	case missing(text):
		p.kind = isMissing
	case err == nil && math.IsInf(v, 0):
		p.kind = notFinite
	case err != nil && math.IsInf(v, 0):
		p.kind = outOfRange
	case strings.Count(text, ",") == 1:
		if _, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64); err == nil {
			p.kind = decimalComma
		}
	}
	return 0, p
}

// parseFeature is parseNumber that takes true and false too, as pandas writes
// a column of booleans; Parquet's are 1 and 0 likewise.
func parseFeature(text string) (float32, *problem) {
	v, problem := parseNumber(text)
	if problem != nil && problem.kind == notNumber {
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "true":
			return 1, nil
		case "false":
			return 0, nil
		}
	}
	return v, problem
}

// hexadecimal tells the literals that strconv takes and data files do not mean.
func hexadecimal(number string) bool {
	return len(number) >= 3 && (number[1]|0x20 == 'x' || number[2]|0x20 == 'x')
}

// problem is why a text is no usable number.
type problem struct {
	kind problemKind
	text string
}

type problemKind int

const (
	notNumber problemKind = iota
	isMissing
	notFinite
	outOfRange
	decimalComma
)

// fault words the problem at a place; target says which hint suits.
func (p *problem) fault(where string, target bool) error {
	switch p.kind {
	case isMissing:
		if p.text == "" {
			return bad("fill in missing values or drop their rows", "%s: missing value", where)
		}
		return bad("fill in missing values or drop their rows", "%s: missing value %q", where, clip(p.text))
	case notFinite:
		return bad("drop the row or put a finite number there", "%s: %q is not finite", where, clip(p.text))
	case outOfRange:
		return bad("scale the column", "%s: %q is too large for float32", where, clip(p.text))
	case decimalComma:
		return bad("write decimals with a point, not a comma", "%s: %q is not a number", where, clip(p.text))
	}
	if target {
		return bad("to predict classes use loss: cross_entropy", "%s: %q is not a number", where, clip(p.text))
	}
	return bad("features are numbers: drop the column, or encode it, such as 0 and 1 for each value",
		"%s: %q is not a number", where, clip(p.text))
}

// missing reports the texts that stand for no value, as pandas reads them.
// None is not among them: it is a class name as good as others.
func missing(text string) bool {
	switch text {
	case "", "NaN", "nan", "NAN", "-nan", "-NaN", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NULL", "null":
		return true
	}
	return false
}
