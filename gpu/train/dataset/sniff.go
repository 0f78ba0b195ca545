package dataset

import (
	"bytes"
	"strconv"
	"strings"
)

// sniffDelimiter finds what separates the fields of the lines in sample: the
// candidate that occurs equally often in most lines, then the most frequent.
// Candidates inside quotes do not count.
func sniffDelimiter(sample []byte) rune {
	best, bestLines, bestFields := ',', 0, 0
	for _, candidate := range []rune{',', ';', '\t'} {
		lines, fields := consistency(sample, byte(candidate))
		if lines > bestLines || lines == bestLines && fields > bestFields {
			best, bestLines, bestFields = candidate, lines, fields
		}
	}
	return best
}

// consistency returns how many of the first lines hold delimiter as often as
// the first line does, and how often that is. Zero occurrences score zero.
func consistency(sample []byte, delimiter byte) (lines, perLine int) {
	const most = 20
	quoted, n, seen := false, 0, 0
	end := func() {
		if seen == 0 {
			perLine = n
		}
		if n == perLine && n > 0 {
			lines++
		}
		seen, n = seen+1, 0
	}
	started := false
	for _, b := range sample {
		switch {
		case b == '"':
			quoted = !quoted
		case b == delimiter && !quoted:
			n++
		case b == '\n' && !quoted:
			if started {
				end()
			}
			started = false
			if seen == most {
				return lines, perLine
			}
			continue
		}
		started = started || b != '\r'
	}
	if started && seen == 0 { // a single line without end
		end()
	}
	return lines, perLine
}

// isHeader reports whether the first record names the columns. A text above a
// number does; without any such column, a first record of texts only does.
// Texts that stand for missing values are no evidence. target is a column name
// the user expects, which settles it.
func isHeader(first, second []string, target string) bool {
	names := 0
	for i, field := range first {
		field = strings.TrimSpace(field)
		if field != "" && field == target && !isNumber(field) {
			return true
		}
		if missing(field) || isNumber(field) {
			continue
		}
		names++
		if i < len(second) && isNumber(second[i]) {
			return true
		}
	}
	return names == len(first)
}

func isNumber(field string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
	return err == nil
}

// notText says what a file is that cannot be CSV, or "".
func notText(sample []byte) string {
	switch {
	case bytes.HasPrefix(sample, []byte("\xff\xfe")), bytes.HasPrefix(sample, []byte("\xfe\xff")):
		return "UTF-16 text"
	case bytes.HasPrefix(sample, []byte("\x93NUMPY")):
		return "a NumPy array"
	case bytes.HasPrefix(sample, []byte("PAR1")):
		return "a Parquet file"
	case bytes.HasPrefix(sample, []byte("PK\x03\x04")):
		return "a zip archive"
	case bytes.IndexByte(sample, 0) >= 0:
		return "binary data"
	}
	return ""
}
