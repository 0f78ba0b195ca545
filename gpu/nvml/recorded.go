package nvml

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A recording is a file of frames, played in order, one a round; the last one
// stays unless the file says that it begins again.
//
//	{"driver": "550.54.15", "loop": true, "frames": [
//	  {"samples": [{"uuid": "GPU-…", "utilization": 0.93, "power_watts": 412}]},
//	  {"samples": [{"uuid": "GPU-…", "error": {"code": "gpu_lost", "message": "…"}}]},
//	  {"error": {"code": "no_nvml", "message": "…"}},
//	  {"hang_seconds": 60},
//	  {"crash": true}
//	]}
//
// A sample has the fields of [Sample]; those left out are what the GPU has not.
type recording struct {
	Version string          `json:"driver"`
	Loop    bool            `json:"loop"`
	Frames  []recordedFrame `json:"frames"`

	next int
}

type recordedFrame struct {
	Samples []recordedSample `json:"samples"`
	Error   *Error           `json:"error"`        // the library fails as a whole
	Hang    float64          `json:"hang_seconds"` // it does not answer
	Crash   bool             `json:"crash"`        // it takes the process down
}

type recordedSample struct {
	Sample
	Error *Error `json:"error"`
}

var _ Backend = (*recording)(nil)

func openRecording(file string) (*recording, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, failed("read recorded samples", err)
	}
	r := &recording{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, failed("read recorded samples of "+file, err)
	}
	if len(r.Frames) == 0 {
		return nil, failed("read recorded samples of "+file, fmt.Errorf("it has no frames"))
	}
	return r, nil
}

func (r *recording) Driver() string { return r.Version }
func (r *recording) Close() error   { return nil }

// Devices goes on to the next frame.
func (r *recording) Devices() ([]Device, error) {
	r.next++
	f := r.frame()
	time.Sleep(time.Duration(f.Hang * float64(time.Second)))
	if f.Crash {
		_ = unix.Kill(os.Getpid(), unix.SIGSEGV) // as a library's fault would
		select {}                                // it may take a moment to arrive
	}
	if f.Error != nil {
		return nil, f.Error
	}
	var devices []Device
	for i := range f.Samples {
		devices = append(devices, f.Samples[i].Device)
	}
	return devices, nil
}

// frame is the one that plays now.
func (r *recording) frame() *recordedFrame {
	i := r.next - 1
	if r.Loop {
		i %= len(r.Frames)
	}
	return &r.Frames[min(i, len(r.Frames)-1)]
}

func (r *recording) Sample(d Device) (Sample, error) {
	f := r.frame()
	for i := range f.Samples {
		s := &f.Samples[i]
		if s.UUID != d.UUID {
			continue
		}
		if s.Error != nil {
			return Sample{}, s.Error
		}
		return s.Sample, nil
	}
	return Sample{}, failed("read GPU "+d.UUID, fmt.Errorf("it is not in the recording"))
}
