package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a document, well above any specification that could be run.
const (
	maxDocument = 1 << 20 // bytes
	maxDepth    = 32
	maxValues   = 1 << 14
)

// nodeKind is one of JSON's types.
type nodeKind int

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	arrayNode
	objectNode
)

// node is a JSON value as it stands in a document.
type node struct {
	kind  nodeKind
	truth bool
	text  string   // a string, or a number's literal
	keys  []string // an object's, in order; each once
	items []node   // an array's elements, or the values of keys
}

// get returns the value of key, nil when there is none.
func (n *node) get(key string) *node {
	for i, k := range n.keys {
		if k == key {
			return &n.items[i]
		}
	}
	return nil
}

// describe names a value in a message: the string "fast".
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "null"
	case boolNode:
		return fmt.Sprint(n.truth)
	case numberNode:
		return "the number " + clip(n.text)
	case stringNode:
		return fmt.Sprintf("the string %q", clip(n.text))
	case arrayNode:
		return "an array"
	default:
		return "an object"
	}
}

// clip shortens text from outside for a message.
func clip(s string) string {
	const most = 64
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// decoder turns text into nodes, within the limits.
type decoder struct {
	*json.Decoder
	values int
	faults *faults
}

// errTooBig ends a decode whose fault is already recorded.
var errTooBig = errors.New("document is over a limit")

// decode reads a whole document. What is wrong with its syntax is recorded in
// f, and then the node must not be used.
func decode(js []byte, f *faults) (node, bool) {
	if len(js) > maxDocument {
		f.add("", "", "the specification has %d bytes, over the limit of %d", len(js), maxDocument)
		return node{}, false
	}
	if !utf8.Valid(js) {
		f.add("", "", "the specification is not UTF-8 text")
		return node{}, false
	}
	d := &decoder{Decoder: json.NewDecoder(bytes.NewReader(js)), faults: f}
	d.UseNumber()
	n, err := d.value("", 0)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return n, len(f.list) == 0
		}
		f.add("", "", "not JSON: something follows the specification at byte %d", d.InputOffset())
		return n, false
	}
	if !errors.Is(err, errTooBig) {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		f.add("", "", "not JSON: %v, at byte %d", err, d.InputOffset())
	}
	return n, false
}

func (d *decoder) value(path string, depth int) (node, error) {
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	if d.values++; d.values > maxValues {
		d.faults.add("", "", "the specification has more than %d values", maxValues)
		return node{}, errTooBig
	}
	switch t := t.(type) {
	case json.Delim:
		if depth == maxDepth {
			d.faults.add("", "", "the specification is nested more than %d deep", maxDepth)
			return node{}, errTooBig
		}
		if t == '[' {
			return d.array(path, depth)
		}
		return d.object(path, depth)
	case bool:
		return node{kind: boolNode, truth: t}, nil
	case json.Number:
		return node{kind: numberNode, text: t.String()}, nil
	case string:
		return node{kind: stringNode, text: t}, nil
	default:
		return node{kind: nullNode}, nil
	}
}

func (d *decoder) array(path string, depth int) (node, error) {
	n := node{kind: arrayNode}
	for d.More() {
		item, err := d.value(fmt.Sprintf("%s/%d", path, len(n.items)), depth+1)
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
	}
	_, err := d.Token()
	return n, err
}

func (d *decoder) object(path string, depth int) (node, error) {
	n := node{kind: objectNode}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return n, err
		}
		key, _ := t.(string) // an object's keys are strings, or Token fails
		at := path + "/" + escape(key)
		item, err := d.value(at, depth+1)
		if err != nil {
			return n, err
		}
		if seen[key] {
			d.faults.add(at, "keep one of them", "key %q is given twice", clip(key))
			continue
		}
		seen[key] = true
		n.keys = append(n.keys, key)
		n.items = append(n.items, item)
	}
	_, err := d.Token()
	return n, err
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// escape writes a key as a JSON pointer's token (RFC 6901).
func escape(key string) string { return pointerEscapes.Replace(key) }
