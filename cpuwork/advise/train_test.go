package advise

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func tenModels() []Model {
	models := make([]Model, 10)
	for i := range models {
		models[i] = Model{Name: "m", Steps: 900, Flops: 1e6, HostSize: 2 << 20, GPUSize: 2 << 20, DataSize: 1 << 20, Data: "digits", Wants: "auto"}
	}
	return models
}

func cpuDevice() Device {
	return Device{ID: "cpu", Kind: "cpu", Name: "Xeon", Ready: true, Lanes: 2, Slots: 64, Memory: 1 << 30}
}

func gpuDevice() Device {
	return Device{ID: "gpu0", Kind: "gpu", Name: "H200", Ready: true, Lanes: 132, Slots: 1024, Memory: 100 << 30,
		Record: &Record{ID: "r1", Load: "lab", Models: 32, Arm: "fused", Speedup: 20, Step: 30e-6}}
}

// The fourth classic question: ten small models on one GPU are trained together.
func TestTenSmallModelsOnOneGPU(t *testing.T) {
	models := tenModels()
	a := Training(models, []Device{cpuDevice(), gpuDevice()}, 1)
	if a.Chosen != 1 {
		t.Fatalf("advised %d: %s", a.Chosen, a.Why)
	}
	p := a.Placements[1]
	alone := 10 * 900 * 30e-6
	if p.AtOnce != 10 || math.Abs(p.Alone-alone) > 1e-9 || math.Abs(p.Speedup-(1+19*9./31)) > 1e-9 || p.Together != p.Alone/p.Speedup {
		t.Errorf("placement is %+v", p)
	}
	want := "10 models one after the other would take gpu0 about 270 ms; all at once bring that to about 41 ms. cpu would take about 90 ms."
	if a.Why != want {
		t.Errorf("why: %s\nwant %s", a.Why, want)
	}
	// Described only, and with nothing recorded: all at once all the same.
	for i := range models {
		models[i] = Model{Name: "m", GPUSize: 2 << 20, Wants: "gpu"}
	}
	gpu := gpuDevice()
	gpu.Record = nil
	a = Training(models, []Device{cpuDevice(), gpu}, 1)
	if p := a.Placements[1]; a.Chosen != 1 || p.AtOnce != 10 || p.Speedup != sharedGPU || !strings.HasPrefix(p.Source, "assumed") {
		t.Errorf("chose %d: %+v", a.Chosen, p)
	}
	want = "Of 10 models, all on gpu0 at once, in one process, are about 2.4 times as fast as one after the other. cpu is out: " +
		"m asks for device gpu."
	if a.Why != want {
		t.Errorf("why: %s\nwant %s", a.Why, want)
	}
}

func TestPlacements(t *testing.T) {
	models := tenModels()
	for _, c := range []struct {
		name    string
		change  func(d *Device, models []Model)
		atOnce  int
		refused string
	}{
		{"slots", func(d *Device, _ []Model) { d.Slots = 4 }, 4, ""},
		{"memory, with the data once", func(d *Device, _ []Model) { d.Memory = 7 << 20 }, 3, ""},
		{"memory, with the data twice", func(d *Device, m []Model) { d.Memory, m[1].Data = 7<<20, "iris" }, 2, ""},
		{"too small", func(d *Device, _ []Model) { d.Memory = 1 << 20 }, 0, "a model needs more than the 1.0 MiB that there are"},
		{"not ready", func(d *Device, _ []Model) { d.Ready = false }, 0, "it is not ready"},
		{"asks for another", func(_ *Device, m []Model) { m[3].Wants = "gpu:0" }, 0, "m asks for device gpu:0"},
		{"asks for it", func(_ *Device, m []Model) { m[3].Wants = "cpu" }, 10, ""},
		{"cannot run there", func(_ *Device, m []Model) { m[3].HostSize = 0 }, 0, "m cannot run there"},
	} {
		models, d := append([]Model(nil), models...), cpuDevice()
		c.change(&d, models)
		p := Training(models, []Device{d}, 1).Placements[0]
		if p.Refused != c.refused || c.refused == "" && p.AtOnce != c.atOnce {
			t.Errorf("%s: %+v, want %d at once, refused %q", c.name, p, c.atOnce, c.refused)
		}
	}
	if a := Training(models, nil, 1); a.Chosen != -1 || a.Why != "There is no device for 10 models: weft doctor says why." {
		t.Errorf("without devices: %d %s", a.Chosen, a.Why)
	}
}

// Together is never slower than one after the other, nor faster than the lanes or
// the record allow.
func TestTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models := make([]Model, rapid.IntRange(1, 50).Draw(t, "models"))
		for i := range models {
			models[i] = Model{Name: "m", Steps: rapid.Int64Range(1, 1e6).Draw(t, "steps"), Flops: rapid.Int64Range(0, 1e12).Draw(t, "flops"),
				HostSize: rapid.Int64Range(1, 1<<30).Draw(t, "size"), Data: "d"}
		}
		d := cpuDevice()
		d.Lanes = rapid.IntRange(1, 64).Draw(t, "lanes")
		most := float64(d.Lanes)
		if rapid.Bool().Draw(t, "recorded") {
			d.Record = &Record{Models: rapid.IntRange(1, 64).Draw(t, "recorded models"), Speedup: rapid.Float64Range(0.5, 30).Draw(t, "speedup")}
			most = max(1, d.Record.Speedup)
		}
		p := Training(models, []Device{d}, rapid.Float64Range(1, 2).Draw(t, "slowdown")).Placements[0]
		if p.Refused != "" {
			return
		}
		if p.Together > p.Alone*(1+1e-9) || p.Together < p.Alone/most*(1-1e-9) || p.AtOnce < 1 || p.AtOnce > len(models) {
			t.Errorf("%+v with a gain of %g at most", p, most)
		}
	})
}
