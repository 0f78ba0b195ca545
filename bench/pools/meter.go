package pools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// SampleEvery is how often memory is read.
const SampleEvery = 50 * time.Millisecond

// family is a process and all of its descendants that are there now.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue // it has ended
		}
		for _, t := range threads {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", all[i], t.Name()))
			if err != nil {
				continue
			}
			for _, f := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(f); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// footprint is the memory of a process and its descendants in bytes: PSS, by which
// a page that several have counts once in all.
func footprint(pid int) int64 {
	var sum int64
	for _, p := range family(pid) {
		sum += pss(p)
	}
	return sum
}

func pss(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0 // it has ended
	}
	_, rest, found := bytes.Cut(text, []byte("\nPss:"))
	if !found {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kb, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}

// used is processor time of this process and of its descendants that live. What it
// takes to find out about those is not to count as the process's own.
type used struct {
	own, children time.Duration
	err           error
}

// usedBefore is read before the clock starts.
func usedBefore() (u used) {
	u.children = ofChildren()
	u.own, u.err = ofOwn()
	return u
}

// since is what was used since then; it is read after the clock has stopped.
func (u used) since() (time.Duration, error) {
	own, err := ofOwn()
	return own - u.own + ofChildren() - u.children, errors.Join(u.err, err)
}

func ofOwn() (time.Duration, error) {
	var own unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &own); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(own.Nano()), nil
}

func ofChildren() (sum time.Duration) {
	for _, p := range family(os.Getpid())[1:] {
		sum += scheduled(p)
	}
	return sum
}

// scheduled is how long the threads of a process have run.
func scheduled(pid int) time.Duration {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0 // it has ended
	}
	var sum time.Duration
	for _, t := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			if ns, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				sum += time.Duration(ns)
			}
		}
	}
	return sum
}

// watch reads a process's memory until ctx ends, and returns the most there was.
func watch(ctx context.Context, pid int) int64 {
	ticker := time.NewTicker(SampleEvery)
	defer ticker.Stop()
	var most int64
	for {
		most = max(most, footprint(pid))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return most
		}
	}
}
