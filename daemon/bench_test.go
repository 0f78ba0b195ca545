package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
)

// recordedBench is a result as weft bench share writes it, but for models and
// runs.
const recordedBench = `{"benchmark": "share", "format": 1, "date": "2026-03-01T12:00:00Z",
 "weft": {"version": "v0.1.0", "commit": "0123456789ab", "go": "go1.26.8"},
 "machine": {"cpu": "AMD EPYC"}, "device": {"id": "gpu0", "kind": "gpu", "name": "NVIDIA H200", "lanes": 8},
 "load": {"name": "lab", "about": "", "models": %d, "quick": false}, "rounds": 3, "baseline": "sequential", "models_equal": true,
 "arms": [
  {"arm": "sequential", "wall_seconds": {"median": 4, "min": 3}, "speedup": null, "utilization": {"median": 0.25}, "energy_joules": {"median": 900}},
  {"arm": "auto", "wall_seconds": {"median": 1}, "speedup": {"median": 4}, "utilization": null, "energy_joules": null}],
 "peers": [
  {"peer": "torch-eager", "wall_seconds": {"median": 8}, "speedup": {"median": 0.5}, "utilization": {"median": 0.5}},
  {"peer": "torch-mps", "skipped": "no MPS", "wall_seconds": null}]}
`

// withBench puts files into a daemon's folder of results.
func withBench(t *testing.T, r *rig, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(r.cfg.StateDir, benchFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func idsIn(l api.BenchList) []string {
	ids := []string{}
	for _, s := range l.Results {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestBenchIsServed(t *testing.T) {
	r := newRig(t, 1)
	if l := ok[api.BenchList](r, 200, "GET", "/v1/bench", ""); len(l.Results) != 0 || l.Results == nil || l.Next != "" {
		t.Errorf("without a folder: %+v", l)
	}
	files := map[string]string{}
	for i := range 5 {
		files[fmt.Sprintf("20260301-12000%d-lab-gpu0-%d.json", i, i+1)] = fmt.Sprintf(recordedBench, i+1)
	}
	dir := withBench(t, r, files)
	l := ok[api.BenchList](r, 200, "GET", "/v1/bench?limit=2", "")
	if want := []string{"20260301-120004-lab-gpu0-5", "20260301-120003-lab-gpu0-4"}; !cmp.Equal(idsIn(l), want) || l.Next != want[1] {
		t.Errorf("first two: %v, next %q", idsIn(l), l.Next)
	}
	seen := idsIn(l)
	for l.Next != "" {
		l = ok[api.BenchList](r, 200, "GET", "/v1/bench?limit=2&before="+l.Next, "")
		seen = append(seen, idsIn(l)...)
	}
	if len(seen) != 5 || seen[4] != "20260301-120000-lab-gpu0-1" {
		t.Errorf("page by page: %v", seen)
	}
	number := func(v float64) *float64 { return &v }
	want := []api.BenchArm{{Name: "sequential", Wall: 4, Utilization: number(0.25), Energy: number(900)},
		{Name: "auto", Wall: 1, Speedup: number(4)},
		{Name: "torch-eager", Peer: true, Wall: 8, Speedup: number(0.5), Utilization: number(0.5)}}
	if got := l.Results[0]; !cmp.Equal(got.Arms, want) || got.Load != "lab" || got.Models != 1 || got.Device != "gpu0" ||
		got.Commit != "0123456789ab" || !got.Equal || got.Date.Year() != 2026 {
		t.Errorf("summary: %+v\n%s", got, cmp.Diff(got.Arms, want))
	}
	status, body := r.do("GET", "/v1/bench/20260301-120001-lab-gpu0-2", "")
	file, err := os.ReadFile(filepath.Join(dir, "20260301-120001-lab-gpu0-2.json"))
	if err != nil || status != 200 || !bytes.Equal(body, file) {
		t.Errorf("one: %d, %v, %d bytes of %d", status, err, len(body), len(file))
	}
}

// What is no result is left out of the list and counted, and nothing outside of
// the folder is read.
func TestBenchRefuses(t *testing.T) {
	r := newRig(t, 1)
	dir := withBench(t, r, map[string]string{"20260101-000000-broken.json": "{", "20260102-000000-other.json": `{"benchmark": "pools"}`,
		"20260103-000000-good.json": fmt.Sprintf(recordedBench, 7), ".hidden.json": "{}", "notes.txt": "x"})
	outside := filepath.Join(r.cfg.StateDir, "outside.json")
	if err := os.WriteFile(outside, fmt.Appendf(nil, recordedBench, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Symlink("../outside.json", filepath.Join(dir, "20260104-000000-link.json")),
		syscall.Mkfifo(filepath.Join(dir, "20260105-000000-pipe.json"), 0o600),
		os.Mkdir(filepath.Join(dir, "20260106-000000-folder.json"), 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	large := filepath.Join(dir, "20260107-000000-large.json")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxBenchFile+1); err != nil {
		t.Fatal(err)
	}
	l := ok[api.BenchList](r, 200, "GET", "/v1/bench", "")
	if !cmp.Equal(idsIn(l), []string{"20260103-000000-good"}) || l.LeftOut != 6 {
		t.Errorf("list: %v, %d left out", idsIn(l), l.LeftOut)
	}
	l = ok[api.BenchList](r, 200, "GET", "/v1/bench?limit=3", "")
	if len(l.Results) != 0 || l.LeftOut != 3 || l.Next != "20260105-000000-pipe" {
		t.Errorf("three files: %+v", l)
	}
	for path, want := range map[string]int{
		"nothing": 404, "..%2foutside": 404, "%2e%2e": 404, ".hidden": 404, "20260101-000000-broken": 422,
		"20260102-000000-other": 422, "20260105-000000-pipe": 422, "20260106-000000-folder": 422, "20260107-000000-large": 422,
		strings.Repeat("x", 300): 404,
	} {
		if status, body := r.do("GET", "/v1/bench/"+path, ""); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, body := r.do("GET", "/v1/bench/20260107-000000-large", ""); !strings.Contains(string(body), "bytes, more than 67108864") {
		t.Errorf("a large file: %s", body)
	}
	if status, body := r.do("GET", "/v1/bench/20260104-000000-link", ""); status == 200 {
		t.Errorf("a link out of the folder is followed: %s", body)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "since=1h"} {
		if status, body := r.do("GET", "/v1/bench?"+query, ""); status != 422 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

// A summary has what the file says, or there is none; and it can be told.
func FuzzSummarize(f *testing.F) {
	f.Add(fmt.Appendf(nil, recordedBench, 3))
	f.Add([]byte(`{"benchmark":"share","arms":[{}]}`))
	f.Add([]byte(`{"benchmark":"share","arms":[{"wall_seconds":{"median":1e999}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := summarize("id", body)
		if (s == nil) == (err == nil) {
			t.Fatalf("%+v, %v", s, err)
		}
		if s == nil {
			return
		}
		if _, err := json.Marshal(s); err != nil {
			t.Fatalf("cannot be told: %v", err)
		}
	})
}
