package cpuwork

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork/proc"
)

// sizes of the tests that kill.
const killings = 100

// Killed at any moment, a worker costs nothing but time: every item has one
// result, and the right one.
func TestKilledAtRandomMoments(t *testing.T) {
	o := options(acts)
	o.Retries, o.Workers = 20, 3
	p := open(t, Process, o)
	var results atomic.Int64
	over, quit, killed := make(chan struct{}), make(chan struct{}), make(chan int)
	go killWorkers(&results, over, quit, killed)
	enough := false
	var n int64
	items := func(yield func(Item, error) bool) {
		for ; !enough; n++ {
			item := Item{Data: []byte("echo " + strconv.FormatInt(n, 10))}
			switch n % 7 {
			case 1:
				item.Data = []byte("work " + strconv.FormatInt(n, 10))
			case 2:
				text := item.Data
				item = Item{Size: 4096, Fill: func(dst []byte) (int, error) { return copy(dst, text), nil }}
			}
			if !yield(item, nil) {
				return
			}
			select {
			case <-quit:
				enough = true
			default:
			}
		}
	}
	seen := map[int64]bool{}
	s, err := p.Run(t.Context(), items, func(r Result) error {
		if seen[r.Index] {
			t.Errorf("item %d has two results", r.Index)
		}
		seen[r.Index] = true
		results.Add(1)
		if r.Err != nil || r.Index%7 != 1 && string(r.Output) != strconv.FormatInt(r.Index, 10) {
			t.Errorf("item %d: %q, %v", r.Index, r.Output, r.Err)
		}
		return nil
	})
	close(over)
	if got := <-killed; err != nil || int64(len(seen)) != n || got != killings {
		t.Fatalf("%d kills; %d results for %d items: %v", got, len(seen), n, err)
	}
	if s.Lost < killings/2 { // some are hit twice before they are gone
		t.Errorf("%d workers were lost", s.Lost)
	}
	t.Logf("%d items, %d workers lost, %d attempts more", n, s.Lost, s.Attempts-n)
}

// killWorkers kills workers of the pool at random moments, and closes quit when
// it has done so often enough.
func killWorkers(results *atomic.Int64, over, quit chan struct{}, killed chan int) {
	n := 0
	defer func() { killed <- n }()
	for last := int64(0); n < killings; {
		spin := time.Now().Add(rand.N(8 * time.Millisecond))
		// A pool whose workers die before they get anything done gives up, rightly:
		// so there is time for some items, on a machine of any speed.
		for time.Now().Before(spin) || results.Load() < last+200 {
			select {
			case <-over:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
		pids := children()
		if len(pids) > 0 && unix.Kill(pids[rand.N(len(pids))], unix.SIGKILL) == nil {
			n++
			last = results.Load()
		}
	}
	close(quit)
}

// children returns the processes that this one started and that are not reaped.
func children() []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A worker that misbehaves costs the item that made it, and no other.
func TestBadWorkers(t *testing.T) {
	for name, c := range map[string]struct {
		item    string
		code    string
		message string
		change  func(*Options)
	}{
		"exits with an answer owed": {"exit 0", CodeWorkerLost, "its worker process died: exited by itself (exit status 0); its last words:\nso long, and thanks", nil},
		"exits with a status":       {"exit 3", CodeWorkerLost, "its worker process died: exited by itself (exit status 3); its last words:\nso long, and thanks", nil},
		"is killed":                 {"die", CodeWorkerLost, "its worker process died: killed from outside", nil},
		"writes garbage":            {"garbage", CodeWorkerLost, "its worker process died: receive frame: not a frame: 4294967295 bytes announced", nil},
		"answers what nobody asked": {"nonsense", CodeWorkerLost, "its worker process died: it sent what it should not: not a frame of cpuwork: an answer to what was not asked", nil},
		"hangs":                     {"hang", CodeTimeout, "no answer within 50ms", func(o *Options) { o.Timeout = 50 * time.Millisecond }},
		"spins":                     {"spin", CodeTimeout, "no answer within 50ms", func(o *Options) { o.Timeout = 50 * time.Millisecond }},
		"grows without bound":       {"hoard", CodeWorkerLost, "its worker process died: it had grown to", func(o *Options) { o.RecycleBytes = 64 << 20 }},
		"writes to its item":        {"write", CodePanic, "panic: runtime error: invalid memory address", nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(acts)
			if c.change != nil {
				c.change(&o)
			}
			list := []string{"echo a", "echo b", c.item, "echo c", "echo d"}
			results := collect(t, open(t, Process, o), texts(list...))
			for i, s := range list {
				e := endOf(results[int64(i)])
				if s != c.item {
					if e.Output != s[5:] || e.Attempts != 1 {
						t.Errorf("item %d: %+v", i, e)
					}
				} else if e.Code != c.code || !strings.HasPrefix(e.Message, c.message) {
					t.Errorf("bad item: %+v", e)
				}
			}
		})
	}
}

func collect(t *testing.T, p Pool, items iter.Seq2[Item, error]) map[int64]Result {
	t.Helper()
	results := map[int64]Result{}
	_, err := p.Run(t.Context(), items, func(r Result) error {
		if _, twice := results[r.Index]; twice {
			t.Errorf("item %d has two results", r.Index)
		}
		r.Output = append([]byte(nil), r.Output...)
		results[r.Index] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// Of several items done at once, the one that ends the worker is found, and the
// others are done.
func TestBatchThatKills(t *testing.T) {
	items := func(yield func(Item, error) bool) {
		for i := range uint64(40) {
			if !yield(Item{Data: binary.LittleEndian.AppendUint64(nil, 1981+i)}, nil) {
				return
			}
		}
	}
	for i, r := range collect(t, open(t, Process, options(squares)), items) {
		if e := endOf(r); (i == 20) != (e.Code == CodeWorkerLost) || i != 20 && (e.Code != "" || e.Attempts != 1) {
			t.Errorf("item %d: %+v", i, e)
		}
	}
}

// An item that loses its worker once is done by the next one.
func TestLostItemIsTriedAgain(t *testing.T) {
	p := open(t, Process, options(acts))
	results := collect(t, p, texts("once "+filepath.Join(t.TempDir(), "been here")))
	if r := results[0]; string(r.Output) != "survived" || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
}

// A grandchild that holds output and socket keeps nobody waiting, and dies.
func TestGrandchildHoldsThePipe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	results := collect(t, open(t, Process, options(acts)), texts("breed "+file, "echo on"))
	if e := endOf(results[0]); e.Code != CodeWorkerLost {
		t.Errorf("%+v", e)
	}
	if e := endOf(results[1]); e.Output != "on" {
		t.Errorf("%+v", e)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if !dead(pid) {
		t.Error("the grandchild lives")
	}
}

// dead waits some time for the death of a process that has been killed.
func dead(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer func() { _ = unix.Close(fd) }()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// A worker that has grown is replaced between items, which notice nothing.
func TestRecycle(t *testing.T) {
	o := options(acts)
	o.RecycleBytes, o.Chunk, o.Workers = 48<<20, 1, 1
	p := open(t, Process, o)
	n := 0
	endless := func(yield func(Item, error) bool) {
		for n < 1_000_000 && yield(Item{Data: []byte("hoard little")}, nil) {
			n++
		}
	}
	var s Summary
	for s.Recycled == 0 {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		var err error
		s, err = p.Run(ctx, endless, func(r Result) error {
			if r.Err != nil {
				return r.Err
			}
			if seen++; seen == 320 { // 320 MB in all: too much for one worker
				cancel()
			}
			return nil
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// With an arena that holds two items, many wait for it and none fails.
func TestArenaExhausted(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			o := options(hash)
			o.Memory, o.Workers = 2<<20, 4
			items := repeat(Item{Size: 1 << 20, Fill: func(dst []byte) (int, error) { return len(dst), nil }}, 50)
			for i, r := range collect(t, open(t, kind, o), items) {
				if r.Err != nil {
					t.Errorf("item %d: %v", i, r.Err)
				}
			}
		})
	}
}

// Outputs too large for a frame come back whole.
func TestLargeOutput(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			sizes := []int{100, 1 << 20, 5 << 20, 20 << 20}
			list := make([]string, len(sizes))
			for i, n := range sizes {
				list[i] = fmt.Sprintf("large %d", n)
			}
			results := collect(t, open(t, kind, options(acts)), texts(list...))
			for i, n := range sizes {
				if r := results[int64(i)]; r.Err != nil || len(r.Output) != n {
					t.Errorf("%d bytes came as %d: %v", n, len(r.Output), r.Err)
				}
			}
		})
	}
}

func TestWorkersThatNeverStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		err    string
	}{
		"no such program": {func(o *Options) { o.Path = "/does/not/exist" }, "no such file or directory"},
		"dies at once":    {func(o *Options) { o.Env = []string{roleVar + "=stillborn"} }, "no such luck"},
		"unknown work":    {func(o *Options) { o.Work.Name = "juggle" }, `start juggle worker: this worker does not know the work "juggle"`},
		"bad parameters":  {func(o *Options) { o.Params = []byte("refuse") }, "these parameters are no good"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(acts)
			c.change(&o)
			_, err := open(t, Process, o).Run(t.Context(), texts("echo a", "echo b"), nothing)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A worker that dies while it starts, over and over, does not end a pool whose other
// workers get things done.
func TestWorkerThatStartsLate(t *testing.T) {
	dir := t.TempDir()
	o := options(acts)
	o.Workers, o.Chunk, o.Env = 2, 1, []string{roleVar + "=short-lived " + dir}
	var sent int64
	over := time.After(time.Minute)
	items := func(yield func(Item, error) bool) {
		for starts(dir) < 2+earlyDeaths {
			select {
			case <-over:
				t.Errorf("%d processes were started", starts(dir))
				return
			default:
			}
			if !yield(Item{Data: []byte("echo " + strconv.FormatInt(sent, 10))}, nil) {
				return
			}
			sent++
		}
	}
	s, err := open(t, Process, o).Run(t.Context(), items, nothing)
	if err != nil || s.OK != sent || s.Failed != 0 {
		t.Errorf("%d of %d items done: %v", s.OK, sent, err)
	}
}

// Cancelled in any phase, a pool leaves no process, descriptor or goroutine, and
// can be used again.
func TestCancelInEachPhase(t *testing.T) {
	for _, kind := range Kinds {
		for _, phase := range []string{"before", "starting", "filling", "running", "waiting", "telling"} {
			t.Run(string(kind)+"/"+phase, func(t *testing.T) { cancelIn(t, kind, phase) })
		}
	}
}

func cancelIn(t *testing.T, kind Kind, phase string) {
	// A descriptor of the poller stays, once used.
	a, b, err := proc.Pair()
	if err := errors.Join(err, a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	o := options(acts)
	o.Retries = 1000
	p, err := New(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	item := Item{Data: []byte("echo a")}
	each := nothing
	switch phase {
	case "before":
		cancel(why)
	case "filling":
		item = Item{Size: 10, Fill: func([]byte) (int, error) { cancel(why); return 0, nil }}
	case "running":
		item.Data = []byte("wait")
		time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	case "starting":
		time.AfterFunc(time.Millisecond, func() { cancel(why) })
		item.Data = []byte("wait")
	case "waiting":
		item.Data = []byte("never")
		time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	case "telling":
		each = func(Result) error { cancel(why); return nil }
	}
	items := func(yield func(Item, error) bool) {
		for yield(item, nil) {
		}
	}
	if _, err := p.Run(ctx, items, each); !errors.Is(err, why) {
		t.Errorf("cancelled, but %v", err)
	}
	results := collect(t, p, texts("echo again"))
	if e := endOf(results[0]); e.Output != "again" {
		t.Errorf("afterwards: %+v", e)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if pids := children(); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// Early termination cancels what runs, even what would run for ever.
func TestFirstSuccessCancelsTheRest(t *testing.T) {
	for _, kind := range []Kind{Goroutine, Process, Event} {
		t.Run(string(kind), func(t *testing.T) {
			o := options(acts)
			o.Stop, o.Workers = StopOnSuccess, 3
			n := 0
			s, err := open(t, kind, o).Run(t.Context(), texts("wait", "wait", "echo found"), func(r Result) error {
				n++
				if string(r.Output) != "found" {
					t.Errorf("%+v", r)
				}
				return nil
			})
			if err != nil || n != 1 || !s.Stopped {
				t.Error(n, s, err)
			}
		})
	}
}
