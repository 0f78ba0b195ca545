package gpu

// Sharing is how the jobs of a device share it. The results are the same bits
// in every mode; the time they take is not.
type Sharing string

// The modes.
const (
	// SharingAuto is what suits the device: on the host a few more jobs than
	// cores taking turns, on a GPU one gang, with lanes of their own for jobs
	// of higher and of lower priority.
	SharingAuto Sharing = "auto"
	// SharingSequential runs one job at a time.
	SharingSequential Sharing = "sequential"
	// SharingStreams gives each job a lane: a core, or a CUDA stream.
	SharingStreams Sharing = "streams"
	// SharingFused makes all jobs one gang: on the host they take turns on all
	// cores, on a GPU one kernel serves them together.
	SharingFused Sharing = "fused"
)

// Sharings lists the modes.
var Sharings = []Sharing{SharingAuto, SharingSequential, SharingStreams, SharingFused}

// fusedSlots is how many jobs are resident where the mode wants all of them to
// be: as many as a worker can name when it dies.
const fusedSlots = maxSeats
