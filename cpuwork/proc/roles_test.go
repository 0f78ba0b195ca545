package proc

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kinds of frames between the tests and their children.
const (
	kindEcho  = KindUser + iota // answered by the same frame
	kindAct                     // payload names what to do; see act
	kindTold                    // child to test
	kindArena                   // files[0] is an arena, to be transformed in place
	kindKeep                    // files[0] is an arena, to be kept for kindSum, and summed
	kindSum                     // answered by the checksum of the payload, else of the arena kept
)

// play is what the test binary does instead of testing when it has a role.
func play(role string) error {
	quick := ServeConfig{Interval: 20 * time.Millisecond, Limit: 100 * time.Millisecond}
	switch role {
	case "worker":
		return worker(quick)
	case "drainer": // tells that it drains, and does
		return worker(ServeConfig{Drain: func(context.Context) error { return nil }})
	case "dawdler": // tells that it drains, and never ends
		return worker(ServeConfig{Drain: func(context.Context) error { select {} }})
	case "mute": // never gets ready, and outlives its socket
		return sleep()
	case "sleeper":
		return sleep()
	case "raw":
		return raw()
	case "failing":
		return errors.New("no such device: plug one in")
	case "environ":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		return nil
	case "uninvited":
		_, err := Inherited()
		return err
	case "parent":
		return parent()
	case "bare":
		return bare()
	}
	return fmt.Errorf("no role %q", role)
}

// worker is a well-behaved child that misbehaves when told to.
func worker(cfg ServeConfig) error {
	conn, err := Inherited()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	cfg.Ready = fmt.Appendf(nil, "pid %d", os.Getpid())
	var kept *Arena
	cfg.Handle = func(_ context.Context, f Frame) error {
		defer f.Close()
		switch f.Kind {
		case kindKeep:
			if kept != nil {
				err = kept.Close()
			}
			if kept, err = OpenArena(f.Files[0]); err != nil {
				return err
			}
			return conn.Send(kindTold, checksum(kept.Bytes()))
		case kindSum:
			if len(f.Payload) == 0 {
				f.Payload = kept.Bytes()
			}
			return conn.Send(kindTold, checksum(f.Payload))
		case kindEcho:
			return conn.Send(kindEcho, f.Payload, f.Files...)
		case kindArena:
			return transform(conn, f)
		}
		return act(conn, string(f.Payload))
	}
	if drain := cfg.Drain; drain != nil {
		cfg.Drain = func(ctx context.Context) error {
			return errors.Join(conn.Send(kindTold, []byte("draining")), drain(ctx))
		}
	}
	return Serve(context.Background(), conn, cfg)
}

func checksum(p []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(p))
}

// act does what a test told the worker to do.
func act(conn *Conn, what string) error {
	switch what {
	case "exit":
		os.Exit(0)
	case "fail":
		return errors.New("cannot divide by cucumber")
	case "hang":
		select {}
	case "panic":
		for range 200 { // makes the crash report long
			go func() { select {} }()
		}
		panic("the cat fell off the table")
	case "breed", "breed apart":
		pid, err := breed(conn, what == "breed apart")
		if err != nil {
			return err
		}
		return conn.Send(kindTold, binary.LittleEndian.AppendUint32(nil, uint32(pid)))
	case "hang up":
		_ = conn.sock.Close()
		select {}
	case "last words":
		for i := range 100 {
			if err := conn.Send(kindTold, []byte{byte(i)}); err != nil {
				return err
			}
		}
		return unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	return fmt.Errorf("told to %q", what)
}

// transform adds one to every byte of an arena.
func transform(conn *Conn, f Frame) error {
	arena, err := OpenArena(f.Files[0])
	if err != nil {
		return err
	}
	mem := arena.Bytes()
	for i := range mem {
		mem[i]++
	}
	return errors.Join(conn.Send(kindTold, nil), arena.Close())
}

// breed starts a sleeper that holds this process's output and socket open, in
// this process's group or apart from it.
func breed(conn *Conn, apart bool) (int, error) {
	socket, err := conn.sock.File()
	if err != nil {
		return 0, err
	}
	defer func() { _ = socket.Close() }()
	cmd := exec.Command(self())
	cmd.Env = append(os.Environ(), roleVar+"=sleeper")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: apart}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// sleep does nothing until it is killed.
func sleep() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals)
	for {
		<-signals
	}
}

// raw writes something else than frames to the socket.
func raw() error {
	text, err := hex.DecodeString(os.Getenv(rawVar))
	if err != nil {
		return err
	}
	if _, err := os.NewFile(inheritedFD, "socket").Write(text); err != nil {
		return err
	}
	return sleep()
}

// bare sends back what it reads, without frames or a supervisor's care.
func bare() error {
	conn, err := Inherited()
	if err != nil {
		return err
	}
	if err := conn.Send(KindReady, nil); err != nil {
		return err
	}
	p := make([]byte, 64)
	for {
		n, err := conn.sock.Read(p)
		if err == nil {
			_, err = conn.sock.Write(p[:n])
		}
		if err != nil {
			return err
		}
	}
}

// parent supervises a worker that breeds, and prints the pids of both. Then it
// waits to be killed.
func parent() error {
	bred := make(chan Frame, 1)
	sup := New(Config{Path: self(), Env: []string{roleVar + "=worker"}, OnFrame: func(f Frame) { bred <- f }})
	if err := sup.Start(context.Background()); err != nil {
		return err
	}
	if err := sup.Send(kindAct, []byte("breed")); err != nil {
		return err
	}
	f := <-bred
	fmt.Println(sup.Status().PID, binary.LittleEndian.Uint32(f.Payload))
	return sleep()
}

// self returns the path of this test binary.
func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}
