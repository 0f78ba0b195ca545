package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"weft/cpuwork/batch"
	"weft/cpuwork/fetch/fetchtest"
)

// BenchmarkJob is whole jobs whose outputs and journal outlive a power cut:
// pictures of 512 x 512 pixels, and bodies of 1,000 bytes.
func BenchmarkJob(b *testing.B) {
	b.Run("jpeg", func(b *testing.B) {
		const items = 500
		in := b.TempDir()
		picture := photo(b)
		for i := range items {
			if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("%04d.png", i)), picture, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		benchJob(b, "jpeg", items, func(out string) any {
			return map[string]any{"files": map[string]any{"dir": in, "paths": []string{"."}, "recursive": true}, "output": out}
		})
	})
	b.Run("fetch", func(b *testing.B) {
		const items = 5_000
		s, err := fetchtest.Start(fetchtest.Config{})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Close() }() // what is left in flight is no matter
		urls := make([]string, items)
		for i := range urls {
			urls[i] = fmt.Sprintf("%s/ok/1000\t%d", s.URL, i)
		}
		benchJob(b, "fetch", items, func(out string) any {
			return map[string]any{"urls": urls, "to": out, "allow_private": true}
		})
	})
}

func benchJob(b *testing.B, kind string, items int, task func(out string) any) {
	used := processorTime()
	for b.Loop() {
		spec, err := json.Marshal(map[string]any{"task": task(b.TempDir())})
		if err != nil {
			b.Fatal(err)
		}
		plan, err := Parse(kind, spec)
		if err != nil {
			b.Fatal(err)
		}
		load, err := plan.Load()
		if err != nil {
			b.Fatal(err)
		}
		o := plan.Options()
		o.Dir = b.TempDir()
		s, err := batch.Run(b.Context(), load, o)
		if err != nil || s.OK != int64(items) {
			b.Fatalf("%+v, %v", s, err)
		}
		if c, ok := load.(io.Closer); ok {
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(items*b.N)/b.Elapsed().Seconds(), "items/s")
	b.ReportMetric(1e6*(processorTime()-used).Seconds()/float64(items*b.N), "cpu-µs/item")
}

// photo is a picture with smooth areas and edges.
func photo(b *testing.B) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 512, 512))
	for i := range m.Pix {
		x, y := float64(i/4%512), float64(i/2048)
		m.Pix[i] = byte(128 + 100*math.Sin(x/40+y/90+float64(i%4)))
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
