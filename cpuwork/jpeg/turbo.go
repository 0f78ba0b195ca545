//go:build linux && (amd64 || arm64)

package jpeg

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"weft/cpuwork"
)

// TurboJPEG's numbers (turbojpeg.h, 2.x; 3.x keeps these functions and values).
const (
	tjSamp444  = 0
	tjSamp420  = 2
	tjSampGray = 3

	tjRGB  = 0
	tjRGBX = 2
	tjGray = 6

	tjNoRealloc     = 1024
	tjAccurateDCT   = 4096 // version 3's default; version 2 has another one below quality 96
	tjStopOnWarning = 8192

	tjErrWarning = 0 // of tjGetErrorCode
)

// turboNames are tried in turn. The library's interface has been the same since
// its version 1.4; it calls itself 0.
var turboNames = []string{"libturbojpeg.so.0", "libturbojpeg.so"}

// turboLib is the library, loaded once and never unloaded.
type turboLib struct {
	initCompress, initDecompress, destroy uintptr
	compress, decompress, bufSize         uintptr
	errorStr                              func(handle uintptr) string
	errorCode                             uintptr
}

var loadTurbo = sync.OnceValues(func() (*turboLib, error) {
	var failed []error
	for _, name := range turboNames {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		return bindTurbo(handle)
	}
	return nil, errors.Join(failed...)
})

func bindTurbo(handle uintptr) (*turboLib, error) {
	var l turboLib
	var errorStr uintptr
	for name, to := range map[string]*uintptr{
		"tjInitCompress": &l.initCompress, "tjInitDecompress": &l.initDecompress, "tjDestroy": &l.destroy,
		"tjCompress2": &l.compress, "tjDecompress2": &l.decompress, "tjBufSize": &l.bufSize,
		"tjGetErrorStr2": &errorStr, "tjGetErrorCode": &l.errorCode,
	} {
		at, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", name, err)
		}
		*to = at
	}
	purego.RegisterFunc(&l.errorStr, errorStr)
	return &l, nil
}

// turbo is one compressor and one decompressor of the library. What C writes its
// answers to lies in this struct, which is on the heap and does not move.
type turbo struct {
	lib              *turboLib
	enc, dec         uintptr
	out              unsafe.Pointer // where tjCompress2 writes
	size             uintptr        // how much room there is, then how much was written
	pinned           runtime.Pinner
	openEnc, openDec bool
}

// newTurbo loads the library if need be. Its handles are closed when the turbo is
// no longer reachable: workers have no end that they are told of.
func newTurbo() (*turbo, error) {
	lib, err := loadTurbo()
	if err != nil {
		return nil, err
	}
	return &turbo{lib: lib}, nil
}

func (t *turbo) open(handle *uintptr, opened *bool, init uintptr) error {
	if *opened {
		return nil
	}
	h, _, _ := purego.SyscallN(init)
	if h == 0 {
		return errors.New("open libturbojpeg: " + t.lib.errorStr(0))
	}
	*handle, *opened = h, true
	destroy := t.lib.destroy
	runtime.AddCleanup(t, func(h uintptr) { purego.SyscallN(destroy, h) }, h)
	return nil
}

func (*turbo) name() string { return EncoderTurbo }

func (t *turbo) encode(dst []byte, f frame, o Encoding) ([]byte, error) {
	if err := t.open(&t.enc, &t.openEnc, t.lib.initCompress); err != nil {
		return dst, err
	}
	format, samp := tjRGBX, tjSamp420
	switch f.channels {
	case 1:
		format = tjGray
	case 3:
		format = tjRGB
	}
	switch {
	case f.channels == 1:
		samp = tjSampGray
	case o.Subsampling == Subsampling444:
		samp = tjSamp444
	}
	room, _, _ := purego.SyscallN(t.lib.bufSize, uintptr(f.w), uintptr(f.h), uintptr(samp))
	if room == ^uintptr(0) {
		return dst, fmt.Errorf("encode with libturbojpeg: %d x %d pixels are too many", f.w, f.h)
	}
	start := len(dst)
	dst = grow(dst, int(room)) // #nosec G115 -- a few times the pixels
	t.out, t.size = unsafe.Pointer(unsafe.SliceData(dst[start:start+1:cap(dst)])), room
	t.pinned.Pin(t.out)
	r, _, _ := purego.SyscallN(t.lib.compress, t.enc,
		uintptr(unsafe.Pointer(unsafe.SliceData(f.pix))), uintptr(f.w), uintptr(f.stride), uintptr(f.h), uintptr(format),
		uintptr(unsafe.Pointer(&t.out)), uintptr(unsafe.Pointer(&t.size)), uintptr(samp), uintptr(o.Quality), tjNoRealloc|tjAccurateDCT)
	t.pinned.Unpin()
	runtime.KeepAlive(f.pix)
	t.out = nil
	if int32(r) != 0 { // #nosec G115 -- a C int in a register
		return dst[:start], errors.New("encode with libturbojpeg: " + t.lib.errorStr(t.enc))
	}
	return dst[:start+int(t.size)], nil // #nosec G115 -- at most room
}

// grow makes room for n more bytes, without a copy of what need not be kept.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) > n {
		return dst
	}
	bigger := make([]byte, len(dst), len(dst)+n+1)
	copy(bigger, dst)
	return bigger
}

// decode stops at the first warning: what the library could only guess is no
// picture. The standard library then has the last word, which forgives other
// things.
func (t *turbo) decode(data []byte, h header, least size, s *scratch) (frame, int, error) {
	if err := t.open(&t.dec, &t.openDec, t.lib.initDecompress); err != nil {
		return frame{}, 0, err
	}
	denom := 1
	for denom < 8 && h.size.w/(2*denom) >= least.w && h.size.h/(2*denom) >= least.h {
		denom *= 2
	}
	format, channels := tjRGBX, 4
	if h.components == 1 {
		format, channels = tjGray, 1
	}
	f := s.frame((h.size.w+denom-1)/denom, (h.size.h+denom-1)/denom, channels)
	r, _, _ := purego.SyscallN(t.lib.decompress, t.dec,
		uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)),
		uintptr(unsafe.Pointer(unsafe.SliceData(f.pix))), uintptr(f.w), uintptr(f.stride), uintptr(f.h),
		uintptr(format), tjStopOnWarning)
	runtime.KeepAlive(data)
	if int32(r) == 0 { // #nosec G115 -- a C int in a register
		return f, denom, nil
	}
	message := strings.TrimSpace(t.lib.errorStr(t.dec))
	if code, _, _ := purego.SyscallN(t.lib.errorCode, t.dec); int32(code) == tjErrWarning { // #nosec G115 -- a C int
		return stdDecoder{}.decode(data, h, least, s)
	}
	return frame{}, 0, cpuwork.Failf(CodeBroken, "", "broken jpeg file: %s", message)
}
