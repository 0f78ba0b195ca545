package primes

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/files"
)

// answers runs a job to its end and returns its lines by their items' names.
func answers(t *testing.T, s Spec, o batch.Options) (map[string]batch.Line, *batch.Summary) {
	t.Helper()
	l, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]batch.Line{}
	o.Dir = t.TempDir()
	sum, err := batch.Run(t.Context(), recorder{l, lines}, o)
	if err != nil {
		t.Fatal(err)
	}
	return lines, sum
}

// recorder is a load that keeps its lines.
type recorder struct {
	batch.Load
	lines map[string]batch.Line
}

func (r recorder) Answer(item batch.Named, result cpuwork.Result) (batch.Line, error) {
	line, err := r.Load.Answer(item, result)
	r.lines[line.Item] = line
	return line, err
}

func (r recorder) Resume(line batch.Line) error { return r.Load.(batch.Resumer).Resume(line) }

func TestJob(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "numbers"), []byte("4 5\r\n\n 6..7\t9x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Spec{
		Numbers: []string{"112272535095293", "1099726899285419", "0..131072", "-7", "18446744073709551616", "18446744073709551557", "",
			"-99999999999999999999", "-0"},
		Files: &files.Spec{Dir: dir, Paths: []files.Name{"numbers", "absent"}},
	}
	lines, sum := answers(t, s, batch.Options{})
	got := map[string]string{}
	for name, line := range lines {
		_, got[name], _ = Row(line)
	}
	want := map[string]string{
		"112272535095293":       "prime",
		"1099726899285419":      "no",
		"0..131071":             "12251 primes",
		"131072..131072":        "0 primes",
		"-7":                    "error: -7 is negative: primes are 2 and above",
		"-99999999999999999999": "error: -99999999999999999999 is negative: primes are 2 and above",
		"0":                     "no",
		"18446744073709551616":  "error: 18446744073709551616 has more than 64 bits",
		"18446744073709551557":  "prime",
		"":                      `error: "" is not a whole number`,
		"4":                     "no",
		"5":                     "prime",
		"6..7":                  "1 primes",
		"9x":                    `error: "9x" is not a whole number`,
		"absent":                "error: read: no such file or directory",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answers (-want +got):\n%s", d)
	}
	if sum.Items != 15 || sum.Failed != 6 || sum.Kind["primes"] != int64(12251+1+4-1) {
		t.Errorf("summary is %+v", sum)
	}
}

func TestFirstEndsTheJob(t *testing.T) {
	numbers := make([]string, 0, 2000)
	for i := range 2000 {
		numbers = append(numbers, big.NewInt(int64(i+2)*int64(i+2)).String()) // squares
	}
	numbers[50] = "1000003"
	for _, kind := range []cpuwork.Kind{cpuwork.Sequential, cpuwork.Goroutine} {
		t.Run(string(kind), func(t *testing.T) {
			s := Spec{Numbers: append(numbers, "0..18446744073709551615"), First: true} // would take for ever
			lines, sum := answers(t, s, batch.Options{Kind: kind, Options: cpuwork.Options{Stop: cpuwork.StopOnSuccess}})
			if !sum.Stopped || !lines["1000003"].OK || sum.Kind["first_prime"] != "1000003" {
				t.Errorf("it did not stop at the prime: %+v", sum)
			}
			if sum.Failed != 0 || len(sum.FirstFailed) != 0 || sum.OK != sum.Items {
				t.Errorf("composites count as failures: %+v", sum)
			}
		})
	}
}

func TestFirstOfARange(t *testing.T) {
	_, sum := answers(t, Spec{Numbers: []string{"1000000000000..18446744073709551615"}, First: true},
		batch.Options{Kind: cpuwork.Sequential, Options: cpuwork.Options{Stop: cpuwork.StopOnSuccess}})
	if sum.Kind["first_prime"] != "1000000000039" {
		t.Errorf("first prime is %v, want 1000000000039", sum.Kind["first_prime"])
	}
	_, sum = answers(t, Spec{Numbers: []string{"24..28", "32"}, First: true}, batch.Options{})
	if v, ok := sum.Kind["first_prime"]; !ok || v != nil || sum.Kind["not_prime"] != int64(2) || sum.Failed != 0 {
		t.Errorf("without a prime, the summary is %+v", sum)
	}
}

func TestRangesAreTheSameSpansWithList(t *testing.T) {
	lines, _ := answers(t, Spec{Numbers: []string{"131070..131080"}, List: true}, batch.Options{})
	if len(lines) != 2 {
		t.Fatalf("%d items, want 2: %v", len(lines), lines)
	}
	if d := cmp.Diff([]string{}, lines["131070..131071"].Output["list"]); d == "" {
		t.Error("131071 is missing from its span")
	}
	if d := cmp.Diff([]string{"131071"}, lines["131070..131071"].Output["list"]); d != "" {
		t.Error(d)
	}
	var l load
	l.spec.Numbers = []string{"131070..131080", "7", "x", "0..18446744073709551615"}
	if got, want := l.Count(), int64(2+1+1+1<<47); got != want {
		t.Errorf("Count is %d, want %d", got, want)
	}
}

// TestResumeCountsTheSame: lines that went through the result file count as they
// did at first.
func TestResumeCountsTheSame(t *testing.T) {
	s := Spec{Numbers: []string{"1..500000", "7", "8", "x"}}
	dir := t.TempDir()
	var kinds []map[string]any
	for range 2 {
		l, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := batch.Run(t.Context(), l, batch.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, sum.Kind)
		if err := os.Remove(filepath.Join(dir, batch.SummaryFile)); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(kinds[0], kinds[1]); d != "" || kinds[0]["primes"] != int64(41538+1) {
		t.Errorf("first run %v, second %v", kinds[0], kinds[1])
	}
}

func TestCheck(t *testing.T) {
	_, err := New(Spec{})
	want := "check primes: no numbers given\ntry: weft cpu primes 112272535095293 1..1000"
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestWorkerRefusesOtherItems(t *testing.T) {
	do, err := Work.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range [][]byte{nil, make([]byte, 7), append(make([]byte, 8), 1, 1, 1, 1, 1, 1, 1, 1), {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if _, err := do(t.Context(), item, nil); err == nil {
			t.Errorf("item %x was done", item)
		}
	}
	if _, err := Work.New([]byte("{")); err == nil {
		t.Error("parameters { were taken")
	}
	for _, answer := range [][]byte{nil, {2}, make([]byte, 16), append([]byte{0, 0, 0, 1}, make([]byte, 20)...)} {
		if _, err := ParseAnswer(answer); err == nil {
			t.Errorf("answer %x was taken", answer)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"97", "1..100", "-1", "5..3", "18446744073709551616", "..", "1...2", "+5", "1e9", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, isRange, problem := parse(text)
		from, to, found := strings.Cut(text, "..")
		if !found {
			to = from
		}
		lo, okLo := new(big.Int).SetString(from, 10)
		hi, okHi := new(big.Int).SetString(to, 10)
		valid := okLo && okHi && lo.IsUint64() && hi.IsUint64() && lo.Cmp(hi) <= 0 && !strings.ContainsAny(text, "+_")
		if valid != (problem == nil) || isRange != found {
			t.Fatalf("parse(%q) is %v, %v, %v", text, v, isRange, problem)
		}
		if valid && (v.lo != lo.Uint64() || v.hi != hi.Uint64()) {
			t.Errorf("parse(%q) is %v", text, v)
		}
		var joined []string
		if err := tokens(strings.NewReader(text), func(s string) bool { joined = append(joined, s); return true }); err != nil {
			t.Error(err)
		}
		for _, s := range joined {
			if s == "" || len(s) > maxToken || strings.ContainsAny(s, " \t\r\n") {
				t.Errorf("token %q of %q", s, text)
			}
		}
	})
}
