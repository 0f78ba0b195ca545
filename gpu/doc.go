// Package gpu runs training jobs on devices.
//
// A [Device] is one supervised worker process with the jobs resident on it; the
// daemon starts and stops jobs there and reads [Event] values. A [Loader] is a
// second kind of worker that reads data files, which come from outside and may
// be hostile or huge, so that neither the daemon nor a device has to: it hands
// prepared data sets over as sealed memory files that any worker maps.
//
// Inside a device's worker, a roster holds the resident jobs and what the daemon
// is told of them, and an engine trains them on lanes, in quanta of some
// milliseconds: on the host a lane is a thread that serves the job that has had
// the least time, on a GPU it is a stream that serves a whole gang together. A
// job's numbers come from the job alone, so its company changes when it runs and
// never what it computes.
//
//	daemon ──Start, Stop──▶ Device ══frames══▶ worker: roster ── hostLanes ──▶ host.Trainer
//	       ◀──Event────────        ◀══frames══         │      └─ gpuLanes ───▶ lane.Lane
//	                                                   └─ files: checkpoint, model
//
// Only a GPU's worker and the probe ([Discover]) load the driver. The GPU's parts
// are behind the build tag cuda.
//
// It imports gpu/host, gpu/lane, gpu/cuda, gpu/program, gpu/train and
// cpuwork/proc. Start reading at device.go for the daemon's side and roster.go
// for the worker's, then hostlanes.go and gpulanes_cuda.go.
package gpu
