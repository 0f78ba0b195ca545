package fetch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"

	"weft/cpuwork"
)

// maxLine is the length of the longest line of a list, in bytes.
const maxLine = 64 << 10

// An Entry is one line of a list.
type Entry struct {
	Line int    // where it was, from 1
	URL  string // as written; only http and https, with a host
	Name string // to be written to, "" when the line names none
	// Failed, if not nil, is why nothing can be fetched for it.
	Failed *cpuwork.ItemError
}

// Parse reads a list: a URL a line, or URL<TAB>NAME. Lines end in LF, CRLF or
// NUL; empty ones and those that begin with # are passed over. A line that
// cannot be is an entry with Failed set; an error is that of reading r.
func Parse(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := &lineReader{r: bufio.NewReaderSize(r, maxLine)}
		for {
			line, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("read list: %w", err))
				return
			}
			entry, ok := parseLine(line.text)
			if line.cut {
				entry, ok = Entry{URL: clip(line.text), Failed: badURL("the line is longer than %d bytes", maxLine)}, true
			}
			entry.Line = line.number
			if ok && !yield(entry, nil) {
				return
			}
		}
	}
}

// line is one line without its end.
type line struct {
	text   string
	number int
	cut    bool // the rest of it was thrown away
}

// lineReader cuts a stream at every LF and NUL, in memory for one line.
type lineReader struct {
	r      *bufio.Reader
	number int
}

func (l *lineReader) next() (line, error) {
	var text []byte
	out := line{number: l.number + 1}
	for {
		// Peek gives what is buffered, reading only when that is nothing.
		if _, err := l.r.Peek(1); err != nil {
			if errors.Is(err, io.EOF) && (len(text) > 0 || out.cut) {
				break
			}
			return line{}, err
		}
		chunk, _ := l.r.Peek(l.r.Buffered())
		end := bytes.IndexAny(chunk, "\n\x00")
		take := chunk
		if end >= 0 {
			take = chunk[:end]
		}
		if room := maxLine - len(text); len(take) > room {
			out.cut = true
			text = append(text, take[:room]...)
		} else {
			text = append(text, take...)
		}
		if end >= 0 {
			_, _ = l.r.Discard(end + 1) // it is in the buffer
			break
		}
		_, _ = l.r.Discard(len(chunk))
	}
	l.number++
	if l.number == 1 {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	}
	out.text = string(bytes.TrimSuffix(text, []byte("\r")))
	return out, nil
}

// parseLine reads one line; false for one that is passed over.
func parseLine(text string) (Entry, bool) {
	address, name, named := strings.Cut(text, "\t")
	address = strings.Trim(address, " ")
	if strings.HasPrefix(address, "#") || address == "" && !named {
		return Entry{}, false
	}
	e := Entry{URL: address, Name: name}
	if _, failed := parseURL(address); failed != nil {
		e.Failed = failed
	} else if named {
		e.Failed = checkName(name)
	}
	return e, true
}

// parseURL is the URL of an item, or why there is nothing to fetch at it.
func parseURL(text string) (*url.URL, *cpuwork.ItemError) {
	u, err := url.Parse(text)
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err // without the URL, which may contain a password
		}
		return nil, badURL("not a URL: %v", err)
	}
	if u.Scheme == "" && u.Host == "" && u.Path != "" {
		failed := badURL("%s has no scheme", clip(text))
		failed.Hint = "https://" + clip(text)
		return nil, failed
	}
	if failed := checkURL(u); failed != nil {
		return nil, failed
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// checkURL refuses what cannot be fetched; also for the targets of redirects.
func checkURL(u *url.URL) *cpuwork.ItemError {
	if u.Scheme != "http" && u.Scheme != "https" {
		return badURL("%q is not fetched, only http and https", clip(u.Scheme))
	}
	if u.Hostname() == "" || u.Opaque != "" {
		return badURL("there is no host in it")
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return badURL("the host contains %q", clip(u.Host))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return badURL("%q is not a port", clip(port))
		}
	}
	return nil
}

func badURL(format string, args ...any) *cpuwork.ItemError {
	return cpuwork.Failf(CodeBadURL, "an address such as https://example.com/file", format, args...)
}

// clip makes text from outside short and printable, for a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// redacted is the text of a URL as it is shown: without a password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		if before, after, found := strings.Cut(text, "@"); found && err != nil {
			scheme, _, _ := strings.Cut(before, "//")
			return clip(scheme + "//xxxxx@" + after)
		}
		return text
	}
	return u.Redacted()
}
