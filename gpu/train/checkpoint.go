package train

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"

	"weft/gpu/train/safetensors"
)

// A checkpoint is a safetensors file. Its tensors are the state's vectors and,
// last in the file, four bytes of CRC-32C over everything before them. Its
// metadata has the state's other fields as JSON and the identity of the job.
const (
	checkpointVersion = 1
	metaCheckpoint    = "weft.checkpoint"
	crcTensor         = "crc32c"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// counters is what of a [State] is not a vector.
type counters struct {
	Version     int              `json:"version"`
	Identity    string           `json:"identity"`
	Slots       int              `json:"slots"`
	HasBest     bool             `json:"has_best"`
	Epoch       int              `json:"epoch"`
	Step        int64            `json:"step"`
	EpochStep   int64            `json:"epoch_step"`
	LossSum     float            `json:"loss_sum"`
	LossRows    int64            `json:"loss_rows"`
	BestEpoch   int              `json:"best_epoch"`
	BestMetric  float            `json:"best_metric"`
	BadEpochs   int              `json:"bad_epochs"`
	EpochEnding bool             `json:"epoch_ending"`
	Finished    bool             `json:"finished"`
	Metrics     map[string]float `json:"metrics"` // null when the state's is nil
}

// float is a float64 that JSON carries as its bits, so that NaN, infinities
// and every last digit come back.
type float float64

func (f float) MarshalText() ([]byte, error) {
	return strconv.AppendUint(nil, math.Float64bits(float64(f)), 16), nil
}

func (f *float) UnmarshalText(b []byte) error {
	bits, err := strconv.ParseUint(string(b), 16, 64)
	*f = float(math.Float64frombits(bits))
	return err
}

// WriteCheckpoint replaces the file at path by the state st of a job on m.
// Identity says which job the state belongs to: [Spec.Hash], and whatever else
// must be the same at the resume. The write is atomic and durable; an error is
// a [*Fault] of code "disk".
func WriteCheckpoint(path, identity string, st *State, m *Model) error {
	blobs, err := checkpointBlobs(st, m)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	meta, err := json.Marshal(countersOf(identity, st))
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	err = replaceFile(path, func(w io.Writer) error { return writeSealed(w, string(meta), blobs) })
	if err != nil {
		return diskFault("checkpoint", path, err)
	}
	return nil
}

// writeSealed writes a checkpoint whose last blob is the checksum's place.
func writeSealed(w io.Writer, meta string, blobs []safetensors.Blob) error {
	sealed := &sealer{w: w}
	blobs[len(blobs)-1].Raw = sealed.crc[:] // holds the sum by the time it is written
	return safetensors.Write(sealed, map[string]string{metaCheckpoint: meta}, blobs)
}

// sealer keeps the CRC-32C of what passes through in crc, little-endian.
type sealer struct {
	w   io.Writer
	sum uint32
	crc [4]byte
}

func (s *sealer) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.sum = crc32.Update(s.sum, castagnoli, b[:n])
	binary.LittleEndian.PutUint32(s.crc[:], s.sum)
	return n, err
}

// checkpointBlobs lists the state's vectors, the checksum's place last.
func checkpointBlobs(st *State, m *Model) ([]safetensors.Blob, error) {
	var blobs []safetensors.Blob
	var err error
	add := func(name string, x []float32, want int) {
		if len(x) != want && err == nil {
			err = fmt.Errorf("%s has %d values, the model %d", name, len(x), want)
		}
		blobs = append(blobs, safetensors.Blob{Name: name, Shape: []int{len(x)}, F32: x})
	}
	add("params", st.Params, m.ParamSize)
	add("buffers", st.Buffers, m.BufferSize)
	for i, slot := range st.Slots {
		add(slotName(i), slot, m.ParamSize)
	}
	if st.Best != nil {
		add("best", st.Best, m.ParamSize+m.BufferSize)
	}
	return append(blobs, safetensors.Blob{Name: crcTensor, Shape: []int{4}, Raw: make([]byte, 4)}), err
}

func slotName(i int) string { return fmt.Sprintf("slot.%d", i) }

// ReadCheckpoint returns the state that [WriteCheckpoint] wrote for the same
// identity, bit for bit; slots is the optimizer's number of state vectors.
// An error wraps [fs.ErrNotExist] if there is no checkpoint, and is a [*Fault]
// if it is damaged (code "disk") or another job's (code "invalid").
func ReadCheckpoint(path, identity string, m *Model, slots int) (*State, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		return nil, &Fault{Code: "disk", Message: "cannot read the checkpoint: " + err.Error()}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, damaged(path, err)
	}
	return readCheckpoint(f, info.Size(), path, identity, m, slots)
}

// readCheckpoint is ReadCheckpoint on a file's bytes; path is for messages.
func readCheckpoint(r io.ReaderAt, size int64, path, identity string, m *Model, slots int) (*State, error) {
	if err := checkSeal(r, size); err != nil {
		return nil, damaged(path, err)
	}
	c, err := safetensors.NewReader(r, size)
	if err != nil {
		return nil, damaged(path, err)
	}
	var n counters
	if err := json.Unmarshal([]byte(c.Metadata[metaCheckpoint]), &n); err != nil {
		return nil, damaged(path, fmt.Errorf("its metadata is not a checkpoint's: %w", err))
	}
	const hint = "weft retry starts the job from its beginning"
	switch {
	case n.Version != checkpointVersion:
		return nil, &Fault{Code: "invalid", Hint: hint,
			Message: fmt.Sprintf("the checkpoint %s has version %d, this weft reads version %d",
				path, n.Version, checkpointVersion)}
	case n.Identity != identity:
		return nil, &Fault{Code: "invalid", Hint: hint,
			Message: fmt.Sprintf("the checkpoint %s belongs to another specification or other data", path)}
	}
	st, err := n.state(c, m, slots)
	if err != nil {
		return nil, damaged(path, err)
	}
	return st, nil
}

func damaged(path string, err error) *Fault {
	return &Fault{
		Code:    "disk",
		Message: fmt.Sprintf("the checkpoint %s is damaged: %v", path, err),
		Hint:    "weft retry starts the job from its beginning; look at the disk's health",
	}
}

// checkSeal compares a checkpoint's last four bytes with the CRC-32C of those
// before them.
func checkSeal(r io.ReaderAt, size int64) error {
	body := size - 4
	if body < 0 {
		return fmt.Errorf("it has only %s", count(int(size), "byte"))
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, body)); err != nil {
		return err
	}
	var stored [4]byte
	if n, err := r.ReadAt(stored[:], body); n < len(stored) {
		return err
	}
	if want, got := binary.LittleEndian.Uint32(stored[:]), sum.Sum32(); want != got {
		return fmt.Errorf("its checksum is %08x, its bytes give %08x", want, got)
	}
	return nil
}

func countersOf(identity string, st *State) counters {
	c := counters{
		Version: checkpointVersion, Identity: identity, Slots: len(st.Slots), HasBest: st.Best != nil,
		Epoch: st.Epoch, Step: st.Step, EpochStep: st.EpochStep,
		LossSum: float(st.LossSum), LossRows: st.LossRows,
		BestEpoch: st.BestEpoch, BestMetric: float(st.BestMetric), BadEpochs: st.BadEpochs,
		EpochEnding: st.EpochEnding, Finished: st.Finished,
	}
	if st.Metrics != nil {
		c.Metrics = make(map[string]float, len(st.Metrics))
		for k, v := range st.Metrics {
			c.Metrics[k] = float(v)
		}
	}
	return c
}

// state reads the vectors of a checkpoint with these counters.
func (n *counters) state(f *safetensors.File, m *Model, slots int) (*State, error) {
	if n.Slots != slots {
		return nil, fmt.Errorf("it has %d optimizer vectors, the job %d", n.Slots, slots)
	}
	st := &State{
		Epoch: n.Epoch, Step: n.Step, EpochStep: n.EpochStep,
		LossSum: float64(n.LossSum), LossRows: n.LossRows,
		BestEpoch: n.BestEpoch, BestMetric: float64(n.BestMetric), BadEpochs: n.BadEpochs,
		EpochEnding: n.EpochEnding, Finished: n.Finished,
	}
	if n.Metrics != nil {
		st.Metrics = make(map[string]float64, len(n.Metrics))
		for k, v := range n.Metrics {
			st.Metrics[k] = float64(v)
		}
	}
	var err error
	vector := func(name string, size int) []float32 {
		if err != nil {
			return nil
		}
		// The size is compared before anything is allocated for the file's.
		if t, ok := f.Lookup(name); ok && t.Elements() != size {
			err = fmt.Errorf("%s has %d values, the model %d", name, t.Elements(), size)
			return nil
		}
		var x []float32
		x, err = f.Float32s(name)
		return x
	}
	st.Params = vector("params", m.ParamSize)
	st.Buffers = vector("buffers", m.BufferSize)
	for i := range slots {
		st.Slots = append(st.Slots, vector(slotName(i), m.ParamSize))
	}
	if n.HasBest {
		st.Best = vector("best", m.ParamSize+m.BufferSize)
	}
	return st, err
}
