//go:build cuda

package cuda

// #include <cuda.h>
//
// static CUresult load(CUmodule *module, const void *image, char *log, size_t size) {
// 	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
// 	void *values[] = {log, (void *)size};
// 	return cuModuleLoadDataEx(module, image, 2, options, values);
// }
import "C"

import (
	"strings"
	"unsafe"

	"gorgonia.org/cu"
)

// Module is kernels loaded into a context.
type Module struct {
	handle  cu.Module
	context *Context
}

// Load takes PTX, which the driver compiles for the device (seconds at the first
// time, then from its cache in ~/.nv), or code that is compiled already: a cubin,
// or the simulator's shared object. When PTX does not compile, the error has the
// compiler's log.
func (c *Context) Load(image []byte) (*Module, error) {
	if c.over.Load() {
		return nil, closed("cuModuleLoadDataEx")
	}
	text := make([]byte, len(image)+1) // PTX ends with a zero byte
	copy(text, image)
	const size = 16 << 10
	log := C.calloc(1, size)
	defer C.free(log)
	m := &Module{context: c}
	r := C.load((*C.CUmodule)(unsafe.Pointer(&m.handle)), unsafe.Pointer(&text[0]), (*C.char)(log), size-1)
	if r != C.CUDA_SUCCESS {
		err := newError("cuModuleLoadDataEx", int(r))
		err.Log = strings.TrimSpace(C.GoString((*C.char)(log)))
		return nil, err
	}
	c.live[modules].Add(1)
	return m, nil
}

// Unload removes the module and its functions; a second call does nothing.
func (m *Module) Unload() error {
	if m.handle == (cu.Module{}) {
		return nil
	}
	err := m.context.release(modules, func() error { return wrap("cuModuleUnload", m.handle.Unload()) })
	if err == nil {
		m.handle = cu.Module{}
	}
	return err
}

// Function is a kernel of a module.
type Function struct{ handle cu.Function }

// Function finds a kernel by its name in PTX, extern "C".
func (m *Module) Function(name string) (*Function, error) {
	if m.handle == (cu.Module{}) || m.context.over.Load() {
		return nil, closed("cuModuleGetFunction " + name)
	}
	f, err := m.handle.Function(name)
	if err != nil {
		return nil, wrap("cuModuleGetFunction "+name, err)
	}
	return &Function{f}, nil
}

// SetDynamicShared lets launches of f ask for so many bytes of shared memory;
// more than 48 KiB must be asked for, up to [Info].SharedBytes less what the
// kernel declares itself.
func (f *Function) SetDynamicShared(bytes int) error {
	return check("cuFuncSetAttribute",
		C.cuFuncSetAttribute(function(f.handle), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

// SetCarveout asks for the share, in percent, of each multiprocessor's first
// cache that is shared memory while f runs; -1 leaves it to the driver.
func (f *Function) SetCarveout(percent int) error {
	return check("cuFuncSetAttribute",
		C.cuFuncSetAttribute(function(f.handle), C.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, C.int(percent)))
}

// BlocksPerSM is how many blocks of so many threads and so much dynamic shared
// memory a multiprocessor runs at once.
func (f *Function) BlocksPerSM(threads, shared int) (int, error) {
	n, err := f.handle.MaxActiveBlocksPerMultiProcessor(threads, int64(shared))
	return n, wrap("cuOccupancyMaxActiveBlocksPerMultiprocessor", err)
}

// Attributes is what the compiler made of a kernel.
type Attributes struct {
	MaxThreads  int // of a block
	Registers   int // of a thread
	SharedBytes int // that the kernel declares itself, a block
	LocalBytes  int // a thread: spilled registers and local arrays
	ConstBytes  int
	PTX, Binary int // 10*major + minor of the PTX and of the code
}

// Attributes asks the driver about f.
func (f *Function) Attributes() (Attributes, error) {
	var a Attributes
	for _, q := range []struct {
		to *int
		of cu.FunctionAttribute
	}{
		{&a.MaxThreads, C.CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK},
		{&a.Registers, C.CU_FUNC_ATTRIBUTE_NUM_REGS},
		{&a.SharedBytes, C.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES},
		{&a.LocalBytes, C.CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES},
		{&a.ConstBytes, C.CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES},
		{&a.PTX, C.CU_FUNC_ATTRIBUTE_PTX_VERSION},
		{&a.Binary, C.CU_FUNC_ATTRIBUTE_BINARY_VERSION},
	} {
		var err error
		if *q.to, err = f.handle.Attribute(q.of); err != nil {
			return Attributes{}, wrap("cuFuncGetAttribute", err)
		}
	}
	return a, nil
}
