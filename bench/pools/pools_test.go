package pools

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weft/cpuwork"
)

// small is a bench of few and small items.
func small(t *testing.T, c Case, items int) *Bench {
	t.Helper()
	python, _ := exec.LookPath("python3") // "": peers in it are skipped
	b, err := Prepare(t.Context(), c, Setup{Dir: t.TempDir(), Self: os.Args[0], Items: items, Size: 5000, Python: python, Cores: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", b.dir, err)
		}
	})
	return b
}

// expected are a case's answers, by other means than weft's; nil: not known.
func expected(t *testing.T, b *Bench, i int) []byte {
	t.Helper()
	switch b.Case.Group {
	case "sha256":
		blob := block(b.Size)
		binary.LittleEndian.PutUint64(blob, uint64(i))
		sum := sha256.Sum256(blob)
		return sum[:]
	case "fetch":
		return []byte("200 5")
	case "primes":
		input, err := os.ReadFile(b.input)
		if err != nil {
			t.Fatal(err)
		}
		n := new(big.Int).SetUint64(binary.LittleEndian.Uint64(input[8*i:]))
		if n.ProbablyPrime(20) {
			return []byte{1}
		}
		return []byte{0}
	}
	return nil
}

// Every case on every kind of pool gives the right answers, and so does every peer
// that is here.
func TestAnswers(t *testing.T) {
	for _, c := range Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b := small(t, c, 6)
			var d *Digest
			for i := range b.Items {
				if want := expected(t, b, i); want != nil {
					if d == nil {
						d = NewDigest(b.Items, 1)
					}
					d.Add(i, want)
				}
			}
			sums, alone := map[string]string{}, int64(0)
			for _, a := range c.Arms(cpuwork.Kinds, []int{1, 2}, true) {
				if !a.Here() {
					t.Logf("%s is not here", a.Name())
					continue
				}
				answer, err := b.Arm(t.Context(), a)
				if err != nil {
					t.Errorf("%s: %v", a.Name(), err)
					continue
				}
				if answer.Wall <= 0 || answer.CPU <= 0 || answer.Peak < 1<<20 || answer.Refused != 0 {
					t.Errorf("%s: %+v", a.Name(), answer)
				}
				if a.Pool == cpuwork.Sequential && a.Variant == "" {
					alone = answer.Peak
				}
				if a.Pool == cpuwork.Process && a.Workers == 2 && answer.Peak < alone+4<<20 {
					t.Errorf("%s: %d bytes with its workers, %d alone", a.Name(), answer.Peak, alone)
				}
				sums[a.Variant] = firstSum(sums[a.Variant], answer.Digest)
				if (answer.Digest == "") != (c.Name == Handoff) || answer.Digest != sums[a.Variant] || d != nil && answer.Digest != d.Sum() {
					t.Errorf("%s: digest %s, not %s", a.Name(), answer.Digest, sums[a.Variant])
				}
			}
			peers(t, b, sums[""])
		})
	}
}

func firstSum(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// peers runs the case's peers, of which answers are to have the sum where they can.
func peers(t *testing.T, b *Bench, sum string) {
	t.Helper()
	for _, p := range PeersOf(b.Case, PeerNames()) {
		probe, err := b.Probe(t.Context(), p)
		if err != nil {
			t.Errorf("probe %s: %v", p.Name, err)
			continue
		}
		if probe.Skip != "" {
			t.Logf("%s is skipped: %s", p.Name, probe.Skip)
			continue
		}
		if b.Case.Name == PrimesDoc && p.Name != "python-processes" {
			continue // seconds of trial division
		}
		answer, err := b.Peer(t.Context(), p)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if probe.Runtime == "" || answer.Wall <= 0 || answer.Items != b.Items || b.Case.Exact && answer.Digest != sum ||
			!b.Case.Exact && answer.Bytes == 0 {
			t.Errorf("%s (%s): %+v, digest should be %s", p.Name, probe.Runtime, answer, sum)
		}
	}
}

// The C program and our own encode to files of the same length with libturbojpeg.
func TestAnswersAreFiles(t *testing.T) {
	c := Find(JPEGSmall)[0]
	b := small(t, c, 2*pictures)
	a, err := b.Arm(t.Context(), Arm{Pool: cpuwork.Goroutine, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.Arm(t.Context(), Arm{Pool: cpuwork.Sequential, Workers: 1, Variant: "image/jpeg"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest == other.Digest || a.Bytes < 2*pictures*5000 || a.Bytes > 2*pictures*200_000 {
		t.Errorf("%d bytes, %s and %s", a.Bytes, a.Digest, other.Digest)
	}
}

// A server that is asked faster than it allows refuses, and the run fails.
func TestRefusedRequestsAreErrors(t *testing.T) {
	c := Find(FetchLimited)[0]
	b := small(t, c, 50)
	s, err := startServer(t.Context(), b.Self, 1, 20) // the warm-up is let through
	if err != nil {
		t.Fatal(err)
	}
	task := b.task(Arm{Pool: cpuwork.Goroutine, Workers: 2})
	task.URL, task.Rate = s.url+"/limited", 0
	if _, err := b.ask(t.Context(), task, b.Self, workerVerb, armKind); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("error %v", err)
	}
	if refused, err := s.stop(); err != nil || refused < 1 {
		t.Errorf("%d refused, %v", refused, err)
	}
}

// An arm's error is its own words, and nobody is left.
func TestErrors(t *testing.T) {
	b := small(t, Find(SHA256)[0], 3)
	if err := os.Remove(b.input); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Arm(t.Context(), Arm{Pool: cpuwork.Process, Workers: 2}); err == nil || !strings.Contains(err.Error(), "read input") {
		t.Errorf("error %v", err)
	}
	if _, err := b.Arm(t.Context(), Arm{Pool: "thread", Workers: 2}); err == nil {
		t.Error("there is no such pool")
	}
	if _, err := Prepare(t.Context(), Find(SHA256)[0], Setup{Dir: t.TempDir(), Items: 0, Size: 1}); err == nil {
		t.Error("prepared nothing")
	}
	huge := Setup{Dir: t.TempDir(), Items: 1 << 30, Size: 1 << 30}
	var cannot *CannotError
	if _, err := Prepare(t.Context(), Find(SHA256Files)[0], huge); !errors.As(err, &cannot) || !strings.Contains(cannot.Reason, "free") {
		t.Errorf("error %v", err)
	}
	for _, a := range []Answer{{Items: 3}, {Wall: 1, Items: 2}, {Wall: -1, Items: 3}} {
		if b.check(&a) == nil {
			t.Errorf("%+v is taken", a)
		}
	}
	if _, err := b.ask(t.Context(), b.task(Arm{}), "/bin/echo", "no answer"); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Errorf("error %v", err)
	}
	gone := Peer{Name: "gone", script: "gone.py"}
	if b.Python != "" {
		if _, err := b.Peer(t.Context(), gone); err == nil || !strings.Contains(err.Error(), "gone.py") {
			t.Errorf("error %v", err)
		}
	}
	b.Python = ""
	if a, err := b.Probe(t.Context(), gone); err != nil || a.Skip == "" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := b.Probe(t.Context(), Peer{program: "weft-is-no-such-program"}); err != nil || !strings.Contains(a.Skip, "not installed") {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := b.Probe(t.Context(), Peer{program: "sh"}); err != nil || !strings.Contains(a.Skip, "not GNU") {
		t.Errorf("%+v, %v", a, err)
	}
}

// Cancelled in the midst of a run, an arm and a peer end with all that they started.
func TestCancel(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	b, err := Prepare(t.Context(), Find(SHA256)[0], Setup{Dir: t.TempDir(), Self: os.Args[0], Items: 1 << 20, Size: 1 << 20, Python: python, Cores: 2})
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]func(context.Context) (*Answer, error){}
	for _, kind := range []cpuwork.Kind{cpuwork.Goroutine, cpuwork.Process} {
		runs[string(kind)] = func(ctx context.Context) (*Answer, error) { return b.Arm(ctx, Arm{Pool: kind, Workers: 2}) }
	}
	for _, p := range PeersOf(b.Case, []string{"python-processes", "python-shared-memory"}) {
		runs[p.Name] = func(ctx context.Context) (*Answer, error) { return b.Peer(ctx, p) }
	}
	for name, run := range runs {
		ctx, cancel := context.WithCancel(t.Context())
		before := len(family(os.Getpid()))
		var all []int
		ended := make(chan error, 1)
		go func() { _, err := run(ctx); ended <- err }()
		want := 3 // an arm of goroutines is one process
		if name == string(cpuwork.Goroutine) {
			want = 1
		}
		for len(all) < before+want {
			select {
			case err := <-ended:
				t.Fatalf("%s ended: %v", name, err)
			default:
				all = family(os.Getpid())
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		for _, pid := range all[before:] {
			waitGone(t, name, pid)
		}
		if left, err := filepath.Glob(fmt.Sprintf("/dev/shm/weft-bench-%d-*", os.Getpid())); err != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", name, left, err)
		}
	}
}

// waitGone waits until a process that was killed is gone: others reap it.
func waitGone(t *testing.T, name string, pid int) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			t.Errorf("%s: process %d is left: %s", name, pid, stat)
			return
		}
	}
}

// A digest does not depend on the order in which answers come, but on each of them and
// on their places.
func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 70), 1, 20).Draw(t, "answers")
		period := rapid.IntRange(1, 5).Draw(t, "period")
		h := sha256.New()
		d := NewDigest(len(answers), period)
		for _, i := range rapid.Permutation(indices(len(answers))).Draw(t, "order") {
			d.Add(i, answers[i])
		}
		size := 0
		for _, a := range answers { // as scripts do it
			size += len(a)
			if len(a) > 32 {
				sum := sha256.Sum256(a)
				h.Write(append([]byte{255}, sum[:]...))
				continue
			}
			h.Write(append([]byte{byte(len(a))}, a...))
		}
		if want := hex.EncodeToString(h.Sum(nil)); d.Sum() != want || d.bytes != int64(size) || d.count != len(answers) {
			t.Fatalf("%s, want %s; %d bytes of %d answers", d.Sum(), want, d.bytes, d.count)
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Blobs are all different, and of a length that is asked for.
func TestBlobs(t *testing.T) {
	for _, size := range []int{1, 7, 8, 100} {
		common, dst := block(size), make([]byte, size)
		if n := fillBlob(dst, common, 3); n != size {
			t.Errorf("%d bytes of %d", n, size)
		}
		if size >= indexBytes && (binary.LittleEndian.Uint64(dst) != 3 || !bytes.Equal(dst[8:], common[8:])) {
			t.Errorf("blob of %d: %x", size, dst)
		}
	}
	if bytes.Equal(block(64)[:32], block(64)[32:]) || !bytes.Equal(block(64), block(64)) {
		t.Error("a block repeats itself, or does not stay the same")
	}
	if bytes.Equal(picture(40, 30, 0), picture(40, 30, 1)) {
		t.Error("two pictures are equal")
	}
}

// Making items has a price where it is in the clock, and nowhere else.
func TestMakingCost(t *testing.T) {
	took, err := small(t, Find(SHA256)[0], 100).MakingCost(t.Context())
	if err != nil || took <= 0 {
		t.Errorf("%s, %v", took, err)
	}
	if took, err := small(t, Find(Handoff)[0], 100).MakingCost(t.Context()); err != nil || took != 0 {
		t.Errorf("%s, %v", took, err)
	}
}

// Memory that a process and its child have is seen.
func TestFootprint(t *testing.T) {
	own := footprint(os.Getpid())
	block := bytes.Repeat([]byte{1}, 32<<20)
	if grown := footprint(os.Getpid()) - own; grown < 24<<20 {
		t.Errorf("grown by %d", grown)
	}
	if len(block) == 0 {
		t.Fatal()
	}
	if footprint(1<<30) != 0 {
		t.Error("a process that is not there has memory")
	}
}

func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases {
		if seen[c.Name] || c.Items < 1 || c.Quick < 1 || c.Full < c.Items || c.Quick > c.Items || c.About == "" || len(Find(c.Name)) < 1 {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
		names := map[string]bool{}
		for _, a := range c.Arms(cpuwork.Kinds, []int{1, 2, 4}, false) {
			if names[a.Name()] {
				t.Errorf("%s has %s twice", c.Name, a.Name())
			}
			names[a.Name()] = true
		}
	}
	if got := len(Find("jpeg")); got != 2 || len(Find(SHA256)) != 1 || Find("no") != nil {
		t.Errorf("%d of jpeg", got)
	}
	for _, p := range Peers {
		for _, name := range p.Cases {
			if !seen[name] {
				t.Errorf("%s is for %s", p.Name, name)
			}
		}
	}
	limited := Find(FetchLimited)[0]
	if got := limited.Ideal(10_000); got != 4.95 || limited.Ideal(100) != 0 || Find(Fetch)[0].Ideal(1000) != 0 {
		t.Errorf("ideal %g", got)
	}
}

// FuzzSums: whatever a program writes, it is the digests of the files or refused.
func FuzzSums(f *testing.F) {
	sum := strings.Repeat("0a", 32)
	f.Add(sum + "  00000000\n" + sum + "  00000001\n")
	f.Add(sum + "  1\n")
	f.Add("\\" + sum + "  00000001\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := sumsDigest(text, 3)
		if err == nil && d.count != strings.Count(text, "\n") && !strings.Contains(text, "  0000000") && text != "" {
			t.Errorf("%d answers of %q", d.count, text)
		}
	})
}

// BenchmarkFillBlob is what making an item of sha256-blobs costs.
func BenchmarkFillBlob(b *testing.B) {
	common := block(1_000_000)
	dst := make([]byte, len(common))
	b.SetBytes(int64(len(dst)))
	for i := range b.N {
		fillBlob(dst, common, i)
	}
}
