//go:build linux && (amd64 || arm64)

package baseline

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Numbers of turbojpeg.h.
const (
	tjAccurateDCT = 4096
	tjNoRealloc   = 1024
)

// turbo encodes with the system's libturbojpeg, or skips the test.
func turbo(tb testing.TB) func(m Image, o Options) []byte {
	tb.Helper()
	lib, err := purego.Dlopen("libturbojpeg.so.0", purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		tb.Skip("no libturbojpeg:", err)
	}
	symbol := func(name string) uintptr {
		at, err := purego.Dlsym(lib, name)
		if err != nil {
			tb.Fatal(err)
		}
		return at
	}
	compress, destroy, bufSize := symbol("tjCompress2"), symbol("tjDestroy"), symbol("tjBufSize")
	handle, _, _ := purego.SyscallN(symbol("tjInitCompress"))
	if handle == 0 {
		tb.Fatal("open libturbojpeg")
	}
	tb.Cleanup(func() { purego.SyscallN(destroy, handle) })
	answer := new(struct {
		out  unsafe.Pointer
		size uintptr
	})
	var buf []byte
	return func(m Image, o Options) []byte {
		format, samp := map[int]uintptr{1: 6, 3: 0, 4: 2}[m.Channels], uintptr(0)
		switch {
		case m.Channels == 1:
			samp = 3
		case o.Subsample:
			samp = 2
		}
		answer.size, _, _ = purego.SyscallN(bufSize, uintptr(m.Width), uintptr(m.Height), samp)
		if uintptr(len(buf)) < answer.size {
			buf = make([]byte, answer.size)
		}
		answer.out = unsafe.Pointer(&buf[0])
		var pinned runtime.Pinner
		pinned.Pin(answer.out)
		defer pinned.Unpin()
		failed, _, _ := purego.SyscallN(compress, handle, uintptr(unsafe.Pointer(&m.Pix[0])), uintptr(m.Width), uintptr(m.Stride),
			uintptr(m.Height), format, uintptr(unsafe.Pointer(&answer.out)), uintptr(unsafe.Pointer(&answer.size)), samp,
			uintptr(o.Quality), tjNoRealloc|tjAccurateDCT)
		runtime.KeepAlive(m.Pix)
		if int32(failed) != 0 {
			tb.Fatal("libturbojpeg failed")
		}
		return buf[:answer.size]
	}
}
