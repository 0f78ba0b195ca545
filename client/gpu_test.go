package client

import (
	"net/http"
	"testing"
	"time"

	"weft/daemon/api"
)

// recordedDevices are a GPU with all readings, one whose driver is old, one that
// is lost, one whose readings are stale, and the CPU.
func recordedDevices() []api.Device {
	ready := func(id, kind, name string, s *api.Sample) api.Device {
		return api.Device{ID: id, Kind: kind, Name: name, State: api.DeviceReady, Lanes: 3, Slots: 1024,
			MemoryBytes: 140 << 30, FreeBytes: 138 << 30, Running: []int64{1, 3}, PID: 42, Sample: s}
	}
	ok := func(r api.Readings) *api.Sample {
		return &api.Sample{At: *at(-800 * time.Millisecond), State: api.SampleOK, Readings: r}
	}
	off := false
	whole := func(v int64) *int64 { return &v }
	full := ok(api.Readings{Utilization: number(0.934), MemoryUtilization: number(0.41), MemoryUsed: whole(12 << 30),
		MemoryTotal: whole(141 << 30), MemoryReserved: whole(600 << 20), Power: number(412.3), PowerLimit: number(700),
		Temperature: number(61), SMClock: whole(1_980_000_000), MemoryClock: whole(3_201_000_000),
		Throttled: []string{"power_cap", "software_thermal"}, PCIeSent: number(1 << 20), PCIeReceived: number(0),
		PCIeGeneration: whole(5), PCIeWidth: whole(16), ECCCorrected: whole(0), ECCUncorrected: whole(2), MIG: &off,
		Energy: number(5.4e6), Xid: whole(43)})
	full.Processes = []api.DeviceProcess{{PID: 42, MemoryBytes: whole(11 << 30), SMUtilization: number(0.93)}, {PID: 77}}
	old := ok(api.Readings{Utilization: number(0), MemoryUsed: whole(0), MemoryTotal: whole(16 << 30), Throttled: []string{}})
	old.Processes = []api.DeviceProcess{}
	lost := &api.Sample{At: *at(-time.Second), State: api.SampleLost,
		Reason: "the GPU is lost: GPU is lost, after Xid 79", Hint: "nvidia-smi --gpu-reset"}
	stale := ok(api.Readings{Utilization: number(0.5)})
	stale.At, stale.Stale, stale.Reason = *at(-42 * time.Second), true, "its sensors have told nothing for 42s"
	stale.Hint = "weft doctor; the daemon's log says more"
	failing := ready("gpu4", "gpu", "NVIDIA H200", nil)
	failing.State, failing.Message, failing.Running = api.DeviceFailing, "out of memory", []int64{}
	return []api.Device{
		ready("cpu", "cpu", "AMD EPYC 9654", ok(api.Readings{Utilization: number(0.075), MemoryUsed: whole(3 << 30),
			MemoryTotal: whole(8 << 30), Load1: number(1.5), Load5: number(1), Load15: number(0.5)})),
		ready("gpu0", "gpu", "NVIDIA H200", full), ready("gpu1", "gpu", "Tesla\x1b[31m V100", old),
		ready("gpu2", "gpu", "NVIDIA H200", lost), ready("gpu3", "gpu", "NVIDIA H200", stale), failing,
	}
}

func TestGPU(t *testing.T) {
	session(t, "gpu", &recorded{devices: recordedDevices()}, "",
		line("gpu"), line("gpu -o wide"), line("gpu -o id"), line("gpu 1"), line("gpu -w"), line("gpu -w -o json"))
	session(t, "gpu-cpu", &recorded{devices: recordedDevices()[:1]}, "", line("gpu"), line("gpu -o wide"))
	session(t, "gpu-json", &recorded{devices: recordedDevices()[1:3]}, "", line("gpu -o json"), line("gpu -o jsonl"))
}

// A watch writes every device again and again, and ends with the daemon.
func TestWatchGPU(t *testing.T) {
	asked := 0
	host := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked > 2 {
			problem(w, &api.Problem{Status: 503, Detail: "the daemon is stopping", Code: api.CodeUnavailable})
			return
		}
		answer(w, []api.Device{{ID: "cpu", Running: []int64{}}})
	}))
	got := weft(t.Context(), host, "", line("gpu -w -o jsonl")...)
	const one = `{"id":"cpu","kind":"","name":"","state":"","lanes":0,"slots":0,"memory_bytes":0,"free_bytes":0,` +
		`"running":[],"gangs":null,"busy_seconds":0,"restarts":0,"pid":0,"sample":null}` + "\n"
	if got.stdout != one+one || got.code == 0 {
		t.Errorf("%s", got)
	}
}

func TestDeviceHistory(t *testing.T) {
	var asked string
	host := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		answer(w, api.History{Device: "gpu0", Step: 10})
	}))
	c, err := api.New(host, api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := c.DeviceHistory(t.Context(), "gpu0", api.HistoryFilter{Since: moment, Step: 10 * time.Second})
	if err != nil || h.Device != "gpu0" {
		t.Errorf("%+v, %v", h, err)
	}
	if want := "/v1/devices/gpu0/history?since=" + "2026-03-01T12%3A00%3A00Z" + "&step=10s"; asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
}
