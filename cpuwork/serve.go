package cpuwork

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork/proc"
)

// Serve is a worker process's life: it does the items of the pool that started
// it, with the one of the works that the pool names, until the pool says stop.
// A work that is not among them is refused. When the pool's process is gone, this
// one ends with its process group.
func Serve(ctx context.Context, conn *proc.Conn, works []Work) (err error) {
	s := &server{conn: conn, works: works}
	defer func() { err = errors.Join(err, s.close()) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // an item that is written to is that item's panic
	// A chunk may take any time. Whether an item takes too long is for the pool.
	return proc.Serve(ctx, conn, proc.ServeConfig{Limit: math.MaxInt64, Handle: s.handle})
}

// server is one call of Serve. All of it belongs to the goroutine that handles
// frames.
type server struct {
	conn   *proc.Conn
	works  []Work
	d      *doer
	items  []byte // the arena with the items, for reading only
	states *proc.Arena
	state  *atomic.Uint64

	tasks  []*task
	a      answers
	frame  []byte
	sentAt time.Duration
}

func (s *server) handle(ctx context.Context, f proc.Frame) error {
	switch {
	case f.Kind == kindHello && len(f.Files) == 2 && s.d == nil:
		return s.hello(f)
	case f.Kind == kindChunk && len(f.Files) == 0 && s.d != nil:
		return s.chunk(ctx, f.Payload)
	}
	f.Close()
	return fmt.Errorf("frame of kind %d with %d descriptors was not expected", f.Kind, len(f.Files))
}

// hello prepares for what the pool wants done.
func (s *server) hello(f proc.Frame) error {
	var h hello
	if err := json.Unmarshal(f.Payload, &h); err != nil {
		f.Close()
		return fmt.Errorf("read hello: %w", err)
	}
	if err := s.open(f.Files[0], f.Files[1], h.Line); err != nil {
		return err
	}
	d, err := s.find(h)
	if err != nil {
		return s.conn.Send(kindHello, encodeError(err))
	}
	s.d = d
	return s.conn.Send(kindHello, nil)
}

func (s *server) find(h hello) (*doer, error) {
	for i := range s.works {
		if s.works[i].Name == h.Work {
			return newDoer(&s.works[i], h.Params, h.Timeout)
		}
	}
	return nil, Failf("unknown_work", "", "this worker does not know the work %q", h.Work)
}

// open maps both arenas. It takes the files over.
func (s *server) open(items, states *os.File, line int) (err error) {
	defer func() { err = errors.Join(err, items.Close()) }()
	if s.states, err = proc.OpenArena(states); err != nil {
		return fmt.Errorf("open states: %w", err)
	}
	if line < 0 || int64(line+1)*stateBytes > s.states.Size() {
		return fmt.Errorf("open states: there is no line %d", line)
	}
	s.state = state(s.states.Bytes(), line)
	if s.items, err = mapFile(items); err != nil {
		return fmt.Errorf("open items: %w", err)
	}
	return nil
}

// mapFile maps a file for reading.
func mapFile(file *os.File) (mem []byte, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		mem, err = unix.Mmap(int(fd), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	})
	return mem, errors.Join(controlErr, err)
}

func (s *server) close() (err error) {
	if s.items != nil {
		err = unix.Munmap(s.items)
	}
	if s.states != nil {
		err = errors.Join(err, s.states.Close())
	}
	return err
}

// chunk does the items of a chunk, and tells their answers.
func (s *server) chunk(ctx context.Context, payload []byte) error {
	number, pieces, err := parseChunk(payload, int64(len(s.items)))
	if err != nil {
		return err
	}
	tasks := s.load(pieces)
	s.begin(number)
	s.d.start()
	s.sentAt = s.d.mark
	for place := 0; place < len(tasks); {
		n := s.d.group(tasks[place:], 1) // whichever it dies with is known
		s.state.Store(held{number, uint16(place), uint16(n)}.word())
		s.d.do(ctx, tasks[place:place+n], &s.a)
		for i, t := range tasks[place : place+n] {
			if err := s.tell(number, place+i, t); err != nil {
				return err
			}
		}
		place += n
	}
	err = s.flush(number)
	s.state.Store(0)
	return err
}

// load returns a task for each piece.
func (s *server) load(pieces []piece) []*task {
	for len(s.tasks) < len(pieces) {
		s.tasks = append(s.tasks, new(task))
	}
	for i, c := range pieces {
		*s.tasks[i] = task{in: s.items[c.offset : c.offset+c.size : c.offset+c.size], alone: c.alone}
	}
	return s.tasks[:len(pieces)]
}

// begin starts a frame of answers.
func (s *server) begin(number uint32) {
	s.frame = binary.LittleEndian.AppendUint32(s.frame[:0], number)
	s.a.reset()
}

// tell puts an answer into the frame, which is sent when it is large or old.
func (s *server) tell(number uint32, place int, t *task) error {
	if len(t.out) > inlineOutput {
		return errors.Join(s.flush(number), s.large(number, place, t))
	}
	s.frame = appendAnswer(s.frame, place, t.took, t.out, t.err)
	t.out = nil
	if len(s.frame) > frameBytes || s.d.mark-s.sentAt > answersTime {
		return s.flush(number)
	}
	return nil
}

// flush sends the frame, unless it is empty, and starts the next one.
func (s *server) flush(number uint32) error {
	defer s.begin(number)
	s.sentAt = s.d.mark
	if len(s.frame) <= 4 {
		return nil
	}
	return s.conn.Send(kindAnswers, s.frame)
}

// large sends an answer whose output is too large for a frame, in an arena.
func (s *server) large(number uint32, place int, t *task) error {
	arena, err := proc.NewArena("weft answer", int64(len(t.out)))
	if err != nil {
		return err
	}
	copy(arena.Bytes(), t.out)
	t.out = nil
	s.begin(number)
	s.frame = appendAnswer(s.frame, place, t.took, nil, nil)
	err = s.conn.Send(kindLarge, s.frame, arena.File())
	s.begin(number)
	return errors.Join(err, arena.Close())
}
