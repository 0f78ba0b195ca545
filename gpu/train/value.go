package train

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// value is one place in the specification's table, bound to a variable of a
// [Spec]. Reading, writing and the JSON Schema come from the same value, so
// they cannot disagree.
type value interface {
	// read sets the variable from n or records what is wrong with it.
	read(r *reader, n *node, at place)
	// write appends the variable as JSON, with every default in it.
	write(b *bytes.Buffer)
	// schema describes what read takes. The variable holds the default.
	schema() *schema
}

// place is where a value stands: its JSON pointer, and the name that messages
// give it.
type place struct{ path, name string }

func (p place) key(name string) place {
	return place{path: p.path + "/" + escape(name), name: name}
}

// item is an array's element, which has the array's name in messages.
func (p place) item(i int) place {
	return place{path: fmt.Sprintf("%s/%d", p.path, i), name: p.name}
}

// reader collects the faults of a document and where it gave a value.
type reader struct {
	faults
	given map[string]bool // JSON pointers of keys that the document has
}

// clean reports whether nothing at or under a key is at fault, so that a rule
// between keys may look at it.
func (r *reader) clean(path string) bool {
	return !slices.ContainsFunc(r.list, func(e FieldError) bool {
		return e.Path == path || strings.HasPrefix(e.Path, path+"/")
	})
}

// want checks a node's type and records what was wanted instead.
func (r *reader) want(n *node, kind nodeKind, what string, at place) bool {
	if n.kind == kind {
		return true
	}
	hint := ""
	switch {
	case n.kind == nullNode:
		hint = "leave the key out for its default"
	case n.kind == stringNode && kind == numberNode && isNumber(n.text):
		hint = "write " + clip(n.text) + " without quotes"
	case n.kind == stringNode && kind == boolNode && (n.text == "true" || n.text == "false"):
		hint = "write " + n.text + " without quotes"
	}
	r.add(at.path, hint, "expected %s, found %s", what, n.describe())
	return false
}
