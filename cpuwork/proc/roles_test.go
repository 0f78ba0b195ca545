package proc

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kinds of frames between the tests and their children.
const (
	kindEcho  = KindUser + iota // answered by the same frame
	kindAct                     // payload names what to do; see act
	kindTold                    // child to test
	kindArena                   // files[0] is an arena, to be transformed in place
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
	cfg.Handle = func(_ context.Context, f Frame) error {
		defer f.Close()
		switch f.Kind {
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
	case "breed":
		pid, err := breed(conn)
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

// breed starts a sleeper that holds this process's output and socket open.
func breed(conn *Conn) (int, error) {
	socket, err := conn.sock.File()
	if err != nil {
		return 0, err
	}
	defer func() { _ = socket.Close() }()
	cmd := exec.Command(self())
	cmd.Env = append(os.Environ(), roleVar+"=sleeper")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{socket}
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
