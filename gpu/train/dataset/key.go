package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"syscall"
)

// Key returns a cheap identity of what [Load] would return: equal keys mean
// the same preparation of files that no one has changed since (path, device,
// inode, size and times). Files are looked at, not read; what is wrong with
// them is a [*Fault].
func Key(spec *Spec, task Task) (string, error) {
	lim := defaultLimits()
	if err := spec.validate(task, lim); err != nil {
		return "", err
	}
	sum := sha256.New()
	sum.Write(spec.canonical(task, true))
	for _, path := range spec.files() {
		// Opened, not only looked at: a file that cannot be read is found here.
		f, info, err := openFile(path, lim)
		if err != nil {
			return "", err
		}
		f.Close()
		fmt.Fprintf(sum, "%d %d", info.Size(), info.ModTime().UnixNano())
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(sum, " %d %d %d.%d\n", s.Dev, s.Ino, s.Ctim.Sec, s.Ctim.Nsec)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
