package client

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/daemon/api"
)

// adviser answers POST /v1/advise as the daemon does, and keeps what it was asked.
type adviser struct {
	asked []api.AdviseRequest
}

func (d *adviser) listen(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/advise", func(w http.ResponseWriter, r *http.Request) {
		var in api.AdviseRequest
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			problem(w, &api.Problem{Status: 422, Detail: err.Error(), Code: api.CodeInvalid})
			return
		}
		d.asked = append(d.asked, in)
		answer(w, recordedAdvice(&in))
	})
	return serveHandler(t, mux)
}

// recordedAdvice are answers of a daemon, shortened.
func recordedAdvice(in *api.AdviseRequest) *api.Advice {
	a := &api.Advice{Notes: []string{}, Machine: &api.AdviseCalibration{CPU: "Xeon", Cores: 2, Slowdown: 1.01, MemoryRate: 2e10, CopyRate: 1.6e10,
		Sequential: 8e-7, Goroutine: 1.9e-6, Event: 2.6e-6, Process: 3.1e-6, RoundTrip: 1.1e-5, Spawn: 6.2e-3, Job: 5e-4}}
	switch {
	case in.Jobs != nil:
		a.Choice, a.Why, a.Machine = "gpu0", "2 models one after the other would take gpu0 about 14 s; all at once bring that to about 2 s. "+
			"cpu would take about 25 s.", nil
		a.Notes = []string{"the recorded models may differ from these: a step of theirs is taken for a step of yours"}
		a.Placements = []api.AdvisePlacement{{Chosen: true, Device: "gpu0", Name: "NVIDIA H200", AtOnce: 2, Alone: 14, Together: 2, Speedup: 7,
			Source: "recorded: 20260102-lab (lab, 32 models: 20.1 times as fast by fused)"},
			{Device: "cpu", Name: "Xeon", AtOnce: 2, Alone: 49, Together: 25, Speedup: 1.96, Source: "assumed: a core's usual speed, a model a lane"},
			{Device: "gpu1", Name: "NVIDIA H200", Refused: "it is not ready"}}
	case in.Workload != nil && in.Workload.GPU:
		a.Choice, a.Why, a.Machine = "gpu0", "Of 10 models, all on gpu0 at once, in one process, are about 2.4 times as fast as one after "+
			"the other. cpu is out: model 1 asks for device gpu.", nil
		a.Placements = []api.AdvisePlacement{{Chosen: true, Device: "gpu0", Name: "NVIDIA H200", AtOnce: 10, Speedup: 2.4,
			Source: "assumed: nothing was recorded on this GPU"}, {Device: "cpu", Name: "Xeon", Refused: "model 1 asks for device gpu"}}
	case in.Measure == nil && in.Workload == nil:
	default:
		a.Choice, a.Workload = "goroutine", in.Workload
		a.Why = "2,000 items of 464 µs of processor time each are 929 ms of work, which 2 goroutines divide among 2 cores: 3.8 times as fast " +
			"as one after the other. Worker processes would take as long (starting one costs 2.1 ms and an item 961 ns) and pay only for " +
			"items that may crash, leak or hang."
		refused := ""
		if in.Workload != nil && in.Workload.Isolation == "hostile" {
			refused = "isolation hostile: what an item does to its process is done to all"
		}
		a.Alternatives = []api.AdviseAlternative{{Pool: "sequential", Workers: 1, Chunk: 1, Seconds: 1.792, Bound: "workers", Refused: refused},
			{Chosen: refused == "", Pool: "goroutine", Workers: 2, Chunk: 64, Seconds: 0.475, Bound: "cores", Refused: refused},
			{Chosen: refused != "", Pool: "process", Workers: 2, Chunk: 64, Seconds: 0.478, Bound: "cores"},
			{Pool: "event", Workers: 8, Chunk: 1, Seconds: 0.903, Bound: "cores", Refused: refused}}
	}
	if in.Measure != nil {
		a.Workload = &api.AdviseWorkload{Items: 2000, CPU: 888e-6, GroupCPU: 464e-6, Batch: 64, Order: 7.9e-6, IO: 0, Isolation: "none"}
		a.Sample = &api.AdviseSample{Counted: 2000, Items: 1500, Seconds: 1.2, Bytes: 1.5e9}
		if in.Measure.Check {
			for i, s := range []float64{1.641, 0.442, 0.454, 0.828} {
				alt := &a.Alternatives[i]
				alt.Checked = &api.AdviseCheck{Runs: 5, Seconds: s, Median: s, Ratio: alt.Seconds / s}
			}
		}
	}
	return a
}

func TestAdvise(t *testing.T) {
	d := &adviser{}
	host := d.listen(t)
	dir := inDir(t, map[string]string{
		"a.yaml": "data: {source: digits}\nmodel: [{linear: 64}, relu, {linear: 10}]\nepochs: 5\n",
		"b.yaml": "data: {source: iris}\nmodel: [{linear: 3}]\nepochs: 5\n"})
	var b strings.Builder
	for _, s := range []string{
		"advise --items 2000 --bytes 1MB --cpu-ms 0.5",
		"advise -n 2000 --cpu-ms 5 --io-ms 2 --isolation hostile --memory-per-item 200MiB --first --rate-limit 50",
		"advise --gpu --items 10 --memory-per-item 2MB",
		"advise --measure -- sha256 -r data --glob *.iso",
		"advise --measure --check --isolation crash -- sha256 data",
		"advise --measure -- primes 1..1000 97",
		"advise --measure -- fetch http://127.0.0.1/a --discard --rate 50",
		"advise a.yaml b.yaml",
		"advise --calibrate",
		"advise --items 1 --cpu-ms 1 -o json",
		// What cannot be.
		"advise", "advise --cpu-ms 5", "advise --items 5 --isolation hostle", "advise --items -5", "advise --items 5 --bytes many",
		"advise --measure", "advise --measure -- sha265 x", "advise --measure -- sha256", "advise --measure -- sha256 x --wait",
		"advise --measure -- sha256 x --pool process", "advise --measure --gpu -- sha256 x",
		"advise --check --items 5", "advise a.yaml --items 5", "advise a.yaml --calibrate", "advise none.yaml", "advise --items 5 -o id",
	} {
		b.WriteString("$ weft " + s + "\n")
		before := len(d.asked)
		b.WriteString(weft(t.Context(), host, "", line(s)...).String())
		for _, r := range d.asked[before:] {
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("asked " + strings.ReplaceAll(string(text), dir, "/here") + "\n")
		}
		b.WriteByte('\n')
	}
	golden(t, "advise.txt", b.String())
	if names, err := os.ReadDir(filepath.Join(dir)); err != nil || len(names) != 2 {
		t.Errorf("left behind %v, %v", names, err)
	}
}

func TestAdviseHelps(t *testing.T) {
	want := weft(t.Context(), "", "", "help", "cpu", "sha256")
	if got := weft(t.Context(), "", "", line("advise --measure -- sha256 x --help")...); got != want {
		t.Errorf("got %s", got)
	}
}

func TestAdviseWithoutDaemon(t *testing.T) {
	r := weft(t.Context(), "unix:///no/such/socket", "", "advise", "--items", "5")
	if r.code != exitUnreachable || !strings.Contains(r.stderr, "try: weft serve") {
		t.Errorf("got %s", r)
	}
}
