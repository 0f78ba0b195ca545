package sched

import (
	"fmt"

	"weft/daemon/api"
)

// Fits reports whether job could ever run on one of devices, were it empty.
// If not, it is an [*api.Error]: not_found when no device is what the job asks
// for, too_large when none that is has the memory.
func Fits(devices []Device, job Job) error {
	var largest *Device
	for i := range devices {
		d := &devices[i]
		n := job.need(d.Kind)
		if n.never || !wanted(job.WantDevice, d) {
			continue
		}
		if n.memory+n.data <= d.MemoryBytes {
			return nil
		}
		if largest == nil || d.MemoryBytes > largest.MemoryBytes {
			largest = d
		}
	}
	if largest == nil {
		return &api.Error{Code: api.CodeNotFound, Message: "there is no " + wish(job.WantDevice),
			Hint: "device: auto takes what is there"}
	}
	n := job.need(largest.Kind)
	return &api.Error{Code: api.CodeTooLarge,
		Message: fmt.Sprintf("needs %s, %s has %s in all", size(n.memory+n.data), largest.ID, size(largest.MemoryBytes)),
		Hint:    "make batch_size, the model or the data smaller"}
}
