package fetch

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func parse(t testing.TB, text string) []Entry {
	t.Helper()
	var got []Entry
	for e, err := range Parse(iotest.OneByteReader(strings.NewReader(text))) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	return got
}

func TestParse(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	got := parse(t, "\ufeffhttp://a.test/1\r\n\n  # not this\nhttp://a.test/2\tname two\x00https://b.test\n"+
		"a.test/3\nftp://a.test\nhttp://a.test/"+long+"\nhttp://\nhttp://a.test:0/\nhttp://a.test:99999\nhttp://a b/\nhttp://a.test\t\n\tname\n"+
		"http://a.test/x\t/etc/passwd\nhttp://last.test")
	type brief struct {
		Line            int
		URL, Name, Code string
	}
	var short []brief
	for _, e := range got {
		b := brief{Line: e.Line, URL: e.URL, Name: e.Name}
		if e.Failed != nil {
			b.Code = e.Failed.Code
			if e.Failed.Message == "" || e.Failed.Hint == "" {
				t.Errorf("%q says %+v", e.URL, e.Failed)
			}
		}
		if len(b.URL) > 100 {
			b.URL = "long"
		}
		short = append(short, b)
	}
	want := []brief{
		{1, "http://a.test/1", "", ""},
		{4, "http://a.test/2", "name two", ""},
		{5, "https://b.test", "", ""},
		{6, "a.test/3", "", CodeBadURL},
		{7, "ftp://a.test", "", CodeBadURL},
		{8, "http://a.test/" + long[:80-len("http://a.test/")] + "…", "", CodeBadURL},
		{9, "http://", "", CodeBadURL},
		{10, "http://a.test:0/", "", CodeBadURL},
		{11, "http://a.test:99999", "", CodeBadURL},
		{12, "http://a b/", "", CodeBadURL},
		{13, "http://a.test", "", CodeBadName},
		{14, "", "name", CodeBadURL},
		{15, "http://a.test/x", "/etc/passwd", CodeBadName},
		{16, "http://last.test", "", ""},
	}
	if diff := cmp.Diff(want, short); diff != "" {
		t.Error(diff)
	}
	if hint := got[3].Failed.Hint; hint != "https://a.test/3" {
		t.Errorf("hint %q", hint)
	}
	broken := errors.New("broken")
	var last error
	for _, err := range Parse(iotest.ErrReader(broken)) {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("an error of the reader: %v", last)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("http://a.test/1\nhttp://b.test\tname\x00#\n\n")
	f.Add("\ufeff\thttp://[::1]:80/%2e%2e/x\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		line := 0
		for _, e := range parse(t, text) {
			if e.Line <= line {
				t.Fatalf("line %d after %d", e.Line, line)
			}
			line = e.Line
			if e.Failed != nil {
				continue
			}
			u, failed := parseURL(e.URL)
			if failed != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
				t.Fatalf("passed %q", e.URL)
			}
			if strings.ContainsAny(e.URL, "\n\x00\t") {
				t.Fatalf("a line of several: %q", e.URL)
			}
			safe(t, e.Name)
		}
	})
}

// safe fails unless a name is one that can be written to; "" is none.
func safe(t interface{ Fatalf(string, ...any) }, name string) {
	if name == "" {
		return
	}
	if !filepath.IsLocal(name) || path.Clean(name) != name || !utf8.ValidString(name) || len(name) > maxPath {
		t.Fatalf("unsafe name %q", name)
	}
	for e := range strings.SplitSeq(name, "/") {
		if e == "" || len(e) > maxName || strings.ContainsFunc(e, unprintable) {
			t.Fatalf("unsafe element %q of %q", e, name)
		}
		if len(path.Base(partName(e))) > 255 {
			t.Fatalf("%q leaves no room for its partial file", e)
		}
	}
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct{ template, url, want string }{
		{"", "http://a.test/x/y.tar.gz?q=1", "y.tar.gz"},
		{"", "http://a.test", "index.html"},
		{"", "http://a.test/x/", "index.html"},
		{"", "http://a.test/..", "index.html"},
		{"", "http://a.test/%2e%2e", "index.html"},
		{"", "http://a.test/..%2f..%2fetc%2fpasswd", "_._.._etc_passwd"},
		{"", "http://a.test/a%00b%0Ac%1B%5Cd", "a_b_c__d"},
		{"", "http://a.test/%E2%80%AEgpj.exe", "_gpj.exe"},
		{"", "http://a.test/%ff%fe", "_"},
		{"", "http://a.test/.bashrc", "_bashrc"},
		{"", "http://a.test/caf%C3%A9.txt", "café.txt"},
		{"{host}/{path}", "http://A.test:8080/x/../y/z", "a.test_8080/x/y/z"},
		{"{host}/{path}", "http://[::1]:8080/x/", "__1_8080/x/index.html"},
		{"{index}-{stem}{ext}", "http://a.test/x.jpg", "7-x.jpg"},
		{"{stem}-{query}{ext}", "http://a.test/x.jpg?a=../../b", "x-a=.._.._b.jpg"},
		{"{query}", "http://a.test/x", "index.html"},
		{"{query}/{base}", "http://a.test/x?..", "x"},
	} {
		tpl, err := ParseTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got := tpl.Of(u, 7)
		if got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.template, c.url, got, c.want)
		}
		safe(t, got)
	}
	for _, bad := range []string{"{", "{}", "{name}", "{base", "/x/{base}", "../{base}", "a\n{base}", `a\{base}`, strings.Repeat("x", 5000)} {
		if _, err := ParseTemplate(bad); err == nil {
			t.Errorf("template %q was taken", clip(bad))
		}
	}
	u := &url.URL{Scheme: "http", Host: "a.test", Path: "/" + strings.Repeat("é", 500) + ".html"}
	tpl, _ := ParseTemplate("")
	long := tpl.Of(u, 0)
	safe(t, long)
	u.Path += "?"
	u.Path = strings.Replace(u.Path, ".html?", "è.html", 1)
	if other := tpl.Of(u, 0); other == long || path.Ext(long) != ".html" {
		t.Errorf("%q and %q", long, other)
	}
}

// Whatever a URL is, and whatever the template, the name stays in the directory.
func TestNamesAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var template strings.Builder
		for _, p := range rapid.SliceOf(rapid.SampledFrom([]string{"{base}", "{stem}", "{ext}", "{path}", "{host}", "{query}", "{index}", "/", ".", "x"})).Draw(t, "template") {
			template.WriteString(p)
		}
		tpl, err := ParseTemplate(template.String())
		if err != nil {
			t.Skip(err)
		}
		u := &url.URL{Scheme: "http", Host: rapid.String().Draw(t, "host"), Path: "/" + rapid.String().Draw(t, "path"), RawQuery: rapid.String().Draw(t, "query")}
		name := tpl.Of(u, rapid.Int64Min(0).Draw(t, "index"))
		safe(t, name)
		if failed := checkName(name); failed != nil {
			t.Fatalf("a made name is refused: %s", failed.Message)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("/..%2f../%00/x?..")
	f.Fuzz(func(t *testing.T, rest string) {
		u, failed := parseURL("http://a.test/" + rest)
		if failed != nil {
			t.Skip()
		}
		for _, template := range []string{"", "{host}/{path}", "{query}/{stem}/{ext}"} {
			tpl, err := ParseTemplate(template)
			if err != nil {
				t.Fatal(err)
			}
			safe(t, tpl.Of(u, 0))
		}
	})
}

func TestGivenNames(t *testing.T) {
	for _, name := range []string{"a", "a/b.c", ".bashrc", "a b", "ü", strings.Repeat("x", maxName)} {
		if failed := checkName(name); failed != nil {
			t.Errorf("%q: %s", name, failed.Message)
		}
	}
	for _, name := range []string{
		"", "/", "/a", "..", "a/..", "../a", "a//b", "a/", "./a", "a\nb", "a\x00", "a\u202eb", "\xff", strings.Repeat("x", maxName+1),
		strings.Repeat("x/", 600) + "x", "." + "a" + partSuffix, "d/.a" + noteSuffix, "a\tb",
	} {
		if failed := checkName(name); failed == nil || failed.Code != CodeBadName {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, " 7 ": 7 * time.Second, "Sat, 01 Mar 2025 12:01:30 GMT": 90 * time.Second,
		"Saturday, 01-Mar-25 12:00:10 GMT": 10 * time.Second, "Sat Mar  1 12:00:20 2025": 20 * time.Second,
		"Sat, 01 Mar 2025 11:00:00 GMT": 0, "99999999999999999999": 1<<63 - 1, "9223372037": 1<<63 - 1,
		"": -1, "-5": -1, "1.5": -1, "soon": -1, "+3": -1,
	} {
		got, ok := retryAfter(value, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v %v, want %v", value, got, ok, want)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("bytes 0-9/10", "120")
	f.Add("bytes 5-5/*", "Sat, 01 Mar 2025 12:01:30 GMT")
	f.Fuzz(func(t *testing.T, span, after string) {
		if first, last, total, ok := contentRange(span); ok && (first < 0 || last < first || total >= 0 && last >= total || total < -1) {
			t.Fatalf("%q: %d-%d/%d", span, first, last, total)
		}
		if d, ok := retryAfter(after, time.Unix(1e9, 0)); ok && d < 0 {
			t.Fatalf("%q: %v", after, d)
		}
		v := validatorsOf(http.Header{"Etag": {span}, "Last-Modified": {after}, "Date": {after}})
		if v.LastModified != "" || v.ETag != "" && !strings.HasPrefix(v.ETag, `"`) {
			t.Fatalf("%+v", v)
		}
	})
}

func TestContentRange(t *testing.T) {
	for value, want := range map[string][3]int64{"bytes 0-9/10": {0, 9, 10}, "bytes 5-9/*": {5, 9, -1}, "BYTES 3-3/4": {3, 3, 4}} {
		first, last, total, ok := contentRange(value)
		if got := [3]int64{first, last, total}; !ok || got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	for _, value := range []string{"", "bytes", "bytes */10", "bytes 0-9", "bytes 9-0/10", "bytes 0-10/10", "items 0-9/10", "bytes -1-9/10", "bytes 0-9/+10", "bytes 0-9/-1", "bytes 0-99999999999999999999/*"} {
		if _, _, _, ok := contentRange(value); ok {
			t.Errorf("%q was taken", value)
		}
	}
}
