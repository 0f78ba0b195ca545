package sha256

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/files"
	"weft/cpuwork/sha256/multi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// awkward are names that lists have trouble with.
var awkward = []string{
	"plain", "with blank", " leading", "*star", `back\slash`, "new\nline", "carriage\rreturn", "ends in cr\r",
	"\xff\xfe not utf-8", "(paren) = x", `\leading`, "ünïcode",
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree makes a directory of awkward files, some larger than a buffer.
func tree(t *testing.T) (dir string, names []files.Name) {
	t.Helper()
	dir = t.TempDir()
	for i, name := range awkward {
		write(t, filepath.Join(dir, name), bytes.Repeat([]byte{byte(i)}, i*i*i*400))
		names = append(names, files.Name(name))
	}
	return dir, names
}

func run(t *testing.T, s Spec, o batch.Options) *batch.Summary {
	t.Helper()
	l, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	sum, err := batch.Run(t.Context(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// theirs runs sha256sum, the reference, where there is one.
func theirs(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("there is no sha256sum")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	return string(out), err
}

func TestOutputIsSha256sums(t *testing.T) {
	dir, names := tree(t)
	for _, flags := range [][]string{{}, {"--zero"}, {"--tag"}, {"--tag", "--zero"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			s := Spec{Files: files.Spec{Dir: dir, Paths: names}, Output: filepath.Join(t.TempDir(), "sums")}
			for _, f := range flags {
				s.Zero, s.Tag = s.Zero || f == "--zero", s.Tag || f == "--tag"
			}
			sum := run(t, s, batch.Options{})
			want, err := theirs(t, dir, append(append(flags, "--"), awkward...)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, s.Output); got != want {
				t.Errorf("output is\n%q\nwant\n%q", got, want)
			}
			if sum.OK != int64(len(names)) || sum.Bytes == 0 {
				t.Errorf("summary is %+v", sum)
			}
		})
	}
}

// TestCheckAgreesWithSha256sum checks what sha256sum wrote, and it what we wrote,
// with the same verdicts in both formats.
func TestCheckAgreesWithSha256sum(t *testing.T) {
	dir, names := tree(t)
	for _, flags := range [][]string{{}, {"--tag"}} {
		list, err := theirs(t, dir, append(append(flags, "--"), awkward...)...)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "sums"), []byte(list+"# a comment\n\nrubbish\n"))
		write(t, filepath.Join(dir, "plain"), []byte("changed"))
		if err := os.Remove(filepath.Join(dir, "*star")); err != nil {
			t.Fatal(err)
		}
		for _, quiet := range []bool{false, true} {
			s := Spec{
				Files: files.Spec{Dir: dir, Paths: []files.Name{"sums"}}, Verify: true, Quiet: quiet,
				Output: filepath.Join(t.TempDir(), "verdicts"),
			}
			args := []string{"--check", "sums"}
			if quiet {
				args = append(args, "--quiet")
			}
			sum := run(t, s, batch.Options{})
			want, err := theirs(t, dir, args...)
			if err == nil {
				t.Error("sha256sum liked the changed file")
			}
			if got := read(t, s.Output); got != want {
				t.Errorf("verdicts are\n%s\nwant\n%s", got, want)
			}
			if sum.Failed != 2 || sum.Kind["mismatched"] != int64(1) || sum.Kind["malformed_lines"] != int64(1) ||
				sum.Kind["verified"] != int64(len(names)-2) {
				t.Errorf("summary is %+v", sum)
			}
		}
		write(t, filepath.Join(dir, "plain"), nil)
		write(t, filepath.Join(dir, "*star"), bytes.Repeat([]byte{3}, 27*400))
	}
	s := Spec{Files: files.Spec{Dir: dir, Paths: names}, Output: filepath.Join(dir, "sums")}
	run(t, s, batch.Options{})
	if out, err := theirs(t, dir, "--check", "--strict", "sums"); err != nil {
		t.Errorf("sha256sum --check: %v\n%s", err, out)
	}
}

func TestIgnoreMissingAndStrict(t *testing.T) {
	dir, _ := tree(t)
	write(t, filepath.Join(dir, "sums"), []byte(fmt.Sprintf("%x  plain\n%x  absent\nrubbish\n", sha256.Sum256(nil), sha256.Sum256(nil))))
	lists := files.Spec{Dir: dir, Paths: []files.Name{"sums"}}
	sum := run(t, Spec{Files: lists, Verify: true, IgnoreMissing: true}, batch.Options{})
	if sum.Failed != 0 || sum.Kind["verified"] != int64(1) || sum.Kind["missing_ignored"] != int64(1) {
		t.Errorf("with absent files ignored, the summary is %+v", sum)
	}
	sum = run(t, Spec{Files: lists, Verify: true, Strict: true}, batch.Options{})
	if sum.Failed != 2 || sum.FirstFailed[0].Error == nil {
		t.Errorf("with strict, the summary is %+v", sum)
	}
	write(t, filepath.Join(dir, "none"), []byte("rubbish\n"))
	sum = run(t, Spec{Files: files.Spec{Dir: dir, Paths: []files.Name{"none"}}, Verify: true}, batch.Options{})
	if sum.Failed != 1 || sum.FirstFailed[0].Error.Code != "no_checksums" {
		t.Errorf("for a list without checksums, the summary is %+v", sum)
	}
	write(t, filepath.Join(dir, "gone"), []byte(fmt.Sprintf("%x  absent\n", sha256.Sum256(nil))))
	l, err := New(Spec{Files: files.Spec{Dir: dir, Paths: []files.Name{"gone"}}, Verify: true, IgnoreMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = batch.Run(t.Context(), l, batch.Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "no file was verified\ntry:") {
		t.Errorf("with no file at all, the error is %v", err)
	}
}

// TestResume: a job whose first life ended in the midst writes the same output.
func TestResume(t *testing.T) {
	dir, names := tree(t)
	names = append(names, "absent")
	for _, kind := range []cpuwork.Kind{cpuwork.Sequential, cpuwork.Goroutine} {
		s := Spec{Files: files.Spec{Dir: dir, Paths: names}, Output: filepath.Join(t.TempDir(), "sums")}
		whole := s
		whole.Output += ".whole"
		run(t, whole, batch.Options{Kind: kind})
		o := batch.Options{Kind: kind, Dir: t.TempDir()}
		o.Chunk = 1
		l, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := batch.Run(ctx, &stopper{load: l.(*load), after: 5, cancel: cancel}, o); err == nil {
			t.Fatal("the first life came to its end")
		}
		sum := run(t, s, o)
		if sum.Resumed == 0 || sum.Items != int64(len(names)) || sum.Failed != 1 {
			t.Errorf("%s: summary is %+v", kind, sum)
		}
		if got, want := read(t, s.Output), read(t, whole.Output); got != want {
			t.Errorf("%s: output is\n%q\nwant\n%q", kind, got, want)
		}
	}
}

// stopper is a load whose job is cancelled after some answers.
type stopper struct {
	*load
	after  int
	cancel func()
}

func (s *stopper) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	if s.after--; s.after == 0 {
		s.cancel()
	}
	return s.load.Answer(item, r)
}

// hash gives one batch of paths to a worker.
func hash(t *testing.T, ctx context.Context, p string, paths ...string) ([]Answer, []error) {
	t.Helper()
	do, err := Work.NewBatch([]byte(p))
	if err != nil {
		t.Fatal(err)
	}
	in, out, errs := make([][]byte, len(paths)), make([][]byte, len(paths)), make([]error, len(paths))
	for i, path := range paths {
		in[i] = request{path: path}.encode()
	}
	do(ctx, in, out, errs)
	answers := make([]Answer, len(paths))
	for i := range out {
		if errs[i] == nil {
			if answers[i], err = ParseAnswer(out[i]); err != nil {
				t.Errorf("%s: %v", paths[i], err)
			}
		}
	}
	return answers, errs
}

func code(err error) string {
	var item *cpuwork.ItemError
	if !errors.As(err, &item) {
		return ""
	}
	return item.Code
}

func TestWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ok"), []byte("abc"))
	paths := []string{filepath.Join(dir, "absent"), dir, fifo, "/dev/null", filepath.Join(dir, "ok"), filepath.Join(dir, "ok", "below"), "/proc/self/mem"}
	answers, errs := hash(t, t.Context(), "", paths...)
	for i, want := range []string{"not_found", "is_directory", "not_regular", "not_regular", "", "unreadable", "unreadable"} {
		if got := code(errs[i]); got != want {
			t.Errorf("%s: code %q (%v), want %q", paths[i], got, errs[i], want)
		}
	}
	if answers[4].Sum != sha256.Sum256([]byte("abc")) || answers[4].Bytes != 3 || answers[4].Changed {
		t.Errorf("answer about the file between them is %+v", answers[4])
	}
	// The kernel says these are empty, and they are not.
	if answers, errs := hash(t, t.Context(), "", "/proc/version"); errs[0] != nil || answers[0].Bytes == 0 || answers[0].Changed {
		t.Errorf("/proc/version: %+v, %v", answers[0], errs[0])
	}
}

func TestPipesWhenAskedFor(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("weft"), 100_000)
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(fifo, content, 0) }() // opens once somebody reads
	answers, errs := hash(t, t.Context(), `{"special":true}`, fifo)
	if err := errors.Join(errs[0], <-wrote); err != nil || answers[0].Sum != sha256.Sum256(content) {
		t.Errorf("answer is %+v, %v", answers[0], err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, errs := hash(t, ctx, `{"special":true}`, fifo); !errors.Is(errs[0], context.Canceled) {
		t.Errorf("a pipe without a writer, cancelled: %v", errs[0])
	}
}

// TestCancelledWhileReading: a pipe whose writer says nothing does not keep a
// worker that is told to stop.
func TestCancelledWhileReading(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err == nil {
			_, err = w.Write([]byte("x"))
		}
		if err != nil {
			t.Error(err)
		}
		cancel()
		<-ctx.Done()
		t.Cleanup(func() { _ = w.Close() })
	}()
	if _, errs := hash(t, ctx, `{"special":true}`, fifo, fifo, fifo); !errors.Is(errs[0], context.Canceled) {
		t.Errorf("error is %v, want cancelled", errs[0])
	}
}

func TestChangedWhileRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growing")
	write(t, path, make([]byte, 3*bufferSize))
	s, err := open(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	s.buf = make([]byte, bufferSize)
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, bufferSize+1); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.close(); !changed || err != nil {
		t.Errorf("shortened: changed is %v, %v", changed, err)
	}
	if s, err = open(t.Context(), path, false); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.close(); !changed || err != nil {
		t.Errorf("written to: changed is %v, %v", changed, err)
	}
}

// TestListsInTwoStyles: which names a list means does not change on the way.
func TestListsInTwoStyles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", " a", "b"} {
		write(t, filepath.Join(dir, name), nil)
	}
	one, two := fmt.Sprintf("%x ", sha256.Sum256(nil)), fmt.Sprintf("%x  ", sha256.Sum256(nil))
	for _, list := range []string{
		two + "a\n" + one + "b\n", one + "b\n" + two + "a\n", one + "b\n" + two + "b\n", two + "a\n" + two[:64] + "\tb\n", two + "\n" + two + "a\n",
	} {
		write(t, filepath.Join(dir, "sums"), []byte(list))
		s := Spec{Files: files.Spec{Dir: dir, Paths: []files.Name{"sums"}}, Verify: true, Output: filepath.Join(dir, "verdicts")}
		run(t, s, batch.Options{})
		want, _ := theirs(t, dir, "--check", "sums") // its verdicts count, not its exit
		if got := read(t, s.Output); got != want {
			t.Errorf("list\n%sverdicts are\n%swant\n%s", list, got, want)
		}
	}
}

// TestItemsStop: who stops listening as the job is cancelled is told nothing more.
func TestItemsStop(t *testing.T) {
	dir, names := tree(t)
	l, err := New(Spec{Files: files.Spec{Dir: dir, Paths: names}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range l.Items(ctx) {
		cancel()
		break
	}
	for _, err := range l.Items(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("items of a cancelled job: %v", err)
		}
	}
}

// TestBuffersAreUsedAgain: a worker has as many as there are lanes, however many
// files it reads.
func TestBuffersAreUsedAgain(t *testing.T) {
	dir, _ := tree(t)
	h := &fileHasher{}
	in := make([][]byte, 100)
	for i := range in {
		in[i] = request{path: filepath.Join(dir, awkward[i%len(awkward)])}.encode()
	}
	h.batch(t.Context(), in, make([][]byte, len(in)), make([]error, len(in)))
	if len(h.free) == 0 || len(h.free) > multi.Lanes() {
		t.Errorf("%d buffers are left after 100 files, %d lanes", len(h.free), multi.Lanes())
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir, names := tree(t)
	out := t.TempDir()
	l, err := New(Spec{Files: files.Spec{Dir: dir, Paths: names}, Output: filepath.Join(out, "sums")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := batch.Run(ctx, &stopper{load: l.(*load), after: 3, cancel: cancel}, batch.Options{Dir: t.TempDir()}); err == nil {
		t.Error("the job came to its end")
	}
	if err := l.(*load).Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Mkdir(filepath.Join(out, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err = New(Spec{Files: files.Spec{Dir: dir, Paths: names}, Output: filepath.Join(out, "taken")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Run(t.Context(), l, batch.Options{Dir: t.TempDir()}); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSpecIsChecked(t *testing.T) {
	in := files.Spec{Paths: []files.Name{"x"}}
	for want, s := range map[string]Spec{
		"check files: none given\ntry: name files, or directories with --recursive": {},
		"check sha256: output \"out/\" is a directory\ntry: name a file in it":      {Files: in, Output: "out/"},
		"check sha256: --zero and --tag say how digests are written, not how they are checked\n" +
			"try: leave them out; both formats are recognized": {Files: in, Verify: true, Zero: true},
		"check sha256: --quiet, --ignore-missing and --strict belong to --check\ntry: add --check": {Files: in, Quiet: true},
	} {
		if _, err := New(s); err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	_, err := New(Spec{Files: in, Output: filepath.Join(t.TempDir(), "absent", "sums")})
	if err == nil || !strings.Contains(err.Error(), "try: an output in a directory that exists") {
		t.Errorf("error is %v", err)
	}
}

func TestBlobs(t *testing.T) {
	do, err := Blob.NewBatch(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2*Blob.Batch; n++ {
		in, out, errs := make([][]byte, n), make([][]byte, n), make([]error, n)
		for i := range in {
			in[i] = bytes.Repeat([]byte{byte(i)}, 1000*i)
		}
		do(t.Context(), in, out, errs)
		for i := range in {
			if want := sha256.Sum256(in[i]); errs[i] != nil || !bytes.Equal(out[i], want[:]) {
				t.Fatalf("blob %d of %d: %x, %v", i, n, out[i], errs[i])
			}
		}
	}
}

func FuzzChecksums(f *testing.F) {
	sum := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, s := range []string{
		sum + "  name\n", sum + " *name\n", sum + " name\n", `\` + sum + "  a\\nb\n", "SHA256 (x) = " + sum + "\r\n",
		"SHA256(x)= " + sum, "# c\n\n", "SHA256 (a) = b) = " + sum, sum + "  \n", strings.Repeat("x", maxLine+5) + "\n" + sum + "  y",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checksums(bytes.NewReader(data), func(c Checksum, ok bool) bool {
			if !ok {
				return true
			}
			// What was understood is understood again from what we write.
			for _, tag := range []bool{false, true} {
				var p parser
				line := strings.TrimSuffix(string(AppendLine(nil, c.Name, c.Sum, tag, false)), "\n")
				if again, skip, ok := p.parse(line); skip || !ok || again != c {
					t.Errorf("%q became %q, %v, %v", c.Name, again.Name, skip, ok)
				}
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
	})
}
