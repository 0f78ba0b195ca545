// Package gpu runs training jobs on devices.
//
// A [Device] is one supervised worker process with the jobs resident on it; the
// daemon starts and stops jobs there and reads [Event] values. A [Loader] is a
// second kind of worker that reads data files, which come from outside and may
// be hostile or huge, so that neither the daemon nor a device has to: it hands
// prepared data sets over as sealed memory files that any worker maps.
//
// Inside a device's worker, jobs form a gang that lanes (threads on the host
// device) serve in quanta of some milliseconds, always the job that has had
// the least time. A job's numbers come from the job alone, so its company
// changes when it runs and never what it computes.
//
//	daemon ──Start, Stop──▶ Device ══frames══▶ worker: gang ──▶ host.Trainer
//	       ◀──Event────────        ◀══frames══         └─ files: checkpoint, model
//
// It imports gpu/host, gpu/train and cpuwork/proc. Start reading at device.go
// for the daemon's side and gang.go for the worker's.
package gpu
