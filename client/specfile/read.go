package specfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of one file. They are far above any real specification, and low
// enough that the worst file is refused in about a second.
const (
	MaxFileBytes = 1 << 20
	maxTokens    = 200_000
	maxKeys      = 4_096   // of one document: the parser's time grows with their square
	maxDepth     = 64      // of nesting
	maxNodes     = 100_000 // after aliases are expanded
	maxText      = 4 << 20 // bytes, likewise
)

// Read reads the documents of a YAML file, separated by ---; each must be a
// mapping. Faults are [*Error] with the line and column they are at.
func Read(name string, r io.Reader) ([]*Node, error) {
	src, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	if len(src) > MaxFileBytes {
		return nil, &Error{Pos: Pos{File: name}, Message: "is larger than 1 MiB",
			Hint: "a specification names its data, it does not hold it"}
	}
	bodies, err := parse(name, string(src))
	if err != nil {
		return nil, err
	}
	var docs []*Node
	b := &builder{file: name}
	for _, body := range bodies {
		b.anchors = map[string]ast.Node{}
		n, err := b.build(body, 0)
		if err != nil {
			return nil, err
		}
		if n.Kind != Mapping {
			return nil, &Error{Pos: n.Pos, Message: "a specification is a mapping of keys and values",
				Hint: "weft help train shows one"}
		}
		docs = append(docs, n)
	}
	if len(docs) == 0 {
		return nil, &Error{Pos: Pos{File: name}, Message: "holds no specification", Hint: "weft help train shows one"}
	}
	return docs, nil
}

// Value reads the value of a flag: a plain scalar, or YAML's flow style where
// it begins with a bracket, a brace or a quote.
func Value(text string, pos Pos) (*Node, error) {
	if text == "" || !strings.ContainsRune(`[{"'`, rune(text[0])) {
		js, err := resolve(text)
		if err != nil {
			return nil, &Error{Pos: pos, Message: err.Error()}
		}
		return &Node{Text: js, Pos: pos}, nil
	}
	if len(text) > MaxFileBytes {
		return nil, &Error{Pos: pos, Message: "is larger than 1 MiB"}
	}
	bodies, err := parse("", text)
	if e, ok := err.(*Error); ok {
		e.Pos = pos
	}
	if err != nil {
		return nil, err
	}
	if len(bodies) != 1 {
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("%q is not one value", text)}
	}
	b := &builder{at: &pos, anchors: map[string]ast.Node{}}
	return b.build(bodies[0], 0)
}

// parse checks the limits that protect the parser, then parses, and returns
// the bodies of the documents that have one. A panic of the parser is an error
// here: what it reads comes from outside.
func parse(name, src string) (bodies []ast.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			bodies, err = nil, &Error{Pos: Pos{File: name}, Message: fmt.Sprintf("cannot be read as YAML: %v", p)}
		}
	}()
	tokens := lexer.Tokenize(src)
	if err := checkTokens(name, tokens); err != nil {
		return nil, err
	}
	for _, doc := range splitDocuments(tokens) {
		file, err := parser.Parse(doc, 0)
		if err != nil {
			return nil, syntaxError(name, err)
		}
		for _, d := range file.Docs {
			if d.Body != nil {
				bodies = append(bodies, d.Body)
			}
		}
	}
	return bodies, nil
}

// splitDocuments cuts tokens at --- and ..., and drops empty documents, of
// which the parser would drop the rest of the file, and directives.
func splitDocuments(tokens token.Tokens) []token.Tokens {
	var docs []token.Tokens
	var doc token.Tokens
	end := func() {
		if len(doc) > 0 && doc[0].Type != token.DirectiveType {
			docs = append(docs, doc)
		}
		doc = nil
	}
	for _, tk := range tokens {
		switch tk.Type {
		case token.DocumentHeaderType, token.DocumentEndType:
			end()
		case token.CommentType:
		default:
			doc = append(doc, tk)
		}
	}
	end()
	return docs
}

// checkTokens refuses what would overflow the parser's stack or its patience:
// it recurses for each bracket and each dash of a line, and compares each key
// with those before it.
func checkTokens(name string, tokens token.Tokens) error {
	refuse := func(tk *token.Token, message string) error {
		return &Error{Pos: position(name, tk), Message: message, Hint: "a specification is smaller than that"}
	}
	if len(tokens) > maxTokens {
		return refuse(tokens[maxTokens], fmt.Sprintf("more than %d words and signs", maxTokens))
	}
	var keys, flow, opened, line int
	for _, tk := range tokens {
		if tk.Position.Line != line {
			line, opened = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.DocumentHeaderType, token.DocumentEndType:
			keys = 0
		case token.MappingValueType:
			keys++
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			opened++
		}
		if keys > maxKeys {
			return refuse(tk, fmt.Sprintf("more than %d keys", maxKeys))
		}
		if flow > maxDepth || opened > maxDepth {
			return refuse(tk, fmt.Sprintf("nested deeper than %d", maxDepth))
		}
	}
	return nil
}

func position(name string, tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{File: name}
	}
	return Pos{File: name, Line: tk.Position.Line, Col: tk.Position.Column}
}

// syntaxError puts the parser's error into our form, with a hint for the
// mistakes that people make.
func syntaxError(name string, err error) error {
	e := &Error{Pos: Pos{File: name}, Message: err.Error()}
	if y, ok := err.(yaml.Error); ok {
		e.Pos, e.Message = position(name, y.GetToken()), y.GetMessage()
		if tk := y.GetToken(); tk != nil && strings.Contains(tk.Origin, "\t") && strings.Contains(e.Message,
			"cannot start any token") {
			e.Message, e.Hint = "a tab where only spaces may stand", "indent with spaces"
		}
	}
	if strings.Contains(e.Message, "already defined at") {
		e.Message = strings.NewReplacer("mapping key", "key",
			"already defined at [", "is already at line ", ":", ", column ", "]", "").Replace(e.Message)
	}
	return e
}

// unreadable words the error of something that could be opened and not read.
func unreadable(name string, err error) error {
	if errors.Is(err, syscall.EISDIR) {
		return &Error{Pos: Pos{File: name}, Message: "is a directory", Hint: "name a specification file in it"}
	}
	return fmt.Errorf("read %s: %w", name, err)
}
