package pools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long a contestant may take to end when it is asked to.
const grace = 5 * time.Second

// process is a contestant that runs, and leads a process group.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    bytes.Buffer
	errs   bytes.Buffer
	sample sync.WaitGroup // of the goroutine that reads memory
	quit   context.CancelFunc
	peak   int64 // bytes; known when it has ended
}

// command is a program that ends with ctx: at first it is asked to, so that it can
// end its own processes.
func command(ctx context.Context, dir string, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // #nosec G204 -- this program, or a peer that the user asked for
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd
}

// start starts a contestant with a pipe to its standard input.
func start(ctx context.Context, dir string, argv []string) (*process, error) {
	p := &process{cmd: command(ctx, dir, argv)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	watching, quit := context.WithCancel(context.WithoutCancel(ctx))
	p.quit = quit
	p.sample.Go(func() { p.peak = watch(watching, p.cmd.Process.Pid) }) // ended by wait
	return p, nil
}

// wait waits for the end and returns what was written. Nobody of its group is left.
func (p *process) wait(ctx context.Context) (string, error) {
	err := p.cmd.Wait()
	p.quit()
	p.sample.Wait()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // nobody mostly
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		said := lastLine(p.errs.String())
		if said == "" {
			return "", fmt.Errorf("%w, and it said nothing", err)
		}
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return p.out.String(), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// server is what is fetched from, in a process of its own.
type server struct {
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
	errs bytes.Buffer
	url  string
}

func startServer(ctx context.Context, self string, rate float64, burst int) (*server, error) {
	s := &server{cmd: command(ctx, "", []string{self, workerVerb, serverKind,
		strconv.FormatFloat(rate, 'g', -1, 64), strconv.Itoa(burst)})}
	s.cmd.Stderr = &s.errs
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s.in = in
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	line, err := s.out.ReadString('\n')
	if err != nil {
		_, stopped := s.stop()
		return nil, fmt.Errorf("start server: %w", errors.Join(err, stopped))
	}
	s.url = strings.TrimSpace(line)
	return s, nil
}

// stop ends the server and returns how many requests it refused.
func (s *server) stop() (refused int64, err error) {
	_ = s.in.Close() // it ends by that
	line, readErr := s.out.ReadString('\n')
	if err := s.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("stop server: %w: %s", err, lastLine(s.errs.String()))
	}
	if readErr == nil {
		refused, readErr = strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	}
	if readErr != nil {
		return 0, fmt.Errorf("stop server: what it refused is not known: %w", readErr)
	}
	return refused, nil
}
