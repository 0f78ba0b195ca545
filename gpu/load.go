package gpu

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"sync"

	"weft/cpuwork/proc"
	"weft/gpu/host"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// loadsAtOnce bounds the files read at the same time, each of which may need
// memory of several times its size while it is parsed.
const loadsAtOnce = 2

// loaderWorker reads data files for the daemon until it is asked to stop.
func loaderWorker(ctx context.Context, conn *proc.Conn) error {
	l := &loading{conn: conn, turns: make(chan struct{}, loadsAtOnce)}
	return proc.Serve(ctx, conn, proc.ServeConfig{
		Handle: l.handle,
		Drain:  func(context.Context) error { l.requests.Wait(); return nil },
	})
}

// loading is the loader's side of the requests under way.
type loading struct {
	conn     *proc.Conn
	turns    chan struct{}
	requests sync.WaitGroup
}

func (l *loading) handle(ctx context.Context, f proc.Frame) error {
	defer f.Close()
	switch f.Kind {
	case kindLoad:
		load, err := decode[loadFrame](f.Payload)
		if err != nil {
			return err
		}
		l.inTurn(func() { l.load(ctx, load) })
		return nil
	case kindPredict:
		predict, err := decode[predictFrame](f.Payload)
		if err != nil {
			return err
		}
		l.inTurn(func() { l.predict(ctx, predict) })
		return nil
	default:
		return fmt.Errorf("frame of unknown kind %d", f.Kind)
	}
}

func (l *loading) inTurn(do func()) {
	l.requests.Go(func() {
		l.turns <- struct{}{}
		defer func() { <-l.turns }()
		do()
	})
}

func (l *loading) load(ctx context.Context, load loadFrame) {
	set, err := dataset.Load(ctx, &load.Spec, load.Task)
	if err != nil {
		l.answer(kindLoaded, loadedFrame{Seq: load.Seq, Fault: dataFault(err)}, nil)
		return
	}
	size, err := dataset.EncodedSize(set)
	if err != nil {
		l.answer(kindLoaded, loadedFrame{Seq: load.Seq, Fault: faultOf(err)}, nil)
		return
	}
	arena, err := seal("weft data", size, func(b []byte) error { return dataset.EncodeTo(b, set) })
	if err != nil {
		l.answer(kindLoaded, loadedFrame{Seq: load.Seq, Fault: faultOf(err)}, nil)
		return
	}
	defer closeArena(arena)
	l.answer(kindLoaded, loadedFrame{Seq: load.Seq, Info: &set.Info}, arena.File())
}

// seal makes a memory file of size bytes that nobody can change any more.
func seal(name string, size int64, fill func([]byte) error) (*proc.Arena, error) {
	arena, err := proc.NewArena(name, size)
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	if err := fill(arena.Bytes()); err != nil {
		closeArena(arena)
		return nil, fmt.Errorf("fill memory file: %w", err)
	}
	if err := arena.Seal(); err != nil {
		closeArena(arena)
		return nil, fmt.Errorf("seal memory file: %w", err)
	}
	return arena, nil
}

// answer sends what a request came to. An answer that cannot be sent has no
// reader: the daemon is gone, and Serve ends this process.
func (l *loading) answer(kind byte, frame loadedFrame, file *os.File) {
	if file == nil {
		_ = l.conn.Send(kind, encode(frame))
		return
	}
	_ = l.conn.Send(kind, encode(frame), file)
}

func (l *loading) predict(ctx context.Context, p predictFrame) {
	text, err := predictCSV(ctx, p.Model, p.Data)
	if err != nil {
		l.answer(kindPredicted, loadedFrame{Seq: p.Seq, Fault: dataFault(err)}, nil)
		return
	}
	arena, err := seal("weft predictions", int64(len(text)), func(b []byte) error { copy(b, text); return nil })
	if err != nil {
		l.answer(kindPredicted, loadedFrame{Seq: p.Seq, Fault: faultOf(err)}, nil)
		return
	}
	defer closeArena(arena)
	l.answer(kindPredicted, loadedFrame{Seq: p.Seq, Size: int64(len(text))}, arena.File())
}

// predictCSV runs the rows of a file through a saved model: for classes a
// column with the most probable one and a column of probability each, for
// numbers a column each, named as the training data named its targets.
func predictCSV(ctx context.Context, modelPath, dataPath string) ([]byte, error) {
	saved, err := train.ReadModel(modelPath)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	rows, err := dataset.LoadRows(ctx, dataPath, saved.Info)
	if err != nil {
		return nil, err
	}
	width := saved.Model.Output[0]
	out := make([]float32, rows.N*width)
	if err := host.Predict(saved.Model, saved.Params, saved.Buffers, rows.X, rows.N, out); err != nil {
		return nil, err
	}
	return writePredictions(saved, out, width)
}

func writePredictions(saved *train.Saved, out []float32, width int) ([]byte, error) {
	answer := newAnswer(saved, width)
	var text textBuffer
	w := csv.NewWriter(&text)
	if err := w.Write(answer.header); err != nil {
		return nil, fmt.Errorf("write predictions: %w", err)
	}
	record := make([]string, 0, len(answer.header))
	for row := 0; row < len(out); row += width {
		record = answer.record(record[:0], out[row:row+width])
		if err := w.Write(record); err != nil {
			return nil, fmt.Errorf("write predictions: %w", err)
		}
	}
	w.Flush()
	return text, w.Error()
}

type textBuffer []byte

func (b *textBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 32) }
