package dataset

import "fmt"

// npyHeader is what an NPY header says.
type npyHeader struct {
	descr   string
	fortran bool
	shape   []int64
}

// parseNPYHeader reads the header, a Python dictionary literal, by a grammar
// of just what numpy.save writes: strings, True, False and tuples of integers.
func parseNPYHeader(text string) (h npyHeader, err error) {
	p := &literal{rest: text}
	seen := map[string]bool{}
	p.expect('{')
	for p.err == nil && !p.accept('}') {
		key := p.str()
		p.expect(':')
		switch {
		case seen[key]:
			p.fail("key %q twice", clip(key))
		case key == "descr":
			if p.peek() == '[' {
				p.fail("it has named fields (a structured array)")
			}
			h.descr = p.str()
		case key == "fortran_order":
			h.fortran = p.boolean()
		case key == "shape":
			h.shape = p.tuple()
		default:
			p.fail("key %q is not known", clip(key))
		}
		seen[key] = true
		if !p.accept(',') && p.peek() != '}' {
			p.fail("no comma after %q", clip(key))
		}
	}
	if p.peek(); p.rest != "" {
		p.fail("text after the dictionary")
	}
	if p.err == nil && len(seen) != 3 {
		p.fail("descr, fortran_order and shape are needed")
	}
	return h, p.err
}

// literal scans a Python literal; the first fault sticks.
type literal struct {
	rest string
	err  error
}

func (p *literal) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.rest = ""
}

// peek returns the next byte that is not white space, 0 at the end.
func (p *literal) peek() byte {
	for len(p.rest) > 0 {
		switch p.rest[0] {
		case ' ', '\n', '\t', '\r':
			p.rest = p.rest[1:]
		default:
			return p.rest[0]
		}
	}
	return 0
}

func (p *literal) accept(b byte) bool {
	if p.peek() != b {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *literal) expect(b byte) {
	if p.err == nil && !p.accept(b) {
		p.fail("no %q where one is due", b)
	}
}

// str reads a quoted string; escapes do not occur in headers and are refused.
func (p *literal) str() string {
	quote := p.peek()
	if quote != '\'' && quote != '"' {
		p.fail("no string where one is due")
		return ""
	}
	for i := 1; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			p.fail("an escape in a string")
			return ""
		case quote:
			s := p.rest[1:i]
			p.rest = p.rest[i+1:]
			return s
		}
	}
	p.fail("a string is not closed")
	return ""
}

func (p *literal) boolean() bool {
	p.peek()
	for _, word := range []string{"True", "False"} {
		if len(p.rest) >= len(word) && p.rest[:len(word)] == word {
			p.rest = p.rest[len(word):]
			return word == "True"
		}
	}
	p.fail("no True or False where one is due")
	return false
}

// tuple reads a tuple of numbers; old versions of Python write 3L for 3.
func (p *literal) tuple() []int64 {
	shape := []int64{}
	p.expect('(')
	for p.err == nil && !p.accept(')') {
		shape = append(shape, p.integer())
		if len(shape) > 64 {
			p.fail("more than 64 dimensions")
		}
		if !p.accept(',') && p.peek() != ')' {
			p.fail("no comma in the shape")
		}
	}
	return shape
}

func (p *literal) integer() int64 {
	p.peek()
	n, i := int64(0), 0
	for ; i < len(p.rest) && p.rest[i] >= '0' && p.rest[i] <= '9'; i++ {
		if i >= 18 {
			p.fail("a dimension is too large")
			return 0
		}
		n = 10*n + int64(p.rest[i]-'0')
	}
	if i == 0 {
		p.fail("no number where one is due")
		return 0
	}
	p.rest = p.rest[i:]
	p.accept('L')
	return n
}
