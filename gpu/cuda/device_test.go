//go:build cuda

package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"unsafe"
)

// testVariable set to gpu has the tests run on the machine's GPU instead of the
// simulator, WEFT_CUDA_TEST=gpu go test -tags cuda ./gpu/cuda; set to fake it has
// benchmarks run on testdata/fake.c.
const testVariable = "WEFT_CUDA_TEST"

// errNoCompiler is why tests on the simulator are skipped.
var errNoCompiler = errors.New("the simulator is compiled with g++ and make")

// Set by prepare.
var (
	workshop  string // folder of the simulator; TestMain removes it
	imageFile = "testdata/kernels.ptx"
)

// prepare compiles the simulator and the test kernels once a process, and has
// Probe find it. It returns the kernels' image.
var prepare = sync.OnceValues(func() ([]byte, error) {
	if os.Getenv(testVariable) == "gpu" {
		return os.ReadFile(imageFile)
	}
	var err error
	if workshop, err = os.MkdirTemp("", "weft-cuda-test-"); err != nil {
		return nil, err
	}
	driver := filepath.Join(workshop, "libcudasim.so")
	if os.Getenv(testVariable) == "fake" {
		if err := run("gcc", "-shared", "-fPIC", "-O2", "-Iinclude", "testdata/fake.c", "-o", driver); err != nil {
			return nil, err
		}
		return []byte("an image"), os.Setenv(DriverVariable, driver)
	}
	for _, tool := range []string{"g++", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoCompiler, err)
		}
	}
	if err := run("make", "-j", strconv.Itoa(runtime.NumCPU()), "-C", "../../kernels/sim", "OUT="+workshop, driver); err != nil {
		return nil, err
	}
	if err := run("make", "-C", "../../kernels/sim", "OUT="+workshop, "module", "SOURCE=../../gpu/cuda/testdata/kernels.cu"); err != nil {
		return nil, err
	}
	if err := os.Setenv(DriverVariable, driver); err != nil {
		return nil, err
	}
	imageFile = filepath.Join(workshop, "kernels.so")
	return os.ReadFile(imageFile)
})

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// device opens the GPU or the simulator, current on the test's thread, which
// stays locked. At the end all that the test made must be closed.
func device(t testing.TB) (*Context, *Module) {
	t.Helper()
	image, err := prepare()
	if errors.Is(err, errNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // for good: the thread ends with the test's goroutine
	c := must(Open(0))(t)
	t.Cleanup(func() { check0(t, c.Close()) })
	m := must(c.Load(image))(t)
	t.Cleanup(func() { check0(t, m.Unload()) })
	return c, m
}

// must(f())(t) is f's value; an error ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		check0(t, err)
		return v
	}
}

func check0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStream(t testing.TB, c *Context) *Stream {
	t.Helper()
	s := must(c.NewStream(0))(t)
	t.Cleanup(func() { check0(t, s.Close()) })
	return s
}

func newEvent(t testing.TB, c *Context, timing bool) *Event {
	t.Helper()
	e := must(c.NewEvent(timing))(t)
	t.Cleanup(func() { check0(t, e.Close()) })
	return e
}

func alloc(t testing.TB, c *Context, bytes int64) Ptr {
	t.Helper()
	p := must(c.Alloc(bytes))(t)
	t.Cleanup(func() { check0(t, c.Free(p)) })
	return p
}

// hostWords takes page-locked memory, zeroed, as 32-bit words.
func hostWords(t testing.TB, c *Context, n int64) (*Host, []uint32) {
	t.Helper()
	h := must(c.AllocHost(4 * n))(t)
	t.Cleanup(func() { check0(t, h.Free()) })
	clear(h.Bytes)
	return h, unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(h.Bytes))), n)
}

func function0(t testing.TB, m *Module, name string) *Function {
	t.Helper()
	return must(m.Function(name))(t)
}

func floats(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func float(b []byte, i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
