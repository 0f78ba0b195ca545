//go:build cuda

package cuda

// #include <cuda.h>
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"weft/gpu/cuda/shim"
)

// library is the driver's, by the name under which every NVIDIA driver installs it.
const library = "libcuda.so.1"

// folders are those in which containers and distributions put the driver
// without telling the system's loader.
var folders = []string{
	"/usr/local/nvidia/lib64", // GPU operators of Kubernetes
	"/usr/lib/wsl/lib",        // Windows
	"/run/opengl-driver/lib",  // NixOS
	"/usr/lib/" + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-linux-gnu",
	"/usr/lib64",
}

// loadDriver opens the library that WEFT_CUDA_DRIVER names, or else the
// system's.
func loadDriver() error {
	if path := os.Getenv(DriverVariable); path != "" {
		return loadNamed(path)
	}
	words := shim.Load(library)
	if words == nil {
		return nil
	}
	for _, folder := range folders {
		if shim.Load(filepath.Join(folder, library)) == nil {
			return nil
		}
	}
	if errors.Is(words, shim.ErrNoInit) {
		return &ProbeError{
			Code:    NotADriver,
			Message: fmt.Sprintf("the %s that the system's loader finds is not a CUDA driver: %v", library, words),
			Hint:    "reinstall the NVIDIA driver, or set " + DriverVariable + " to the path of its " + library,
		}
	}
	return &ProbeError{
		Code: NoDriver,
		Message: fmt.Sprintf("no NVIDIA driver found: looked for %s where the system's loader looks (%v) and in %s",
			library, words, strings.Join(folders, ", ")),
		Hint: "install the NVIDIA driver, so that nvidia-smi lists the GPU; in a container, start it with its GPUs " +
			"(docker run --gpus all); or set " + DriverVariable + " to the path of " + library,
	}
}

// loadNamed opens the library that the user named.
func loadNamed(path string) error {
	words := shim.Load(path)
	if words == nil {
		return nil
	}
	failure := &ProbeError{
		Code: NotADriver,
		Hint: fmt.Sprintf("set %s to the path of %s or of a library like it, or unset it to use the system's", DriverVariable, library),
	}
	from := fmt.Sprintf("%s (from %s)", path, DriverVariable)
	var missing *fs.PathError
	switch kind, err := fileKind(path); {
	case errors.As(err, &missing) && strings.ContainsRune(path, '/'):
		failure.Code = NoDriver
		failure.Message = fmt.Sprintf("no CUDA driver at %s: %v", from, missing.Err)
	case errors.Is(words, shim.ErrNoInit):
		failure.Message = fmt.Sprintf("%s is not a CUDA driver: %v", from, words)
	case err == nil && kind != "":
		failure.Message = fmt.Sprintf("%s is not a CUDA driver: it is %s, not a shared library", from, kind)
	case err != nil: // a bare name, which is for dlopen to find
		failure.Code = NoDriver
		failure.Message = fmt.Sprintf("no CUDA driver found under the name %s: %v", from, words)
	default:
		failure.Message = fmt.Sprintf("%s cannot be loaded: %v", from, words)
	}
	return failure
}

// fileKind says what the file is when it cannot be a shared library; empty for
// one that can.
func fileKind(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return "a folder", nil
	}
	magic := make([]byte, 4)
	n, _ := f.Read(magic) // what cannot be read is no library either
	switch {
	case n == 0:
		return "an empty file", nil
	case !bytes.Equal(magic, []byte("\x7fELF")):
		return "no ELF file", nil
	}
	return "", nil
}

func tooOld(d Driver) error {
	return &ProbeError{
		Code: DriverTooOld,
		Message: fmt.Sprintf("the NVIDIA driver at %s is too old: it supports CUDA %s, weft needs %s or newer",
			d.Path, FormatVersion(d.Version), FormatVersion(MinVersion)),
		Hint: "update the NVIDIA driver to version 470 or newer",
	}
}

// initHints is what to try when the driver does not start with an error.
var initHints = map[C.CUresult]string{
	C.CUDA_ERROR_OUT_OF_MEMORY: "the process may use too little memory: see ulimit -v and the container's limit",
	C.CUDA_ERROR_STUB_LIBRARY: "this library is the CUDA toolkit's stub, made for linking only; take its folder out of " +
		"LD_LIBRARY_PATH, or set " + DriverVariable + " to the driver's own " + library,
	C.CUDA_ERROR_DEVICE_UNAVAILABLE:             "another process may hold the GPU: see nvidia-smi",
	C.CUDA_ERROR_OPERATING_SYSTEM:               "see whether this user may open /dev/nvidia*, and what dmesg says of NVRM",
	C.CUDA_ERROR_SYSTEM_NOT_READY:               "start the fabric manager (systemctl start nvidia-fabricmanager), then see nvidia-smi",
	C.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:         "the driver was updated under a running kernel module: reboot, or unload and load the nvidia modules",
	C.CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE: "take the CUDA compatibility libraries (cuda-compat) out of LD_LIBRARY_PATH",
	C.CUDA_ERROR_MPS_CONNECTION_FAILED:          "start the MPS control daemon, or unset CUDA_MPS_PIPE_DIRECTORY",
	C.CUDA_ERROR_UNKNOWN: "see whether nvidia-smi works and /dev/nvidia-uvm exists (nvidia-modprobe -u makes it); " +
		"after a suspend or an update, reboot",
}

// initFailed is what Probe answers when the driver was found but does not work.
func initFailed(d Driver, err error) error {
	number := numberOf(err)
	if number == C.CUDA_ERROR_NO_DEVICE {
		return noDevice(d, err)
	}
	hint, ok := initHints[number]
	if !ok {
		hint = "see whether nvidia-smi works, and what dmesg says of NVRM"
	}
	return &ProbeError{
		Code:    InitFailed,
		Message: fmt.Sprintf("the NVIDIA driver at %s does not start: %v", known(d), err),
		Hint:    hint,
		Err:     err,
	}
}

// known is a driver's file and, where it told, its version.
func known(d Driver) string {
	if d.Version == 0 {
		return d.Path
	}
	return fmt.Sprintf("%s (CUDA %s)", d.Path, FormatVersion(d.Version))
}

// noDevice is for a driver that works and shows no device.
func noDevice(d Driver, err error) error {
	if value, set := visible(); set {
		return &ProbeError{
			Code:    Hidden,
			Message: fmt.Sprintf("%s=%q leaves no GPU to use", visibleVariable, value),
			Hint:    "unset " + visibleVariable + ", or give numbers or UUIDs that nvidia-smi -L lists",
			Err:     err,
		}
	}
	return &ProbeError{
		Code:    NoDevice,
		Message: fmt.Sprintf("the NVIDIA driver at %s finds no GPU", known(d)),
		Hint:    "see whether lspci and nvidia-smi list the GPU; in a container, start it with its GPUs (docker run --gpus all)",
		Err:     err,
	}
}
