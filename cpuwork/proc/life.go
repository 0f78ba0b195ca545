package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// life is one child from start to end. These goroutines take part:
//
//   - Run's own, in watch: it alone decides. It waits for all the others.
//   - read: receives frames and calls back. It ends when the socket does: by the
//     child's doing, or by drain's after the child's death.
//   - wait: waits for the child's death, kills what is left of its group, reaps.
//   - os/exec's copier of the output: ends with the pipe, or WaitDelay after the
//     child; wait waits for it.
//   - a short one that asks a child to stop, so that a child which does not read
//     cannot block watch; it ends with the socket at the latest.
type life struct {
	s       *Supervisor
	cmd     *exec.Cmd
	conn    *Conn
	words   *words
	started time.Time
	beats   beatClock
	request chan error // one wish that this life should end, and why

	ready    chan struct{} // closed by read at the ready frame
	readDone chan struct{} // closed by read at its end
	readErr  error         // why read ended; set before readDone is closed
	dead     chan struct{} // closed by wait when the child is dead and its group killed
	reaped   chan struct{} // closed by wait when its output is complete
	stopper  sync.WaitGroup
}

// live runs the child once.
func (s *Supervisor) live(ctx context.Context) Exit {
	exit := Exit{Name: s.cfg.Name, Restarts: s.Status().Restarts, Code: -1}
	l, err := s.spawn()
	if err != nil {
		exit.setReason(fmt.Errorf("%w: %w", ErrSpawn, err))
		return exit
	}
	go l.read()
	go l.wait()
	cause := l.watch(ctx)
	exit.Uptime = time.Since(l.started)
	l.drain()

	if errors.Is(cause, ErrExited) && isProtocolError(l.readErr) {
		cause = l.readErr // it had talked nonsense before it exited
	}
	exit.PID, exit.Ready, exit.LastWords = l.cmd.Process.Pid, closed(l.ready), l.words.last()
	exit.setStatus(l.cmd)
	exit.setReason(cause)
	return exit
}

// spawn starts the child with its end of a new socketpair.
func (s *Supervisor) spawn() (*life, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }() // the child has its own copy
	conn, err := fromFile(ours)
	if err != nil {
		return nil, err
	}
	l := &life{
		s: s, conn: conn, started: time.Now(), request: make(chan error, 1),
		ready: make(chan struct{}), readDone: make(chan struct{}),
		dead: make(chan struct{}), reaped: make(chan struct{}),
	}
	conn.onBroken = l.sendFailed
	l.words = &words{line: logLines(s.cfg.Log, s.cfg.Name)}
	l.cmd = exec.Command(s.cfg.Path, s.cfg.Args...) // #nosec G204 -- argv as configured, no shell
	l.cmd.Env, l.cmd.Dir = Environ(s.cfg.Env...), s.cfg.Dir
	l.cmd.Stdout, l.cmd.Stderr = l.words, l.words // one pipe for both keeps their order
	l.cmd.ExtraFiles = []*os.File{theirs}
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.cmd.WaitDelay = s.cfg.DumpTimeout
	if err := s.start(l); err != nil {
		_ = conn.Close() // the first error is returned
		return nil, err
	}
	return l, nil
}

// start starts the process, unless a Kill came first; one that comes later finds
// the pid.
func (s *Supervisor) start(l *life) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed(s.killing) {
		return ErrKilled
	}
	if err := l.cmd.Start(); err != nil {
		return err
	}
	s.life, s.pid = l, l.cmd.Process.Pid
	return nil
}

// sendFailed is told when a frame to the child could not be sent. That the child
// closed its end is for read to find out.
func (l *life) sendFailed(err error) {
	if !errors.Is(err, unix.EPIPE) {
		l.requestEnd(fmt.Errorf("%w: %w", ErrNoRead, err))
	}
}

// requestEnd asks watch to end this life. One wish is enough.
func (l *life) requestEnd(cause error) {
	select {
	case l.request <- cause:
	default:
	}
}

// wait reaps the child when it is dead. Between death and reaping, the number of
// its process group cannot be anyone else's: then whoever is left in it is killed.
func (l *life) wait() {
	for {
		err := unix.Waitid(unix.P_PID, l.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	l.s.mu.Lock()
	l.s.signalGroup(unix.SIGKILL)
	l.s.life, l.s.pid, l.s.conn = nil, 0, nil
	l.s.mu.Unlock()
	close(l.dead)
	_ = l.cmd.Wait() // how it ended is in ProcessState
	close(l.reaped)
}

// drain waits for all that the dead child left: the frames and the output it had
// sent, and its status.
func (l *life) drain() {
	// After what is queued, reading finds the end of the stream, even if a process
	// that left the group holds the other end open.
	_ = l.conn.sock.CloseRead() // fails only if the end has come already
	<-l.readDone
	_ = l.conn.Close() // the peer is dead: nothing can be lost
	l.stopper.Wait()
	<-l.reaped
}

// read receives until the socket ends. OnUp and OnFrame are called here.
func (l *life) read() {
	defer close(l.readDone)
	for l.readErr == nil {
		f, err := l.conn.Recv()
		if err == nil {
			err = l.dispatch(f)
		}
		l.readErr = err
	}
}

func (l *life) dispatch(f Frame) error {
	switch {
	case f.Kind == KindBeat && len(f.Files) == 0:
		l.beats.beat()
	case f.Kind == KindReady && !closed(l.ready):
		l.up(f)
	case f.Kind >= KindUser && closed(l.ready):
		l.beats.pause()
		l.s.cfg.OnFrame(f)
		l.beats.resume()
	default:
		f.Close()
		return protocolError("kind %d is not expected here (ready: %t)", f.Kind, closed(l.ready))
	}
	return nil
}

func (l *life) up(f Frame) {
	l.beats.beat()
	l.beats.pause()
	l.s.mu.Lock()
	if l.s.life == l { // else it is dead already
		l.s.conn = l.conn
	}
	l.s.mu.Unlock()
	close(l.ready)
	l.s.cfg.OnUp(l.conn, f)
	l.s.tellFirst(nil)
	l.beats.resume()
}
