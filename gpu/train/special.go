package train

import (
	"bytes"
	"regexp"
	"strconv"
	"time"
)

// device is auto, cpu, gpu, or gpu:N.
type device struct{ p *string }

var devicePattern = regexp.MustCompile(`^(auto|cpu|gpu(:(0|[1-9][0-9]{0,2}))?)$`)

func (v device) read(r *reader, n *node, at place) {
	if !r.want(n, stringNode, "a string", at) {
		return
	}
	if !devicePattern.MatchString(n.text) {
		r.add(at.path, suggest(n.text, []string{"auto", "cpu", "gpu", "gpu:0"}, "one of"),
			"unknown device %q", clip(n.text))
		return
	}
	*v.p = n.text
}

func (v device) write(b *bytes.Buffer) { b.Write(quoteJSON(*v.p)) }
func (v device) schema() *schema {
	return &schema{Type: "string", Pattern: devicePattern.String()}
}

// seconds is a duration: a number of seconds, or text as 30s or 1m30s.
type seconds struct {
	p *float64
	bounds
}

var durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(h|ms|m|s))+$`)

func (v seconds) read(r *reader, n *node, at place) {
	if n.kind != stringNode {
		if r.want(n, numberNode, `a duration such as "30s" or a number of seconds`, at) {
			number(v).read(r, n, at)
		}
		return
	}
	d, err := time.ParseDuration(n.text)
	if err != nil || !durationPattern.MatchString(n.text) {
		r.add(at.path, `write it as "30s", "2m" or "1h30m"`, "%q is not a duration", clip(n.text))
		return
	}
	if v.check(r, d.Seconds(), at) {
		*v.p = d.Seconds()
	}
}

func (v seconds) write(b *bytes.Buffer) { writeJSON(b, *v.p) }
func (v seconds) schema() *schema {
	return &schema{AnyOf: []*schema{
		v.describe(&schema{Type: "number"}),
		{Type: "string", Pattern: durationPattern.String()},
	}}
}

// column is a column's name, or its index from 0.
type column struct{ p *string }

func (v column) read(r *reader, n *node, at place) {
	switch n.kind {
	case stringNode:
		text{v.p, 1024}.read(r, n, at)
	case numberNode:
		var index int
		before := len(r.list)
		integer[int]{&index, between(0, 1<<24)}.read(r, n, at)
		if len(r.list) == before {
			*v.p = strconv.Itoa(index)
		}
	default:
		r.want(n, stringNode, "a column's name or index", at)
	}
}

func (v column) write(b *bytes.Buffer) { b.Write(quoteJSON(*v.p)) }
func (v column) schema() *schema {
	return &schema{AnyOf: []*schema{
		{Type: "string", MaxLength: ptr(1024)},
		between(0, 1<<24).describe(&schema{Type: "integer"}),
	}}
}

// outputs is a whole number, or auto for AutoWidth.
type outputs struct{ p *int }

func (v outputs) integer() integer[int] { return integer[int]{v.p, between(1, maxWidth)} }

func (v outputs) read(r *reader, n *node, at place) {
	switch {
	case n.kind == stringNode && n.text == "auto":
		*v.p = AutoWidth
	case r.want(n, numberNode, "a whole number or auto", at):
		v.integer().read(r, n, at)
	}
}

func (v outputs) write(b *bytes.Buffer) {
	if *v.p == AutoWidth {
		b.WriteString(`"auto"`)
		return
	}
	v.integer().write(b)
}

func (v outputs) schema() *schema {
	return &schema{AnyOf: []*schema{v.integer().schema(), {Const: "auto"}}}
}
