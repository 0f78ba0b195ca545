package train

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// key is one key of an object in the specification's table.
type key struct {
	name string
	doc  string // for the schema and the reference; one sentence
	val  value
	need bool        // has no default
	hint string      // what to write when it is missing
	omit func() bool // true: not part of the document as it stands
	vary bool        // its default depends on other keys, and doc says how
}

func (k *key) left() bool { return k.omit != nil && k.omit() }

// object is a JSON object with known keys.
type object struct {
	keys  []key
	extra *schema // constraints between keys, for the schema
}

func (o object) read(r *reader, n *node, at place) {
	if !r.want(n, objectNode, "an object", at) {
		return
	}
	o.unknown(r, n, at, nil)
	o.values(r, n, at)
}

// values reads the known keys in the table's order, so that later ones may
// depend on earlier ones.
func (o object) values(r *reader, n *node, at place) {
	for i := range o.keys {
		k := &o.keys[i]
		child := at.key(k.name)
		item := n.get(k.name)
		switch {
		case item != nil && !(k.need && item.kind == nullNode):
			r.given[child.path] = true
			k.val.read(r, item, child)
		case k.need:
			r.add(at.path, k.hint, "%s is missing", k.name)
		}
	}
}

// unknown records keys that are not in the table; elsewhere says where a key
// belongs if not here.
func (o object) unknown(r *reader, n *node, at place, elsewhere func(string) string) {
	names := o.names()
	for _, k := range n.keys {
		if slices.Contains(names, k) {
			continue
		}
		if r.full() {
			return // finding hints for thousands of keys would take seconds
		}
		hint := ""
		if elsewhere != nil {
			hint = elsewhere(k)
		}
		if hint == "" {
			hint = o.within(k)
		}
		if hint == "" {
			hint = suggest(k, names, "keys here")
		}
		r.add(at.key(k).path, hint, "unknown key %q", clip(k))
	}
}

func (o object) names() []string {
	names := make([]string, len(o.keys))
	for i := range o.keys {
		names[i] = o.keys[i].name
	}
	return names
}

// within finds a key that stands one object too high: lr belongs under
// optimizer.
func (o object) within(name string) string {
	for i := range o.keys {
		inner, ok := o.keys[i].val.(interface{ names() []string })
		if !ok || nearest(name, o.names()) != "" {
			continue
		}
		if target := aliases[name]; slices.Contains(inner.names(), name) || slices.Contains(inner.names(), target) {
			if !slices.Contains(inner.names(), name) {
				name = target
			}
			return fmt.Sprintf("%s belongs under %s", name, o.keys[i].name)
		}
	}
	return ""
}

func (o object) write(b *bytes.Buffer) {
	b.WriteByte('{')
	first := true
	for i := range o.keys {
		k := &o.keys[i]
		if k.left() {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.Write(quoteJSON(k.name))
		b.WriteByte(':')
		k.val.write(b)
	}
	b.WriteByte('}')
}

func (o object) schema() *schema {
	s := &schema{}
	if o.extra != nil {
		*s = *o.extra
	}
	s.Type = "object"
	s.AdditionalProperties = ptr(false)
	for i := range o.keys {
		k := &o.keys[i]
		ks := k.val.schema()
		ks.Description = k.doc
		if k.need {
			s.Required = append(s.Required, k.name)
		} else if !k.left() && !k.vary {
			ks.Default = written(k.val)
		}
		s.Properties = append(s.Properties, property{k.name, ks})
	}
	return s
}

func written(v value) []byte {
	var b bytes.Buffer
	v.write(&b)
	return b.Bytes()
}

// choice is a named algorithm: its name alone, or an object with the name and
// the algorithm's own keys.
type choice struct {
	noun     string // what the names name, in messages
	name     func() string
	set      func(string) // sets the name and the defaults of its keys
	variants []variant
}

// variant is one algorithm of a choice; its keys are bound to the choice's
// variables, and only its own are written.
type variant struct {
	name, doc string
	keys      []key
}

func (c choice) read(r *reader, n *node, at place) {
	switch n.kind {
	case stringNode:
		if v := c.pick(r, n, at); v != nil {
			v.object().values(r, &node{kind: objectNode}, at)
		}
	case objectNode:
		v := c.find(c.name())
		if name := n.get("name"); name != nil {
			if v = c.pick(r, name, at.key("name")); v == nil {
				return
			}
		}
		keys := v.object()
		keys.keys = append([]key{{name: "name"}}, keys.keys...)
		keys.unknown(r, n, at, func(k string) string { return c.owners(k, v.name) })
		v.object().values(r, n, at)
	default:
		r.want(n, objectNode, fmt.Sprintf("the name of %s %s or an object", article(c.noun), c.noun), at)
	}
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an"
	}
	return "a"
}

// pick makes the variant that n names the current one.
func (c choice) pick(r *reader, n *node, at place) *variant {
	if !r.want(n, stringNode, "a string", at) {
		return nil
	}
	v := c.find(n.text)
	if v == nil {
		names := make([]string, len(c.variants))
		for i := range c.variants {
			names[i] = c.variants[i].name
		}
		r.add(at.path, suggest(n.text, names, "one of"), "unknown %s %q", c.noun, clip(n.text))
		return nil
	}
	c.set(v.name)
	return v
}

func (c choice) find(name string) *variant {
	for i := range c.variants {
		if c.variants[i].name == name {
			return &c.variants[i]
		}
	}
	return nil
}

// owners says which variants have a key that this one lacks.
func (c choice) owners(key, current string) string {
	var owners []string
	for _, v := range c.variants {
		if slices.Contains(v.object().names(), key) {
			owners = append(owners, v.name)
		}
	}
	if len(owners) == 0 {
		return ""
	}
	return fmt.Sprintf("%s belongs to %s; the %s here is %s", key, andList(owners), c.noun, current)
}

// andList joins names: a, b and c.
func andList(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// names lists the keys of all variants.
func (c choice) names() []string {
	var names []string
	for _, v := range c.variants {
		for _, k := range v.object().names() {
			if !slices.Contains(names, k) {
				names = append(names, k)
			}
		}
	}
	return names
}

func (v *variant) object() object { return object{keys: v.keys} }

func (c choice) write(b *bytes.Buffer) {
	name := c.name()
	keys := append([]key{{name: "name", val: enum[string]{p: &name}}}, c.find(name).keys...)
	object{keys: keys}.write(b)
}

func (c choice) schema() *schema {
	current := c.name()
	defer c.set(current)
	names := &schema{Type: "string"}
	all := &schema{AnyOf: []*schema{names}}
	for i := range c.variants {
		v := &c.variants[i]
		c.set(v.name)
		s := v.object().schema()
		if len(s.Required) == 0 {
			names.Enum = append(names.Enum, v.name)
		}
		s.Description = v.doc
		s.Properties = append(properties{{"name", &schema{Const: v.name}}}, s.Properties...)
		if v.name != current {
			s.Required = append([]string{"name"}, s.Required...)
		}
		all.AnyOf = append(all.AnyOf, s)
	}
	return all
}
