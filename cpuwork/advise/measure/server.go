package measure

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// servers are the processes of this machine that are asked: what they compute,
// they compute on the same cores.
type servers []int

// serving finds the processes that listen at ports of the loopback. One that
// belongs to another user is not seen unless this process may look into it.
func serving(ports map[uint16]bool) servers {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table) // #nosec G304 -- one of two
		if err != nil {
			continue
		}
		for inode, port := range listeners(text) {
			if ports[port] {
				sockets["socket:["+inode+"]"] = true
			}
		}
	}
	if len(sockets) == 0 {
		return nil
	}
	open, err := filepath.Glob("/proc/[1-9]*/fd/*")
	if err != nil {
		return nil // not reached: the pattern is well formed
	}
	var pids servers
	for _, fd := range open {
		if to, err := os.Readlink(fd); err != nil || !sockets[to] {
			continue // it was closed meanwhile, or is something else
		}
		pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
		if err == nil && pid != os.Getpid() && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// listening is TCP_LISTEN of the kernel's net/tcp_states.h.
const listening = "0A"

// listeners reads a table of TCP sockets (proc_net_tcp.rst of the kernel's
// documentation): by inode, the ports of those that listen at the loopback or
// everywhere.
func listeners(table []byte) map[string]uint16 {
	found := map[string]uint16{}
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[3] != listening {
			continue
		}
		host, port, _ := strings.Cut(f[1], ":")
		ip, err := hex.DecodeString(host)
		if err != nil || len(ip) != net.IPv4len && len(ip) != net.IPv6len {
			continue
		}
		for i := 0; i < len(ip); i += 4 { // words in the order of the host: little endian
			slices.Reverse(ip[i : i+4])
		}
		number, err := strconv.ParseUint(port, 16, 16)
		if at := net.IP(ip); err == nil && (at.IsLoopback() || at.IsUnspecified()) {
			found[f[9]] = uint16(number)
		}
	}
	return found
}

// processorTime is what they have used so far, in seconds; 0 of one that is gone.
func (s servers) processorTime() float64 {
	sum := 0.0
	for _, pid := range s {
		const wholeProcess = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
		var t unix.Timespec
		if unix.ClockGettime(int32(^pid<<3|wholeProcess), &t) == nil { // #nosec G115 -- a pid has 22 bits
			sum += float64(t.Nano()) / 1e9
		}
	}
	return sum
}

// portOf is the port that a URL asks.
func portOf(u *url.URL) (uint16, error) {
	text := u.Port()
	if text == "" {
		text = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("read port of %s: %w", u.Redacted(), err)
	}
	return uint16(port), nil
}
