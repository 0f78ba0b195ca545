package train

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// smallModel has parameters and buffers: a batch norm between two layers.
func smallModel(t testing.TB) *Model {
	return mustCompose(t, withModel(`[{"linear":2},"batchnorm1d",{"linear":10}]`), digitsInfo())
}

// drawState draws any bits for every field: NaN payloads, infinities and -0.
func drawState(t *rapid.T, m *Model, slots int) *State {
	vector := func(label string, n int) []float32 {
		x := make([]float32, n)
		seed := rapid.Uint32().Draw(t, label)
		for i := range x {
			seed = seed*1664525 + 1013904223
			x[i] = math.Float32frombits(seed)
		}
		copy(x, []float32{float32(math.Copysign(0, -1)), math.Float32frombits(0x7f800001), float32(math.Inf(-1))})
		return x
	}
	bits := rapid.Custom(func(t *rapid.T) float64 { return math.Float64frombits(rapid.Uint64().Draw(t, "bits")) })
	count := rapid.IntRange(0, 1<<40)
	st := &State{
		Params: vector("params", m.ParamSize), Buffers: vector("buffers", m.BufferSize),
		Epoch: count.Draw(t, "epoch"), Step: int64(count.Draw(t, "step")), EpochStep: int64(count.Draw(t, "epoch step")),
		LossSum: bits.Draw(t, "loss sum"), LossRows: int64(count.Draw(t, "loss rows")),
		BestEpoch: count.Draw(t, "best epoch"), BestMetric: bits.Draw(t, "best metric"),
		BadEpochs:   count.Draw(t, "bad epochs"),
		EpochEnding: rapid.Bool().Draw(t, "ending"), Finished: rapid.Bool().Draw(t, "finished"),
	}
	for range slots {
		st.Slots = append(st.Slots, vector("slot", m.ParamSize))
	}
	if rapid.Bool().Draw(t, "has best") {
		st.Best = vector("best", m.ParamSize+m.BufferSize)
	}
	if rapid.Bool().Draw(t, "has metrics") {
		st.Metrics = rapid.MapOf(rapid.String(), bits).Draw(t, "metrics")
	}
	return st
}

// sameBits compares floats by their bits.
var sameBits = cmp.Options{
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
}

func TestCheckpointRoundTrip(t *testing.T) {
	m := smallModel(t)
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(0, 3).Draw(t, "slots")
		want := drawState(t, m, slots)
		blobs, err := checkpointBlobs(want, m)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := writeSealed(&file, string(marshal(t, countersOf("job", want))), blobs); err != nil {
			t.Fatal(err)
		}
		got, err := readCheckpoint(bytes.NewReader(file.Bytes()), int64(file.Len()), "checkpoint", "job", m, slots)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameBits); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A checkpoint replaces the one before it and leaves nothing else behind, not
// even after a writer that died.
func TestCheckpointFile(t *testing.T) {
	m, dir := smallModel(t), t.TempDir()
	path := filepath.Join(dir, "checkpoint")
	if err := os.WriteFile(path+".tmp", []byte("half a checkpoint of a writer that died"), 0o600); err != nil {
		t.Fatal(err)
	}
	for step := range int64(2) {
		want := plainState(m)
		want.Step = step
		if err := WriteCheckpoint(path, "job", want, m); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCheckpoint(path, "job", m, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("%v left behind, %v", names, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// plainState is a state of numbers that are easy to compare.
func plainState(m *Model) *State {
	st := &State{Params: make([]float32, m.ParamSize), Buffers: make([]float32, m.BufferSize), Step: 3,
		Metrics: map[string]float64{"val_loss": 0.5}}
	for i := range st.Params {
		st.Params[i] = float32(i)
	}
	return st
}

func writtenCheckpoint(t testing.TB, m *Model) (path string, file []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "checkpoint")
	if err := WriteCheckpoint(path, "job", plainState(m), m); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, file
}

// Every single flipped bit and every cut is refused in words.
func TestDamagedCheckpoints(t *testing.T) {
	m := smallModel(t)
	path, file := writtenCheckpoint(t, m)
	refused := func(what string, b []byte) {
		t.Helper()
		st, err := readCheckpoint(bytes.NewReader(b), int64(len(b)), path, "job", m, 0)
		var f *Fault
		if st != nil || !errors.As(err, &f) || f.Code != "disk" ||
			!strings.HasPrefix(f.Message, "the checkpoint "+path+" is damaged: ") ||
			f.Hint != "weft retry starts the job from its beginning; look at the disk's health" {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range file {
		b := bytes.Clone(file)
		b[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("bit flipped in byte %d", i), b)
	}
	for n := 0; n < len(file); n += 7 {
		refused(fmt.Sprintf("cut at %d", n), file[:n])
	}
	refused("longer", append(bytes.Clone(file), 0))
	refused("zeros", make([]byte, len(file)))
}

func TestCheckpointFaults(t *testing.T) {
	m := smallModel(t)
	path, file := writtenCheckpoint(t, m)
	if _, err := ReadCheckpoint(path+"x", "job", m, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	other := mustCompose(t, withModel(`[{"linear":2},"batchnorm1d",{"linear":11}]`), digitsInfo())
	empty := path + ".empty"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, identity string
		model          *Model
		slots          int
		code, want     string
	}{
		{path, "another", m, 0, "invalid", "the checkpoint " + path + " belongs to another specification or other data"},
		{path, "job", m, 1, "disk", "the checkpoint " + path + " is damaged: it has 0 optimizer vectors, the job 1"},
		{path, "job", other, 0, "disk", "the checkpoint " + path + " is damaged: params has 164 values, the model 167"},
		{empty, "job", m, 0, "disk", "the checkpoint " + empty + " is damaged: it has only 0 bytes"},
	} {
		_, err := ReadCheckpoint(c.path, c.identity, c.model, c.slots)
		var f *Fault
		if !errors.As(err, &f) || f.Code != c.code || f.Message != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	if len(file)%4 != 0 {
		t.Error("the checksum is not aligned")
	}
	wrong := plainState(m)
	wrong.Slots = [][]float32{{1}}
	if err := WriteCheckpoint(path, "job", wrong, m); err == nil ||
		err.Error() != "write checkpoint: slot.0 has 1 values, the model 164" {
		t.Error(err)
	}
}

// A full disk is told as such, and the last checkpoint stays. /dev/full stands
// for the full disk: the temporary file's name leads there.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	m := smallModel(t)
	path, before := writtenCheckpoint(t, m)
	if err := os.Symlink("/dev/full", path+".tmp"); err != nil {
		t.Fatal(err)
	}
	err := WriteCheckpoint(path, "job", plainState(m), m)
	want := &Fault{
		Code:    "disk",
		Message: "cannot write the checkpoint " + path + ": the disk is full",
		Hint:    "free space on the disk of " + filepath.Dir(path) + ", then weft retry",
	}
	var f *Fault
	if !errors.As(err, &f) || *f != *want {
		t.Errorf("got %+v, want %+v", err, want)
	}
	if _, err := os.Lstat(path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the temporary file is left behind")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the last checkpoint was touched", err)
	}
}

func TestUsedUpQuota(t *testing.T) {
	got := diskFault("model", "/d/m", fmt.Errorf("write m: %w", syscall.EDQUOT))
	want := Fault{Code: "disk", Message: "cannot write the model /d/m: the disk quota is used up",
		Hint: "free space or raise the quota on the disk of /d, then weft retry"}
	if *got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A later weft's checkpoint is refused by its version, not taken for damage.
func TestCheckpointVersion(t *testing.T) {
	m := smallModel(t)
	n := countersOf("job", plainState(m))
	n.Version = 2
	blobs, err := checkpointBlobs(plainState(m), m)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := writeSealed(&file, string(marshal(t, n)), blobs); err != nil {
		t.Fatal(err)
	}
	_, err = readCheckpoint(bytes.NewReader(file.Bytes()), int64(file.Len()), "/c", "job", m, 0)
	want := Fault{Code: "invalid", Message: "the checkpoint /c has version 2, this weft reads version 1",
		Hint: "weft retry starts the job from its beginning"}
	var f *Fault
	if !errors.As(err, &f) || *f != want {
		t.Errorf("got %+v, want %+v", err, want)
	}
}

func TestSlots(t *testing.T) {
	for keys, want := range map[string]int{
		`"adam"`: 2, `"adamw"`: 2, `"sgd"`: 0, `{"name":"sgd","momentum":0.9}`: 1, `"rmsprop"`: 1,
		`{"name":"rmsprop","momentum":0.9}`: 2, `{"name":"rmsprop","momentum":0.9,"centered":true}`: 3,
	} {
		if got := mustParse(t, with(`"optimizer":`+keys)).Optimizer.Slots(); got != want {
			t.Errorf("%s: %d state vectors, want %d", keys, got, want)
		}
	}
}

func TestUnwritableDirectory(t *testing.T) {
	m, path := smallModel(t), filepath.Join(t.TempDir(), "missing", "checkpoint")
	err := WriteCheckpoint(path, "job", plainState(m), m)
	var f *Fault
	if !errors.As(err, &f) || f.Code != "disk" ||
		f.Message != fmt.Sprintf("cannot write the checkpoint %s: open %s.tmp: no such file or directory", path, path) ||
		f.Hint != "look at the permissions and the health of "+filepath.Dir(path) {
		t.Errorf("%+v", err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	m := smallModel(f)
	_, file := writtenCheckpoint(f, m)
	f.Add(file[:len(file)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		// The checksum is put right, so that what it guards is reached.
		var sealed bytes.Buffer
		s := &sealer{w: &sealed}
		if _, err := s.Write(body); err != nil {
			t.Fatal(err)
		}
		file := append(sealed.Bytes(), s.crc[:]...)
		st, err := readCheckpoint(bytes.NewReader(file), int64(len(file)), "checkpoint", "job", m, 0)
		var fault *Fault
		switch {
		case err != nil && (!errors.As(err, &fault) || st != nil):
			t.Fatalf("%T %v", err, err)
		case err == nil && (len(st.Params) != m.ParamSize || len(st.Buffers) != m.BufferSize):
			t.Fatal("vectors of wrong length")
		}
	})
}

func BenchmarkWriteCheckpoint(b *testing.B) {
	m := mustCompose(b, withModel(`[{"linear":512},{"linear":512},{"linear":10}]`), digitsInfo())
	st := plainState(m)
	st.Slots = [][]float32{make([]float32, m.ParamSize), make([]float32, m.ParamSize)}
	path := filepath.Join(b.TempDir(), "checkpoint")
	b.ReportAllocs()
	b.SetBytes(int64(12 * m.ParamSize))
	for b.Loop() {
		if err := WriteCheckpoint(path, "job", st, m); err != nil {
			b.Fatal(err)
		}
	}
}
