package train

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"strconv"
	"unicode"
	"unicode/utf8"
)

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil && json.Valid([]byte(s))
}

// number is a float64 that a float32 can hold.
type number struct {
	p *float64
	bounds
}

func (v number) read(r *reader, n *node, at place) {
	if !r.want(n, numberNode, "a number", at) {
		return
	}
	x, err := strconv.ParseFloat(n.text, 64)
	if err != nil || math.IsInf(float64(float32(x)), 0) {
		r.add(at.path, "", "%s is too large: %s", at.name, clip(n.text))
		return
	}
	if v.check(r, x, at) {
		*v.p = x + 0 // -0 becomes 0
	}
}

func (v number) write(b *bytes.Buffer) { writeJSON(b, *v.p) }
func (v number) schema() *schema       { return v.describe(&schema{Type: "number"}) }

// integer is a whole number. 1e3 and 32.0 are whole, too, as JSON Schema has it.
type integer[T int | int64 | uint64] struct {
	p *T
	bounds
}

func (v integer[T]) read(r *reader, n *node, at place) {
	if !r.want(n, numberNode, "a whole number", at) {
		return
	}
	x, err := strconv.ParseFloat(n.text, 64)
	if err == nil && x != math.Trunc(x) {
		r.add(at.path, "", "expected a whole number, found %s", clip(n.text))
		return
	}
	if err == nil && !v.check(r, x, at) {
		return
	}
	whole, ok := parseWhole[T](n.text, x)
	if err != nil || !ok {
		r.add(at.path, "", "%s is too large: %s", at.name, clip(n.text))
		return
	}
	*v.p = whole
}

// parseWhole returns the integer of a literal, whose nearest float64 is x.
func parseWhole[T int | int64 | uint64](literal string, x float64) (T, bool) {
	if u, err := strconv.ParseUint(literal, 10, 64); err == nil {
		return T(u), u <= math.MaxInt64 || T(0)-1 > 0
	}
	if math.Abs(x) >= 1<<53 { // not every whole number there is a float64
		return 0, false
	}
	return T(int64(x)), true
}

func (v integer[T]) write(b *bytes.Buffer) { writeJSON(b, *v.p) }
func (v integer[T]) schema() *schema       { return v.describe(&schema{Type: "integer"}) }

// boolean is true or false; inverted, the variable holds the opposite.
type boolean struct {
	p        *bool
	inverted bool
}

func (v boolean) read(r *reader, n *node, at place) {
	if r.want(n, boolNode, "true or false", at) {
		*v.p = n.truth != v.inverted
	}
}

func (v boolean) write(b *bytes.Buffer) { writeJSON(b, *v.p != v.inverted) }
func (v boolean) schema() *schema       { return &schema{Type: "boolean"} }

// text is a string of printable characters.
type text struct {
	p    *string
	most int // characters
}

func (v text) read(r *reader, n *node, at place) {
	if !r.want(n, stringNode, "a string", at) {
		return
	}
	if utf8.RuneCountInString(n.text) > v.most {
		r.add(at.path, "", "%s must have at most %d characters", at.name, v.most)
		return
	}
	for _, c := range n.text {
		if !unicode.IsPrint(c) && !unicode.Is(unicode.Zs, c) {
			r.add(at.path, "", "%s must not contain the character %U", at.name, c)
			return
		}
	}
	*v.p = n.text
}

func (v text) write(b *bytes.Buffer) { b.Write(quoteJSON(*v.p)) }
func (v text) schema() *schema       { return &schema{Type: "string", MaxLength: &v.most} }

// filePath is an absolute path, cleaned.
type filePath struct{ p *string }

// maxPath is Linux's PATH_MAX.
const maxPath = 4096

func (v filePath) read(r *reader, n *node, at place) {
	var path string
	before := len(r.list)
	text{&path, maxPath}.read(r, n, at)
	switch {
	case len(r.list) > before:
	case path == "":
		r.add(at.path, "", "path must not be empty")
	case !filepath.IsAbs(path):
		r.add(at.path, "", "path must be absolute")
	default:
		*v.p = filepath.Clean(path)
	}
}

func (v filePath) write(b *bytes.Buffer) { b.Write(quoteJSON(*v.p)) }
func (v filePath) schema() *schema {
	return &schema{Type: "string", MinLength: ptr(1), MaxLength: ptr(maxPath), Description: "path of a file"}
}

// enum is one of a few names.
type enum[T ~string] struct {
	p     *T
	noun  string // what the names name, in messages
	names []T
}

func (v enum[T]) read(r *reader, n *node, at place) {
	if !r.want(n, stringNode, "a string", at) {
		return
	}
	for _, name := range v.names {
		if n.text == string(name) {
			*v.p = name
			return
		}
	}
	r.add(at.path, suggest(n.text, v.strings(), "one of"), "unknown %s %q", v.noun, clip(n.text))
}

func (v enum[T]) strings() []string {
	names := make([]string, len(v.names))
	for i, n := range v.names {
		names[i] = string(n)
	}
	return names
}

func (v enum[T]) write(b *bytes.Buffer) { b.Write(quoteJSON(string(*v.p))) }
func (v enum[T]) schema() *schema       { return &schema{Type: "string", Enum: v.strings()} }

// writeJSON appends a number or truth value, which JSON can always hold here.
func writeJSON(b *bytes.Buffer, x any) {
	js, err := json.Marshal(x)
	if err != nil {
		panic("train: a specification holds a number that JSON cannot: " + err.Error())
	}
	b.Write(js)
}
