// Package simtest gives tests a GPU: the driver simulator of kernels/sim with
// the kernels compiled for it, or, where WEFT_GPU_CHECK is set, the machine's
// own. Only tests import it.
package simtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// RealGPU reports whether the tests run on the machine's own GPU.
func RealGPU() bool { return os.Getenv("WEFT_GPU_CHECK") != "" }

// Main runs a package's tests with the simulator as their driver, and returns
// their exit status. Where g++ is missing it says so and runs none.
func Main(m *testing.M) int {
	if RealGPU() {
		return m.Run()
	}
	env, err := Env()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if env == nil {
		fmt.Fprintln(os.Stderr, "SKIP: no g++ here to compile the driver simulator with; CI has one")
		return 0
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// Env builds the simulator, unless it was built from the same sources before,
// and returns the variables that select it; nil where g++ is missing.
func Env() (map[string]string, error) {
	dir, err := build("all")
	if dir == "" || err != nil {
		return nil, err
	}
	return map[string]string{
		"WEFT_CUDA_DRIVER":  filepath.Join(dir, "libcudasim.so"),
		"WEFT_CUDA_KERNELS": filepath.Join(dir, "kernels.so"),
	}, nil
}

// build runs make in kernels/sim once for all test programs and returns where
// the result lies: in the user's cache, named by what it was made of.
func build(target string) (string, error) {
	if _, err := exec.LookPath("g++"); err != nil {
		return "", nil
	}
	_, self, _, _ := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(self)))
	sum, err := hash(root)
	if err != nil {
		return "", fmt.Errorf("build simulator: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "weft", "sim-"+target+"-"+sum[:16])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("build simulator: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("build simulator: %w", err)
	}
	defer lock.Close() // and with it the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("build simulator: %w", err)
	}
	out, err := exec.Command("make", "-C", filepath.Join(root, "kernels", "sim"), "OUT="+dir, target).CombinedOutput() // #nosec G204 -- our own Makefile
	if err != nil {
		return "", fmt.Errorf("build simulator: %w\n%s", err, out)
	}
	forget(filepath.Dir(dir), filepath.Base(dir))
	return dir, nil
}

// forget removes what was built from sources of more than a day ago.
func forget(cache, keep string) {
	old, err := filepath.Glob(filepath.Join(cache, "sim-*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		about, err := os.Stat(filepath.Join(dir, "lock"))
		if err == nil && filepath.Base(dir) != keep && time.Since(about.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(dir) // a cache: what stays is removed another day
		}
	}
}

// hash is of everything that the simulator and its kernels are compiled from.
func hash(root string) (string, error) {
	var files []string
	for _, pattern := range []string{"kernels/*.cu", "kernels/*.cuh", "kernels/sim/*", "gpu/cuda/include/*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	h := sha256.New()
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		_ = f.Close() // only read
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
