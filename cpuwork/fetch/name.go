package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"weft/cpuwork"
)

// Limits of names, in bytes. A file's name leaves room for what the partial
// file's has around it.
const (
	maxName = 220
	maxPath = 1024
)

// A Template makes the names of files from their URLs. It is text with any of
//
//	{base}   the last element of the path; index.html when there is none
//	{stem}   base without its extension
//	{ext}    base's extension with its dot, or nothing
//	{path}   the whole path, with its directories
//	{host}   the host, and its port if it has one: example.com_8080
//	{query}  the query without its question mark
//	{index}  the place in the input, from 0
//
// Directories are made as needed. What cannot be in a name becomes "_": control
// and other characters that do not print, what is not UTF-8, backslashes, a dot
// in front; "." and ".." as elements are left out. An element that is too long
// is cut and ends in a part of its digest.
type Template struct{ parts []part }

// part is text, or the name of a field.
type part struct {
	text  string
	field bool
}

// ParseTemplate reads a template; "" is "{base}".
func ParseTemplate(text string) (Template, error) {
	if text == "" {
		text = "{base}"
	}
	var t Template
	if len(text) > maxPath {
		return t, fmt.Errorf("the template is longer than %d bytes", maxPath)
	}
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if before != "" {
			t.parts = append(t.parts, part{text: before})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		switch name {
		case "base", "stem", "ext", "path", "host", "query", "index":
		default:
			closed = false
		}
		if !closed {
			return t, fmt.Errorf("{%s} is not base, stem, ext, path, host, query or index", clip(name))
		}
		t.parts = append(t.parts, part{text: name, field: true})
		text = after
	}
	return t, t.check()
}

// check refuses a template of which some text cannot be in a name.
func (t Template) check() error {
	for _, p := range t.parts {
		if !p.field && (strings.ContainsFunc(p.text, unprintable) || strings.Contains(p.text, `\`)) {
			return fmt.Errorf("%q cannot be in a name", p.text)
		}
		if !p.field && (strings.HasPrefix(p.text, "/") && p == t.parts[0] || strings.Contains("/"+p.text+"/", "/../")) {
			return fmt.Errorf("%q leaves the directory", p.text)
		}
	}
	return nil
}

// Of is the name for a URL at a place of the input: relative, clean, and in
// the directory it is relative to.
func (t Template) Of(u *url.URL, index int64) string {
	// Elements are unescaped one by one, so that %2F separates nothing.
	var elements []string
	for e := range strings.SplitSeq(u.EscapedPath(), "/") {
		if plain, err := url.PathUnescape(e); err == nil {
			e = plain
		}
		elements = append(elements, strings.ReplaceAll(e, "/", "_"))
	}
	base := elements[len(elements)-1]
	if mended := mendElement(base); mended == "" {
		base = "index.html"
		elements[len(elements)-1] = base
	}
	ext := path.Ext(base)
	var name strings.Builder
	for _, p := range t.parts {
		text := p.text
		if p.field {
			switch p.text {
			case "base":
				text = base
			case "stem":
				text = strings.TrimSuffix(base, ext)
			case "ext":
				text = ext
			case "path":
				text = strings.Join(elements, "/")
			case "host":
				text = strings.NewReplacer(":", "_", "[", "", "]", "").Replace(strings.ToLower(u.Host))
			case "query":
				text = strings.ReplaceAll(u.RawQuery, "/", "_")
			case "index":
				text = strconv.FormatInt(index, 10)
			}
		}
		name.WriteString(text)
	}
	return mend(name.String())
}

// mend makes a name of any text.
func mend(text string) string {
	var kept []string
	for e := range strings.SplitSeq(text, "/") {
		if e = mendElement(e); e != "" {
			kept = append(kept, e)
		}
	}
	if len(kept) == 0 {
		return "index.html"
	}
	name := strings.Join(kept, "/")
	if len(name) > maxPath {
		return shorten(strings.ReplaceAll(name, "/", "_"))
	}
	return name
}

// mendElement makes one element of a name; "" for one that is left out.
func mendElement(e string) string {
	if e == "." || e == ".." {
		return ""
	}
	e = strings.Map(func(r rune) rune {
		if unprintable(r) || r == '\\' || r == '/' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(e, "_"))
	if strings.HasPrefix(e, ".") {
		e = "_" + e[1:] // hidden files are ours
	}
	if len(e) > maxName {
		e = shorten(e)
	}
	return e
}

// shorten cuts a name that is too long; different names stay different.
func shorten(e string) string {
	sum := sha256.Sum256([]byte(e))
	tail := "-" + hex.EncodeToString(sum[:8])
	if ext := path.Ext(e); len(ext) <= 16 {
		tail += ext
	}
	cut := maxName - len(tail)
	for cut > 0 && !utf8.RuneStart(e[cut]) {
		cut--
	}
	return e[:cut] + tail
}

// unprintable are the characters that have no business in a name: control
// characters, those that turn the direction of writing, what was not UTF-8.
func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// checkName refuses a name that a list gives and that cannot be: it is not
// mended, for it would not be the one that was asked for.
func checkName(name string) *cpuwork.ItemError {
	bad := func(format string, args ...any) *cpuwork.ItemError {
		return cpuwork.Failf(CodeBadName, "a relative path of printable characters, such as images/cat.jpg", format, args...)
	}
	switch {
	case name == "":
		return bad("the name is empty")
	case len(name) > maxPath:
		return bad("the name is longer than %d bytes", maxPath)
	case strings.HasPrefix(name, "/"):
		return bad("%q is an absolute path", clip(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable):
		return bad("%q contains characters that do not print", clip(name))
	}
	for e := range strings.SplitSeq(name, "/") {
		switch {
		case e == "..":
			return bad("%q leaves the directory", clip(name))
		case e == "" || e == ".":
			return bad("%q is not a clean path", clip(name))
		case len(e) > maxName:
			return bad("an element of %q is longer than %d bytes", clip(name), maxName)
		case strings.HasPrefix(e, ".") && (strings.HasSuffix(e, partSuffix) || strings.HasSuffix(e, noteSuffix)):
			return bad("%q is what a partial file is called", clip(name))
		}
	}
	return nil
}
