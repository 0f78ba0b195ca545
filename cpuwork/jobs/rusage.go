package jobs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is that of this process, of its children that have ended, and of
// those that live, which are slots of process pools and have none of their own.
func processorTime() time.Duration {
	sum := liveChildren()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil { // it cannot fail
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// tick is the unit of times in /proc: USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

func liveChildren() time.Duration {
	lists, _ := filepath.Glob("/proc/self/task/*/children") // no error: the pattern is one
	var sum time.Duration
	for _, list := range lists {
		pids, err := os.ReadFile(list) // #nosec G304 -- of this process
		if err != nil {
			continue // the thread has ended
		}
		for pid := range bytes.FieldsSeq(pids) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid)) // #nosec G304 -- a child
			if err == nil {
				sum += ticksOf(stat)
			}
		}
	}
	return sum
}

// ticksOf reads utime and stime, fields 14 and 15 of proc_pid_stat(5). The name
// before them may have anything in it.
func ticksOf(stat []byte) time.Duration {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0
	}
	fields := bytes.Fields(stat[end+1:])
	var sum time.Duration
	for _, i := range []int{11, 12} {
		if i < len(fields) {
			n, err := strconv.ParseInt(string(fields[i]), 10, 64)
			if err != nil {
				return 0
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
