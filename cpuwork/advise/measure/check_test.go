package measure

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/cpuwork/fetch/fetchtest"
)

// BenchmarkPredictions predicts each workload from a sample, runs all of it on
// every pool, and reports predicted over measured (the fastest of the runs).
//
//	go test ./cpuwork/advise/measure -run - -bench Predictions -benchtime 1x -v
func BenchmarkPredictions(b *testing.B) {
	weft := self(b)
	found, err := Ask(b.Context(), weft, Request{Calibrate: true, Dir: b.TempDir()}, nil)
	if err != nil {
		b.Fatal(err)
	}
	text, _ := json.Marshal(found.Calibration) // it came as JSON
	b.Logf("%s", text)
	for _, one := range []struct {
		name, kind string
		task       func(b *testing.B) any
	}{
		{"sha256", "sha256", func(b *testing.B) any { return hashing(b, 2000, 1_000_000) }},
		{"sha256-small", "sha256", func(b *testing.B) any { return hashing(b, 10_000, 4096) }},
		{"jpeg", "jpeg", func(b *testing.B) any { return pictures(b, 300) }},
		{"fetch", "fetch", func(b *testing.B) any { return fetching(b, 10_000, 0) }},
		{"fetch-slow", "fetch", func(b *testing.B) any { return asking(b, 200, 0, "/drip/1/20") }},
		{"fetch-limited", "fetch", func(b *testing.B) any { return fetching(b, 6_000, 2000) }},
		{"primes", "primes", func(*testing.B) any { return map[string]any{"numbers": []string{"1..400000000"}} }},
		{"primes-numbers", "primes", func(*testing.B) any { return numbers(100_000) }},
	} {
		b.Run(one.name, func(b *testing.B) {
			task := one.task(b)
			for b.Loop() {
				dir := b.TempDir()
				a, err := Ask(b.Context(), weft, Request{Dir: dir, Machine: &found.Calibration.Machine, Kind: one.kind,
					Spec: specOf(b, task), Check: true}, nil)
				if err != nil {
					b.Fatal(err)
				}
				report(b, a)
			}
		})
	}
}

func report(b *testing.B, a *Answer) {
	workload, _ := json.Marshal(a.Workload) // numbers and names
	sample, _ := json.Marshal(a.Sample)
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n%s\n%s\n", workload, sample, a.Advice.Why)
	for i, p := range a.Advice.Alternatives {
		c, mark := a.Checked[i], ' '
		if i == a.Advice.Chosen {
			mark = '*'
		}
		fmt.Fprintf(&text, "%c %-10s %4d workers, chunk %4d: predicted %7.3f s (%s), measured %7.3f s, median %7.3f s of %d, others %2.0f %%: ratio %.2f\n",
			mark, p.Pool, p.Workers, p.Chunk, p.Seconds, p.Bound, c.Seconds, c.Median, c.Runs, 100*c.Others, p.Seconds/c.Seconds)
		b.ReportMetric(p.Seconds/c.Seconds, string(p.Pool)+"-ratio")
	}
	b.Log(text.String())
}

func specOf(t testing.TB, task any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"task": task})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// hashing writes files and returns the task of hashing them.
func hashing(t testing.TB, count, size int) any {
	t.Helper()
	dir := t.TempDir()
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{3})
	for i := range count {
		_, _ = source.Read(data) // never fails
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%06d", i)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]any{"files": map[string]any{"dir": dir, "paths": []string{"."}, "recursive": true}}
}

// pictures writes PNG files of 512 x 512 pixels and returns the task of converting
// them.
func pictures(t testing.TB, count int) any {
	t.Helper()
	dir := t.TempDir()
	const side = 512
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.SetNRGBA(x, y, color.NRGBA{byte(x), byte(y), byte(x * y >> 4), 255})
		}
	}
	first := filepath.Join(dir, "p0.png")
	f, err := os.Create(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < count; i++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.png", i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]any{"files": map[string]any{"dir": dir, "paths": []string{"."}, "recursive": true}}
}

// fetching starts a server and returns the task of asking it.
func fetching(t testing.TB, count int, rate float64) any {
	t.Helper()
	if rate > 0 {
		return asking(t, count, rate, "/limited")
	}
	return asking(t, count, rate, "/ok/5")
}

func asking(t testing.TB, count int, rate float64, path string) any {
	t.Helper()
	s, err := fetchtest.Start(fetchtest.Config{Rate: rate * 1.05, Burst: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	urls := make([]string, count)
	for i := range urls {
		urls[i] = s.URL + path
	}
	return map[string]any{"urls": urls, "discard": true, "allow_private": true, "rate": rate}
}

func numbers(count int) any {
	rng := rand.New(rand.NewPCG(5, 6))
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprint(rng.Uint64())
	}
	return map[string]any{"numbers": all}
}
