package specfile

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kind says what a Node is.
type Kind int

// The kinds of nodes.
const (
	Scalar Kind = iota
	Mapping
	Sequence
)

// Node is a value of a specification with the place it was written at.
type Node struct {
	Kind    Kind
	Text    string   // scalar: its JSON
	Members []Member // mapping, in the order written
	Items   []*Node  // sequence
	Pos     Pos
}

// Member is one key of a mapping.
type Member struct {
	Key   string
	Pos   Pos // of the key
	Value *Node
}

// Pos is where something was written: in a file, or in a flag.
type Pos struct {
	File      string
	Line, Col int    // from 1; 0 in a flag
	Flag      string // "--sweep lr=-1"; "" in a file
}

func (p Pos) String() string {
	if p.Flag != "" {
		return p.Flag
	}
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Col)
}

// Error is a fault in what somebody wrote.
type Error struct {
	Pos     Pos
	Message string
	Hint    string
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Message }

// NewMapping returns an empty mapping.
func NewMapping(pos Pos) *Node { return &Node{Kind: Mapping, Pos: pos} }

// NewString returns a string scalar.
func NewString(s string, pos Pos) *Node { return &Node{Text: jsonString(s), Pos: pos} }

// NewNumber returns a whole-number scalar.
func NewNumber(n int64, pos Pos) *Node { return &Node{Text: strconv.FormatInt(n, 10), Pos: pos} }

// jsonString encodes s; HTML's characters stay as they are.
func jsonString(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string always encodes
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// JSON returns the node as JSON, keys in the order written.
func (n *Node) JSON() []byte { return n.appendJSON(nil) }

func (n *Node) appendJSON(b []byte) []byte {
	switch n.Kind {
	case Mapping:
		b = append(b, '{')
		for i, m := range n.Members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, jsonString(m.Key)...), ':'), m.Value.JSON()...)
		}
		return append(b, '}')
	case Sequence:
		b = append(b, '[')
		for i, it := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = it.appendJSON(b)
		}
		return append(b, ']')
	default:
		return append(b, n.Text...)
	}
}

// Clone returns a deep copy, so that one specification can become many.
func (n *Node) Clone() *Node {
	c := *n
	c.Members = make([]Member, len(n.Members))
	for i, m := range n.Members {
		m.Value = m.Value.Clone()
		c.Members[i] = m
	}
	c.Items = make([]*Node, len(n.Items))
	for i, it := range n.Items {
		c.Items[i] = it.Clone()
	}
	return &c
}

// Get returns the node at a path of keys and item numbers, or nil.
func (n *Node) Get(path ...string) *Node {
	for _, key := range path {
		if n = n.child(key); n == nil {
			return nil
		}
	}
	return n
}

// String returns a string scalar's value, or "".
func (n *Node) String() string {
	var s string
	if n == nil || json.Unmarshal([]byte(n.Text), &s) != nil {
		return ""
	}
	return s
}

func (n *Node) child(key string) *Node {
	switch n.Kind {
	case Mapping:
		for _, m := range n.Members {
			if m.Key == key {
				return m.Value
			}
		}
	case Sequence:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Items) {
			return n.Items[i]
		}
	}
	return nil
}

// Set puts value at a path, making the mappings on the way. A name alone
// where a mapping is needed, as in "optimizer: adam", becomes {name: adam}.
func (n *Node) Set(path []string, value *Node) error {
	value = value.Clone()
	for i, key := range path {
		last := i == len(path)-1
		if n.Kind == Scalar {
			if n.String() == "" && n.Text != "null" {
				return &Error{Pos: value.Pos, Message: fmt.Sprintf("%s has no keys", strings.Join(path[:i], "."))}
			}
			name := *n
			n.Kind, n.Text = Mapping, ""
			if name.Text != "null" {
				n.Members = []Member{{Key: "name", Pos: name.Pos, Value: &name}}
			}
		}
		at := n.child(key)
		switch {
		case at != nil && last:
			*at = *value
			n.rename(key, value.Pos)
		case at != nil:
			n = at
		case n.Kind == Sequence:
			return &Error{Pos: value.Pos, Message: fmt.Sprintf("%s has no item %q", strings.Join(path[:i], "."), key),
				Hint: fmt.Sprintf("its items are 0 to %d", len(n.Items)-1)}
		case last:
			n.Members = append(n.Members, Member{Key: key, Pos: value.Pos, Value: value})
		default:
			next := NewMapping(value.Pos)
			n.Members = append(n.Members, Member{Key: key, Pos: value.Pos, Value: next})
			n = next
		}
	}
	return nil
}

// rename moves a key's place to where its value was last set.
func (n *Node) rename(key string, pos Pos) {
	for i := range n.Members {
		if n.Members[i].Key == key {
			n.Members[i].Pos = pos
		}
	}
}

// Delete removes a key of a mapping.
func (n *Node) Delete(key string) {
	for i, m := range n.Members {
		if m.Key == key {
			n.Members = append(n.Members[:i:i], n.Members[i+1:]...)
			return
		}
	}
}

// Locate returns where a JSON pointer points to: the key's place for a member
// of a mapping, the value's otherwise. Where nothing is written at the
// pointer, it is the nearest thing around it. Key is the pointer with dots.
func (n *Node) Locate(pointer string) (pos Pos, key string) {
	pos = n.Pos
	var path []string
	if pointer != "" {
		path = strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for i, p := range path {
		path[i] = unescape.Replace(p)
	}
	for _, p := range path {
		switch n.Kind {
		case Mapping:
			for _, m := range n.Members {
				if m.Key == p {
					pos = m.Pos
				}
			}
		case Sequence:
			if it := n.child(p); it != nil {
				pos = it.Pos
			}
		}
		if n = n.child(p); n == nil {
			break
		}
	}
	return pos, strings.Join(path, ".")
}
