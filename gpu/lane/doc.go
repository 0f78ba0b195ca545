// Package lane runs jobs on a CUDA device: it owns the context and its memory,
// and runs gangs of jobs on streams, a quantum at a time.
//
//	Device   context, kernels, memory, data sets shared by content
//	Job      a program (gpu/program) laid out in the device's memory
//	Lane     a stream and its gang: the jobs that every quantum moves on
//
// A quantum is some milliseconds in which the device runs alone: the kernels
// carry every job of the gang from step to step, through validation and epochs
// (kernels/control.cuh). Between two quanta the host reads what each job wrote
// into its Status, takes snapshots, and lets jobs join and leave.
//
// There are two ways to run a gang, with equal bits (kernels/train.cu): one
// block a job, or many. Which is faster depends on models, gang and device, so
// a lane measures both and keeps the faster; choose.go has the rule.
//
// Package cuda's calls need a thread to which the context is bound: a lane and
// everything on a device belongs to goroutines that hold theirs
// (runtime.LockOSThread) and have called [Device.Bind]. [Device] and
// [Snapshot.State] may be used by several of them at once, a [Lane] by one.
//
// All but the choosing is behind the build tag cuda. The package may import
// gpu/cuda, gpu/program, gpu/train and kernels. Start reading at lane.go.
package lane
