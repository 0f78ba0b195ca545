package specfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// builder turns a parsed document into nodes, expanding aliases within limits.
type builder struct {
	file    string
	at      *Pos                // overrides every position; nil: the file's
	anchors map[string]ast.Node // those complete so far, so that none holds itself
	nodes   int
	text    int
}

func (b *builder) pos(tk *token.Token) Pos {
	if b.at != nil {
		return *b.at
	}
	return position(b.file, tk)
}

func (b *builder) fail(n ast.Node, message, hint string) error {
	return &Error{Pos: b.pos(n.GetToken()), Message: message, Hint: hint}
}

func (b *builder) build(n ast.Node, depth int) (*Node, error) {
	b.nodes++
	if depth > maxDepth {
		return nil, b.fail(n, fmt.Sprintf("nested deeper than %d", maxDepth), "a specification is flatter than that")
	}
	if b.nodes > maxNodes || b.text > maxText {
		return nil, b.fail(n, "aliases expand to too much", "write the values out")
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		return b.mapping(v, v.Values, depth)
	case *ast.MappingValueNode:
		return b.mapping(v, []*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		out := &Node{Kind: Sequence, Pos: b.pos(v.GetToken())}
		for _, it := range v.Values {
			c, err := b.build(it, depth+1)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, c)
		}
		return out, nil
	case *ast.AnchorNode:
		out, err := b.build(v.Value, depth)
		if err == nil {
			b.anchors[v.Name.GetToken().Value] = v.Value
		}
		return out, err
	case *ast.AliasNode:
		target, err := b.alias(v)
		if err != nil {
			return nil, err
		}
		return b.build(target, depth+1)
	case *ast.TagNode:
		return nil, b.fail(n, "tags such as "+v.GetToken().Value+" mean nothing here",
			"quote a value to make it a string")
	case *ast.LiteralNode:
		return b.scalar(v, jsonString(v.Value.Value))
	case nil:
		return &Node{Text: "null"}, nil
	}
	tk := n.GetToken()
	if tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType {
		return b.scalar(n, jsonString(tk.Value))
	}
	js, err := resolve(tk.Value)
	if err != nil {
		return nil, b.fail(n, err.Error(), "")
	}
	return b.scalar(n, js)
}

func (b *builder) scalar(n ast.Node, js string) (*Node, error) {
	b.text += len(js)
	return &Node{Text: js, Pos: b.pos(n.GetToken())}, nil
}

func (b *builder) alias(v *ast.AliasNode) (ast.Node, error) {
	name := v.Value.GetToken().Value
	target, ok := b.anchors[name]
	if !ok {
		return nil, b.fail(v, fmt.Sprintf("alias *%s has no complete anchor before it", name),
			fmt.Sprintf("mark a value with &%s", name))
	}
	return target, nil
}

// mapping builds keys in order; those merged by << come after the mapping's
// own, which hide them.
func (b *builder) mapping(n ast.Node, values []*ast.MappingValueNode, depth int) (*Node, error) {
	out := &Node{Kind: Mapping, Pos: b.pos(n.GetToken())}
	if len(values) > 0 && values[0].Key != nil {
		out.Pos = b.pos(values[0].Key.GetToken())
	}
	seen := map[string]bool{}
	var merged []*Node
	for _, m := range values {
		c, err := b.build(m.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if m.Key.IsMergeKey() {
			if c.Kind != Mapping {
				return nil, b.fail(m.Value, "<< merges mappings only", "")
			}
			merged = append(merged, c)
			continue
		}
		key := m.Key.GetToken().Value
		if k, ok := m.Key.(*ast.MappingKeyNode); ok && k.Value != nil {
			key = k.Value.GetToken().Value
		}
		if seen[key] {
			return nil, b.fail(m.Key, fmt.Sprintf("key %q is there twice", key), "")
		}
		seen[key] = true
		b.text += len(key)
		out.Members = append(out.Members, Member{Key: key, Pos: b.pos(m.Key.GetToken()), Value: c})
	}
	for _, c := range merged {
		for _, m := range c.Members {
			if !seen[m.Key] {
				seen[m.Key] = true
				out.Members = append(out.Members, m)
			}
		}
	}
	return out, nil
}

// YAML 1.2's core schema, section 10.3.2: unlike the parser's own reading it
// takes 1e-3 for a number.
var (
	wholeNumber = regexp.MustCompile(`^[-+]?[0-9]+$`)
	basedNumber = regexp.MustCompile(`^(0o[0-7]+|0x[0-9a-fA-F]+)$`)
	realNumber  = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	notFinite   = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// maxDigits is how long a plain scalar may be to be looked at as a number.
const maxDigits = 400

// resolve returns the JSON of a plain scalar.
func resolve(s string) (string, error) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return "null", nil
	case "true", "True", "TRUE":
		return "true", nil
	case "false", "False", "FALSE":
		return "false", nil
	}
	if len(s) > maxDigits {
		return jsonString(s), nil
	}
	switch {
	case wholeNumber.MatchString(s):
		digits := strings.TrimLeft(strings.TrimLeft(s, "+-"), "0")
		if digits == "" {
			return "0", nil
		}
		if s[0] == '-' {
			return "-" + digits, nil
		}
		return digits, nil
	case basedNumber.MatchString(s):
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return "", fmt.Errorf("%s is too large a number", s)
		}
		return strconv.FormatUint(n, 10), nil
	case realNumber.MatchString(s):
		if json.Valid([]byte(s)) {
			return s, inRange(s)
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return "", inRange(s)
		}
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	case notFinite.MatchString(s):
		return "", fmt.Errorf("%s is not a finite number", s)
	}
	return jsonString(s), nil
}

// inRange refuses numbers that a 64-bit float cannot hold.
func inRange(s string) error {
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) || math.IsInf(f, 0) {
		return fmt.Errorf("%s is too large a number", s)
	}
	return err
}
