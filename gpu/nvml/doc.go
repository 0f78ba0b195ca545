// Package nvml reads the sensors of GPUs: utilization, memory, power, clocks,
// errors, and who uses them.
//
// A [Backend] is where readings come from: NVIDIA's management library, through
// go-nvml and behind the build tag cuda; a file of recorded ones, for tests and
// demos; or nothing, with the reason. [Open] chooses. A [Reader] asks a backend
// over and over and makes a [Frame] of what it says, whatever happens to a GPU
// meanwhile.
//
// The library is NVIDIA's code, so the daemon never loads it: [Watch] has a
// worker process (`weft worker nvml`, [WorkerMain]) read and send frames. A
// worker that hangs or dies is started again; until it tells something newer,
// what it told last is stale, and nothing else is harmed.
//
// Every reading is optional. What a GPU does not have, or a driver is too old to
// tell, is nil: null in JSON and never 0.
//
// It imports cpuwork/proc. Start reading at [Sample].
package nvml
