package measure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork/advise"
)

// A Calibration is a machine's costs, when they were measured and on what. They
// hold for that machine and that weft, for a month; for minutes only when other
// programs took much of the processors meanwhile.
type Calibration struct {
	Machine  advise.Machine `json:"machine"`
	Identity Identity       `json:"identity"`
	At       time.Time      `json:"at"`
	Busy     float64        `json:"busy"` // share of the processors that others took, 0 to 1
}

// Identity is what costs depend on.
type Identity struct {
	Format int    `json:"format"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Weft   string `json:"weft"`
	Go     string `json:"go"`
}

// format is of the file: another way to measure is another format.
const format = 2

// How long a calibration holds.
const (
	holds     = 30 * 24 * time.Hour
	holdsBusy = 10 * time.Minute
	busy      = 0.25
)

// Here is this machine's identity, for a weft of that version.
func Here(weft string) Identity {
	id := Identity{Format: format, CPU: cpuName(), Cores: runtime.GOMAXPROCS(0), Weft: weft, Go: runtime.Version()}
	var u unix.Utsname
	if unix.Uname(&u) == nil { // it cannot fail
		id.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return id
}

func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range bytes.Lines(text) {
		if name, value, found := strings.Cut(string(line), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// Holds reports whether the calibration is good for a machine at a time.
func (c *Calibration) Holds(id Identity, now time.Time) bool {
	age, most := now.Sub(c.At), holds
	if c.Busy > busy {
		most = holdsBusy
	}
	return c.Identity == id && age >= 0 && age < most && c.Machine.Check() == nil
}

// Recall reads the calibration that was kept in a file; nil: there is none that
// can be read, and it is to be made again.
func Recall(path string) *Calibration {
	text, err := os.ReadFile(path) // #nosec G304 -- the daemon's own
	if err != nil {
		return nil
	}
	c := &Calibration{}
	if json.Unmarshal(text, c) != nil {
		return nil
	}
	return c
}

// Keep writes the calibration to a file, all or nothing.
func (c *Calibration) Keep(path string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("keep calibration: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("keep calibration: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fmt.Errorf("keep calibration: %w", err)
	}
	return nil
}

// Available is the memory that programs can have now, in bytes; 0: not known.
func Available() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		var kib int64
		if n, err := fmt.Sscanf(string(line), "MemAvailable: %d kB", &kib); n == 1 && err == nil {
			return kib << 10
		}
	}
	return 0
}

// A load tells how much of the processors others take.
type load struct {
	servers      servers // no others: what they do is for what is measured
	own          float64 // seconds of this process, its ended children and servers
	used, spared float64 // clock ticks of all processors together: working, idle
}

func readLoad(asked servers) load {
	l := load{servers: asked, own: asked.processorTime()}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		l.own += processorTime(who)
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return l
	}
	var user, nice, system, idle, wait, irq, soft, steal float64
	_, err = fmt.Sscanf(string(text), "cpu %f %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal)
	if err != nil {
		return l
	}
	l.used, l.spared = user+nice+system+irq+soft+steal, idle+wait
	return l
}

const ticks = 100 // a second, in /proc/stat: USER_HZ is the same on all of Go's Linux ports

// others is the share of the processors that others took since then; 0 where that
// is not known.
func (l load) others() float64 { return l.until(readLoad(l.servers)).others }

// A share is of the processors' time.
type share struct {
	others, idle float64
	known        bool
}

// until is how the processors were shared up to now.
func (l load) until(now load) share {
	all := now.used + now.spared - l.used - l.spared
	if all <= 0 {
		return share{}
	}
	return share{known: true, idle: min(1, max(0, (now.spared-l.spared)/all)),
		others: min(1, max(0, (now.used-l.used-ticks*(now.own-l.own))/all))}
}

func processorTime(who int) float64 {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil { // it cannot fail
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
