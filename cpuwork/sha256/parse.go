package sha256

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io"
	"strings"
)

// A Checksum is a line of a checksum list.
type Checksum struct {
	Name string
	Sum  [Size]byte
}

// A parser reads the lines of one checksum list, in the formats that sha256sum
// --check takes: its own, that of --tag, and that of older BSD tools with a
// single blank.
type parser struct {
	// A list is either in GNU's format, with a blank or an asterisk before the
	// name, or has names that may begin with one. As sha256sum does, we decide by
	// the first line, so that names cannot be made up to change others' meaning.
	style style
}

type style int

const (
	undecided style = iota
	marked
	unmarked
)

// parse parses a line without its end. What is neither a checksum nor to be
// passed over (skip) is malformed.
func (p *parser) parse(line string) (c Checksum, skip, ok bool) {
	line = strings.TrimSuffix(line, "\r")
	if line == "" || line[0] == '#' {
		return c, true, true
	}
	line = strings.TrimLeft(line, " \t")
	line, escaped := strings.CutPrefix(line, `\`)
	if rest, found := strings.CutPrefix(line, "SHA256"); found {
		rest = strings.TrimPrefix(rest, " ")
		if rest, found = strings.CutPrefix(rest, "("); found {
			c, ok = parseTagged(rest, escaped)
			return c, false, ok
		}
	}
	c, ok = p.parsePlain(line, escaped)
	return c, false, ok
}

// parseTagged parses what follows "SHA256 (": a name, ") = " and the digest.
func parseTagged(line string, escaped bool) (c Checksum, ok bool) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return c, false
	}
	digest, found := strings.CutPrefix(strings.TrimLeft(line[end+1:], " \t"), "=")
	if !found || !parseDigest(&c, strings.TrimLeft(digest, " \t")) {
		return c, false
	}
	return c, setName(&c, line[:end], escaped)
}

// parsePlain parses a digest, one or two characters, and a name.
func (p *parser) parsePlain(line string, escaped bool) (c Checksum, ok bool) {
	const digits = 2 * Size
	if len(line) < digits+2 || !parseDigest(&c, line[:digits]) || (line[digits] != ' ' && line[digits] != '\t') {
		return c, false
	}
	name := line[digits+1:]
	if len(name) == 1 || (name[0] != ' ' && name[0] != '*') {
		if p.style == marked {
			return c, false
		}
		p.style = unmarked
	} else if p.style != unmarked {
		p.style = marked
		name = name[1:]
	}
	return c, setName(&c, name, escaped)
}

func parseDigest(c *Checksum, digits string) bool {
	if len(digits) != 2*Size {
		return false
	}
	_, err := hex.Decode(c.Sum[:], []byte(digits))
	return err == nil
}

func setName(c *Checksum, name string, escaped bool) bool {
	ok := true
	if escaped {
		name, ok = unescape(name)
	}
	c.Name = name
	return ok && name != "" && strings.IndexByte(name, 0) < 0
}

// maxLine is more than the longest name, escaped, and all that surrounds it.
const maxLine = 16 << 10

// checksums calls yield for each line of a list that is not passed over, with ok
// false where it is malformed, until that reports false.
func checksums(r io.Reader, yield func(c Checksum, ok bool) bool) error {
	var p parser
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		text := strings.TrimSuffix(string(line), "\n")
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		c, skip, ok := Checksum{}, false, false
		if !tooLong {
			c, skip, ok = p.parse(text)
		}
		if !skip && !yield(c, ok) {
			return nil
		}
		if err != nil {
			return nil // the end
		}
	}
}
