//go:build cuda

package lane

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"weft/gpu/cuda"
	"weft/kernels"
)

// Lane is a stream and the gang of jobs that it runs, one quantum after the
// other. It belongs to one goroutine, on a thread that is bound to the device.
type Lane struct {
	dev        *Device
	stream     *cuda.Stream
	began, end *cuda.Event

	gang    []*Job
	changed bool   // the table does not fit the gang
	version uint64 // of the gang
	choice  chooser

	header  *cuda.Host // what is copied to table: a kernels.Gang, then the slots
	table   cuda.Ptr
	room    int // slots that header and table hold
	blocks  int // slots of the table now
	layout  Kernel
	quantum int64 // the last one's number
	graph   gridGraph
}

// Outcome is what a quantum came to for one job: Job.Status says where it
// stands, Device what part of the quantum's device time it is charged.
type Outcome struct {
	Job    *Job
	Device time.Duration
}

// A Quantum is what one came to: the time it took on the device, and the part of
// it that the lane is charged, which the outcomes add up to.
type Quantum struct {
	Outcomes      []Outcome
	Took, Charged time.Duration
}

// NewLane makes a lane with an empty gang. Less is sooner, within the range
// that the device has for streams; it decides whose blocks go first, and
// preempts nothing.
func (d *Device) NewLane(priority int) (*Lane, error) {
	l := &Lane{dev: d}
	var err error
	if l.stream, err = d.ctx.NewStream(priority); err != nil {
		return nil, fmt.Errorf("make lane: %w", err)
	}
	for _, e := range []**cuda.Event{&l.began, &l.end} {
		if *e, err = d.ctx.NewEvent(true); err != nil {
			return nil, fmt.Errorf("make lane: %w", errors.Join(err, l.Close()))
		}
	}
	return l, nil
}

// Close gives the lane's stream and table back; its gang must be empty.
func (l *Lane) Close() error {
	errs := []error{l.graph.close()}
	for _, e := range []*cuda.Event{l.began, l.end} {
		if e != nil {
			errs = append(errs, e.Close())
		}
	}
	if l.header != nil {
		errs = append(errs, l.dev.unpin(l.header))
	}
	if l.table != 0 {
		errs = append(errs, l.stream.FreeAsync(l.table), l.stream.Synchronize())
	}
	return errors.Join(append(errs, l.stream.Close())...)
}

// Join adds a job to the gang from the next quantum on.
func (l *Lane) Join(j *Job) {
	l.gang = append(l.gang, j)
	l.regang()
}

// Leave takes a job out of the gang.
func (l *Lane) Leave(j *Job) {
	if i := slices.Index(l.gang, j); i >= 0 {
		l.gang = slices.Delete(l.gang, i, i+1)
		l.regang()
	}
}

func (l *Lane) regang() {
	l.changed = true
	l.version++
}

// Jobs returns how many jobs the gang has.
func (l *Lane) Jobs() int { return len(l.gang) }

// Run gives the gang one quantum and returns when the device has done it. An
// error is the device's; [cuda.IsFatal] says whether the context is lost.
func (l *Lane) Run() (Quantum, error) {
	if len(l.gang) == 0 {
		return Quantum{}, nil
	}
	kernel := l.dev.kernel
	if kernel == Auto {
		kernel = l.choice.next(l.version)
	}
	use := l.dev.usage.begin(time.Now())
	err := l.launch(kernel)
	if err == nil {
		if err = l.end.Synchronize(); err != nil {
			err = fmt.Errorf("wait for quantum: %w", err)
		}
	}
	part := l.dev.usage.end(use, time.Now())
	if err != nil {
		return Quantum{}, err
	}
	took, err := cuda.Elapsed(l.began, l.end)
	if err != nil {
		return Quantum{}, fmt.Errorf("time quantum: %w", err)
	}
	if kernel == Grid {
		l.graph.took = took / time.Duration(l.graph.times)
	}
	l.choice.observe(kernel, l.work(), took.Seconds())
	charged := time.Duration(float64(took) * part)
	return Quantum{Outcomes: l.charge(charged), Took: took, Charged: charged}, nil
}

// launch sends a quantum to the device.
func (l *Lane) launch(kernel Kernel) error {
	if err := l.tabulate(kernel); err != nil {
		return err
	}
	l.quantum = l.dev.quanta.Add(1)
	budget := l.dev.quantum
	if waves := (len(l.gang) + l.dev.room - 1) / l.dev.room; kernel == Block && waves > 1 {
		budget /= time.Duration(waves)
	}
	*l.gangHeader() = kernels.Gang{
		Slots: uint64(l.table) + uint64(slotsOffset), Quantum: l.quantum, BudgetNS: budget.Nanoseconds(),
	}
	if err := l.stream.CopyIn(l.table, l.header.Bytes[:slotsOffset]); err != nil {
		return fmt.Errorf("send quantum: %w", err)
	}
	if err := l.stream.Record(l.began); err != nil {
		return fmt.Errorf("mark quantum: %w", err)
	}
	var err error
	if kernel == Block {
		err = l.send(kernels.WholeQuantum)
	} else {
		err = l.runGraph(budget)
	}
	if err != nil {
		return fmt.Errorf("launch quantum: %w", err)
	}
	if err := l.stream.Record(l.end); err != nil {
		return fmt.Errorf("mark quantum: %w", err)
	}
	return nil
}

// send launches the kernel, with so many launches to follow in the quantum.
func (l *Lane) send(left uint32) error {
	return l.stream.Launch(l.dev.train, l.blocks, kernels.Block, kernels.SharedBytes, cuda.Pointer(l.table), cuda.Uint32(left))
}

// slotsOffset is where the slots begin behind the kernels.Gang.
const slotsOffset = 256

// tabulate says in the table which block works on which job.
func (l *Lane) tabulate(kernel Kernel) error {
	if !l.changed && l.layout == kernel {
		return nil
	}
	width := make([]uint32, len(l.gang))
	if kernel == Grid {
		useful := make([]int, len(l.gang))
		for i, j := range l.gang {
			useful[i] = j.program.Tiles
		}
		width = widths(useful, l.dev.room)
	} else {
		for i := range width {
			width[i] = 1
		}
	}
	blocks := 0
	for _, w := range width {
		blocks += int(w)
	}
	if err := l.reserve(blocks); err != nil {
		return err
	}
	slots := l.slots()[:0]
	for i, j := range l.gang {
		for rank := range width[i] {
			slots = append(slots, kernels.Slot{
				Job: uint64(j.at) + uint64(j.program.StateOffset), Rank: rank, Width: width[i],
			})
		}
	}
	bytes := blocks * int(unsafe.Sizeof(kernels.Slot{}))
	if err := l.stream.CopyIn(l.table+slotsOffset, l.header.Bytes[slotsOffset:slotsOffset+bytes]); err != nil {
		return fmt.Errorf("send gang: %w", err)
	}
	l.blocks, l.layout, l.changed = blocks, kernel, false
	return nil
}

// reserve makes room for so many slots.
func (l *Lane) reserve(slots int) error {
	if slots <= l.room {
		return nil
	}
	room := max(2*l.room, slots, 64)
	bytes := slotsOffset + int64(room)*int64(unsafe.Sizeof(kernels.Slot{}))
	header, err := l.dev.pinned(bytes)
	if err != nil {
		return err
	}
	// In order of this stream, so that the lane waits for nobody's uploads.
	table, err := l.stream.AllocAsync(bytes)
	if err == nil && l.table != 0 {
		err = l.stream.FreeAsync(l.table)
	}
	if cuda.IsOutOfMemory(err) {
		err = ErrNoMemory
	}
	if err != nil {
		return errors.Join(err, l.dev.unpin(header))
	}
	old := l.header
	l.header, l.table, l.room = header, table, room
	l.graph.stale = true
	if old != nil {
		return l.dev.unpin(old)
	}
	return nil
}

func (l *Lane) gangHeader() *kernels.Gang {
	return (*kernels.Gang)(unsafe.Pointer(unsafe.SliceData(l.header.Bytes)))
}

func (l *Lane) slots() []kernels.Slot {
	return unsafe.Slice((*kernels.Slot)(unsafe.Pointer(&l.header.Bytes[slotsOffset])), l.room)
}

// work is the operations that the quantum did, of which the chooser wants the rate.
func (l *Lane) work() float64 {
	var sum float64
	for _, j := range l.gang {
		sum += float64(j.status.Step-j.step) * float64(max(j.program.StepFlops, 1))
		j.step = j.status.Step
	}
	return sum
}

// charge shares the lane's device time among its jobs: by the time that each
// had a block, or by the number of its blocks.
func (l *Lane) charge(took time.Duration) []Outcome {
	out := make([]Outcome, len(l.gang))
	share := make([]float64, len(l.gang))
	var sum float64
	for i, j := range l.gang {
		out[i].Job = j
		if j.status.Quantum != l.quantum {
			continue // it had nothing to do
		}
		share[i] = float64(max(j.program.Tiles, 1))
		if l.layout == Block {
			share[i] = float64(j.status.BusyNS)
		}
		sum += share[i]
	}
	if sum == 0 { // it found nothing to do, and took its time all the same
		for i := range share {
			share[i] = 1
		}
		sum = float64(len(share))
	}
	for i := range out {
		out[i].Device = time.Duration(float64(took) * share[i] / sum)
	}
	return out
}
