package cpuwork

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"weft/cpuwork/proc"
)

// roleVar makes this test binary play a part instead of testing.
const roleVar = "CPUWORK_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role string) error {
	role, arg, _ := strings.Cut(role, " ")
	switch role {
	case "short-lived":
		if err := dieUnlessFirstOrLate(arg); err != nil {
			return err
		}
		fallthrough
	case "worker":
		conn, err := proc.Inherited()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		return Serve(context.Background(), conn, []Work{noop, hash, acts, squares})
	case "sleeper":
		sleep()
	case "stillborn":
		return errors.New("no such luck")
	}
	return fmt.Errorf("no role %q", role)
}

// earlyDeaths is how many processes of the role short-lived die, after the first.
const earlyDeaths = 6

// dieUnlessFirstOrLate takes the next number, by a file in the directory, and returns
// an error if it is among the first ones, but the first.
func dieUnlessFirstOrLate(dir string) error {
	for n := 1; ; n++ {
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_EXCL, 0o600)
		switch {
		case errors.Is(err, os.ErrExist):
			continue
		case err != nil:
			return err
		case n > 1 && n <= 1+earlyDeaths:
			return errors.Join(f.Close(), errors.New("too young"))
		}
		return f.Close()
	}
}

// starts returns how many processes of the role short-lived there have been.
func starts(dir string) int {
	files, _ := os.ReadDir(dir)
	return len(files)
}

func sleep() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals)
	for {
		<-signals
	}
}

// noop is nothing to do.
var noop = Work{Name: "noop", New: func([]byte) (Func, error) {
	return func(_ context.Context, _, out []byte) ([]byte, error) { return out, nil }, nil
}}

// hash is something to do.
var hash = Work{Name: "hash", New: func([]byte) (Func, error) {
	return func(_ context.Context, in, out []byte) ([]byte, error) {
		sum := sha256.Sum256(in)
		return append(out, sum[:]...), nil
	}, nil
}}

// squares does several numbers at once. It panics at 13, and fails at 7.
var squares = Work{Name: "squares", Batch: 4, NewBatch: func([]byte) (BatchFunc, error) {
	return func(_ context.Context, in, out [][]byte, errs []error) {
		for i := range in {
			switch n := binary.LittleEndian.Uint64(in[i]); n {
			case 7:
				errs[i] = Failf("seven", "take eight", "seven is not wanted")
			case 13:
				panic("bad luck")
			case 2001: // not asked for but where it ends a process of its own
				os.Exit(1)
			default:
				out[i] = binary.LittleEndian.AppendUint64(out[i], n*n)
			}
		}
	}, nil
}}

// acts does what an item says. Words after the first are its arguments.
var acts = Work{Name: "acts", New: func(params []byte) (Func, error) {
	if string(params) == "refuse" {
		return nil, errors.New("these parameters are no good")
	}
	tries := map[string]int{} // of items of this worker
	var hoard [][]byte
	return func(ctx context.Context, in, out []byte) ([]byte, error) {
		what := strings.Fields(string(in))
		if len(what) == 0 {
			return out, nil
		}
		switch what[0] {
		case "echo":
			return append(out, strings.TrimPrefix(string(in), "echo ")...), nil
		case "fail":
			return out, errors.New("it failed")
		case "refuse":
			return append(out, "half an answer"...), Failf("refused", "try: another", "refused %s", what[1])
		case "again": // succeeds at the attempt that it names
			if tries[string(in)]++; strconv.Itoa(tries[string(in)]) != what[1] {
				return out, &ItemError{Code: "busy", Message: "come again", Retry: true}
			}
			return append(out, "at last"...), nil
		case "never":
			return out, &ItemError{Code: "busy", Message: "come again", Retry: true}
		case "panic":
			panic("a cat on the keyboard")
		case "write":
			in[0] = 'x'
			return out, nil
		case "work": // some hundred microseconds of it
			sum := sha256.Sum256(in)
			for range 1000 {
				sum = sha256.Sum256(sum[:])
			}
			return append(out, sum[:]...), nil
		case "wait":
			<-ctx.Done()
			return out, ctx.Err()
		case "hang":
			select {}
		case "spin":
			for n := uint64(0); ; n++ {
				binary.LittleEndian.PutUint64(tumbling[:], n)
			}
		case "large":
			n, err := strconv.Atoi(what[1])
			return append(out, make([]byte, n)...), err
		case "hoard":
			for {
				p := make([]byte, 1<<20)
				for i := 0; i < len(p); i += 4096 {
					p[i] = 1
				}
				hoard = append(hoard, p)
				if len(what) > 1 { // a little at a time
					return out, nil
				}
			}
		case "pid":
			return strconv.AppendInt(out, int64(os.Getpid()), 10), nil
		case "once": // ends the process, unless the file is there
			if _, err := os.Stat(what[1]); err == nil {
				return append(out, "survived"...), nil
			}
			if err := os.WriteFile(what[1], nil, 0o600); err != nil {
				return out, err
			}
			os.Exit(7)
		}
		return out, actUp(what)
	}, nil
}}

// tumbling is written by what spins.
var tumbling [8]byte

// actUp is what a worker must never do.
func actUp(what []string) error {
	switch what[0] {
	case "exit":
		code, err := strconv.Atoi(what[1])
		if err != nil {
			return err
		}
		fmt.Println("so long, and thanks")
		os.Exit(code)
	case "die":
		return unix.Kill(os.Getpid(), unix.SIGKILL)
	case "garbage": // on the wire: a header that announces 4 GiB
		_, err := unix.Write(socketFD(), []byte("\xff\xff\xff\xff\xff\xff"))
		if err != nil {
			return err
		}
		select {}
	case "nonsense": // a frame, but an answer to what was not asked
		frame := []byte{9, 0, 0, 0, kindAnswers, 0, 1, 0, 0, 0, 0xf0, 1, 0, 0, 0}
		if _, err := unix.Write(socketFD(), frame); err != nil {
			return err
		}
		select {}
	case "breed": // a grandchild that holds output and socket, then the end
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVar+"=sleeper")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(socketFD()), "socket")}
		if err := cmd.Start(); err != nil {
			return err
		}
		if err := os.WriteFile(what[1], strconv.AppendInt(nil, int64(cmd.Process.Pid), 10), 0o600); err != nil {
			return err
		}
		os.Exit(0)
	}
	return fmt.Errorf("told to %q", what)
}

// socketFD finds this process's connection to its parent.
func socketFD() int {
	for fd := 3; fd < 64; fd++ {
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err == nil && kind == unix.SOCK_STREAM {
			return fd
		}
	}
	return -1
}

// options returns what a test's pool needs to do the work.
func options(w Work) Options {
	return Options{Work: w, Workers: 2, Memory: 8 << 20, Backoff: time.Microsecond, Env: []string{roleVar + "=worker"}}
}

// open returns a pool that is closed with the test.
func open(t testing.TB, kind Kind, o Options) Pool {
	t.Helper()
	p, err := New(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
