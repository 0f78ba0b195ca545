package train

import "bytes"

// pair is a height and a width: [h, w], or one number for both.
type pair struct {
	p *[2]int
	bounds
}

func (v pair) read(r *reader, n *node, at place) {
	if n.kind == numberNode {
		var x int
		before := len(r.list)
		integer[int]{&x, v.bounds}.read(r, n, at)
		if len(r.list) == before {
			*v.p = [2]int{x, x}
		}
		return
	}
	if n.kind != arrayNode || len(n.items) != 2 {
		r.add(at.path, "", "expected a whole number or [height, width], found %s", n.describe())
		return
	}
	for i := range n.items {
		integer[int]{&v.p[i], v.bounds}.read(r, &n.items[i], at.item(i))
	}
}

func (v pair) write(b *bytes.Buffer) { writeJSON(b, *v.p) }
func (v pair) schema() *schema {
	side := v.describe(&schema{Type: "integer"})
	return &schema{AnyOf: []*schema{
		side,
		{Type: "array", Items: side, MinItems: ptr(2), MaxItems: ptr(2)},
	}}
}

// betas are Adam's two decay rates.
type betas struct{ p *[2]float64 }

func (v betas) read(r *reader, n *node, at place) {
	if n.kind != arrayNode || len(n.items) != 2 {
		r.add(at.path, "as [0.9, 0.999]", "expected an array of two numbers, found %s", n.describe())
		return
	}
	for i := range n.items {
		number{&v.p[i], upTo(0, 1)}.read(r, &n.items[i], at.item(i))
	}
}

func (v betas) write(b *bytes.Buffer) { writeJSON(b, *v.p) }
func (v betas) schema() *schema {
	return &schema{Type: "array", MinItems: ptr(2), MaxItems: ptr(2),
		Items: upTo(0, 1).describe(&schema{Type: "number"})}
}

// shape is the shape of one sample.
type shape struct{ p *[]int }

// maxShapeRank bounds a sample's dimensions, maxWidth the size of each.
const (
	maxShapeRank = 4
	maxWidth     = 1 << 24
)

func (v shape) read(r *reader, n *node, at place) {
	if n.kind != arrayNode {
		r.add(at.path, "as [1, 28, 28]", "expected an array of whole numbers, found %s", n.describe())
		return
	}
	if len(n.items) < 1 || len(n.items) > maxShapeRank {
		r.add(at.path, "", "%s must have 1 to %d numbers", at.name, maxShapeRank)
		return
	}
	before := len(r.list)
	dims := make([]int, len(n.items))
	for i := range n.items {
		integer[int]{&dims[i], between(1, maxWidth)}.read(r, &n.items[i], at.item(i))
	}
	switch {
	case len(r.list) > before:
	case !validShape(dims):
		r.add(at.path, "", "%s must have at most %d elements", at.name, maxSampleElems)
	default:
		*v.p = dims
	}
}

func (v shape) write(b *bytes.Buffer) { writeJSON(b, *v.p) }
func (v shape) schema() *schema {
	return &schema{Type: "array", MinItems: ptr(1), MaxItems: ptr(maxShapeRank),
		Items: between(1, maxWidth).describe(&schema{Type: "integer"})}
}
