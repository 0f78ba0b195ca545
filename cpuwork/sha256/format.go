package sha256

import (
	"encoding/hex"
	"strings"
)

// AppendLine appends the line that sha256sum (GNU coreutils 9) prints for a
// file: the digest, two blanks and the name or, with tag, "SHA256 (name) =
// digest". A name with a backslash, newline or carriage return is escaped and
// the line begins with a backslash. With zero, it is not, and the line ends with
// a zero byte.
func AppendLine(out []byte, name string, sum [Size]byte, tag, zero bool) []byte {
	end := byte('\n')
	if zero {
		end = 0
	} else if escaped, yes := escape(name); yes {
		out, name = append(out, '\\'), escaped
	}
	if tag {
		out = append(append(append(out, "SHA256 ("...), name...), ") = "...)
		return append(hex.AppendEncode(out, sum[:]), end)
	}
	out = append(hex.AppendEncode(out, sum[:]), "  "...)
	return append(append(out, name...), end)
}

// appendVerdict appends the line that sha256sum --check prints for a file, which
// escapes names with a newline only.
func appendVerdict(out []byte, name, verdict string) []byte {
	if strings.Contains(name, "\n") {
		out, name = append(out, '\\'), escaper.Replace(name)
	}
	return append(append(append(append(out, name...), ": "...), verdict...), '\n')
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)

func escape(name string) (string, bool) {
	if !strings.ContainsAny(name, "\\\n\r") {
		return name, false
	}
	return escaper.Replace(name), true
}

// unescape undoes escape; a backslash before anything else makes it fail.
func unescape(s string) (string, bool) {
	var name strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			name.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", false
		}
		switch s[i] {
		case '\\':
			name.WriteByte('\\')
		case 'n':
			name.WriteByte('\n')
		case 'r':
			name.WriteByte('\r')
		default:
			return "", false
		}
	}
	return name.String(), true
}
