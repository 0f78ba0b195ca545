package pools

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"weft/cpuwork"
	"weft/cpuwork/fetch"
	"weft/cpuwork/files"
	"weft/cpuwork/jpeg"
	"weft/cpuwork/primes"
	"weft/cpuwork/sha256"
)

// noop is the work of handing over.
var noop = cpuwork.Work{Name: "bench-nothing", New: func([]byte) (cpuwork.Func, error) {
	return func(_ context.Context, _, out []byte) ([]byte, error) { return out, nil }, nil
}}

// works are what worker processes of arms can do.
var works = []cpuwork.Work{sha256.Blob, sha256.Work, jpeg.EncodeWork, fetch.Work, primes.Work, noop}

// A job is a task as a pool takes it.
type job struct {
	work   cpuwork.Work
	params []byte
	period int // items so far apart have equal answers
	item   func(i int) cpuwork.Item
	// plain is what of an answer all contestants have in common; nil: all of it.
	plain func(answer []byte) ([]byte, error)
	cold  bool // no item may be done before the clock
}

// newJob reads the task's input.
func newJob(t Task) (*job, error) {
	var input []byte
	if t.Input != "" {
		var err error
		if input, err = os.ReadFile(t.Input); err != nil { // #nosec G304 -- the benchmark's own
			return nil, fmt.Errorf("read input: %w", err)
		}
	}
	switch t.Case {
	case SHA256:
		return &job{work: sha256.Blob, item: func(i int) cpuwork.Item {
			return cpuwork.Item{Size: t.Size, Fill: func(dst []byte) (int, error) { return fillBlob(dst, input, i), nil }}
		}}, nil
	case SHA256Files:
		return filesJob(t)
	case JPEGSmall, JPEGLarge:
		return jpegJob(t, input)
	case Fetch, FetchLimited:
		return fetchJob(t)
	case PrimesDoc, Primes64:
		return &job{work: primes.Work, item: func(i int) cpuwork.Item { return cpuwork.Item{Data: input[8*i : 8*i+8]} }}, nil
	case Handoff:
		return &job{work: noop, item: func(int) cpuwork.Item { return cpuwork.Item{Data: sixteen[:]} }}, nil
	}
	return nil, fmt.Errorf("there is no case %q", t.Case)
}

var sixteen [16]byte

// filesJob is the job that weft cpu sha256 would run.
func filesJob(t Task) (*job, error) {
	paths := make([]files.Name, t.Items)
	for i := range paths {
		paths[i] = files.Name(filepath.Join(t.Files, fileName(i)))
	}
	load, err := sha256.New(sha256.Spec{Files: files.Spec{Paths: paths}})
	if err != nil {
		return nil, err
	}
	j := &job{plain: func(answer []byte) ([]byte, error) {
		a, err := sha256.ParseAnswer(answer)
		return a.Sum[:], err
	}}
	j.work, j.params = load.Work()
	var all []cpuwork.Item
	for it, err := range load.Items(context.Background()) {
		if err != nil {
			return nil, err
		}
		if it.Failed != nil {
			return nil, fmt.Errorf("%s: %w", it.Name, it.Failed)
		}
		all = append(all, it.Item)
	}
	if len(all) != t.Items {
		return nil, fmt.Errorf("%d of %d files are there", len(all), t.Items)
	}
	j.item = func(i int) cpuwork.Item { return all[i] }
	return j, nil
}

func jpegJob(t Task, input []byte) (*job, error) {
	frame := 3 * t.Width * t.Height
	if len(input) != pictures*frame {
		return nil, fmt.Errorf("the input has %d bytes, not %d pictures", len(input), pictures)
	}
	var items [pictures]cpuwork.Item
	for i := range items {
		data, err := jpeg.AppendPixels(nil, t.Width, t.Height, 3, input[i*frame:(i+1)*frame])
		if err != nil {
			return nil, err
		}
		items[i].Data = data
	}
	params, err := json.Marshal(jpeg.Encoding{Encoder: t.Arm.Variant})
	if err != nil {
		return nil, err
	}
	return &job{work: jpeg.EncodeWork, params: params, period: pictures,
		item: func(i int) cpuwork.Item { return items[i%pictures] }}, nil
}

func fetchJob(t Task) (*job, error) {
	spec := fetch.Spec{URLs: []string{t.URL}, Discard: true, AllowPrivate: true, Rate: t.Rate,
		Concurrency: t.Arm.Workers, HostConcurrency: t.Arm.Workers}
	if t.Arm.Pool == cpuwork.Process {
		spec.Processes = t.Arm.Workers
	}
	load, err := fetch.New(spec)
	if err != nil {
		return nil, err
	}
	item := cpuwork.Item{Data: []byte(t.URL)}
	j := &job{item: func(int) cpuwork.Item { return item }, cold: t.Rate > 0, plain: func(answer []byte) ([]byte, error) {
		var a fetch.Answer
		err := json.Unmarshal(answer, &a)
		return []byte(strconv.Itoa(a.Status) + " " + strconv.FormatInt(a.Bytes, 10)), err
	}}
	j.work, j.params = load.Work()
	return j, nil
}

// items are items from to to.
func (j *job) items(from, to int) iter.Seq2[cpuwork.Item, error] {
	return func(yield func(cpuwork.Item, error) bool) {
		for i := from; i < to; i++ {
			if !yield(j.item(i), nil) {
				return
			}
		}
	}
}

// options are those of the task's pool.
func (j *job) options(t Task) cpuwork.Options {
	o := cpuwork.Options{Work: j.work, Params: j.params, Workers: t.Arm.Workers, Args: []string{workerVerb, slotKind}}
	if t.Arm.Variant == VariantOne {
		o.Chunk = 1
	}
	return o
}

// warmUp is how many items for each worker are done before the clock.
const warmUp = 4

// runTask does a task: what an arm's process is for.
func runTask(ctx context.Context, t Task) (a Answer, err error) {
	j, err := newJob(t)
	if err != nil {
		return a, err
	}
	pool, err := cpuwork.New(t.Arm.Pool, j.options(t))
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if !j.cold {
		_, err := pool.Run(ctx, j.items(0, min(t.Items, warmUp*t.Arm.Workers)), func(r cpuwork.Result) error { return r.Err })
		if err != nil {
			return a, fmt.Errorf("warm up: %w", err)
		}
	}
	var d *Digest
	if t.Case != Handoff {
		d = NewDigest(t.Items, j.period)
	}
	runtime.GC()
	used, begin := usedBefore(), time.Now()
	s, err := pool.Run(ctx, j.items(0, t.Items), func(r cpuwork.Result) error { return j.take(d, r) })
	a.Wall = time.Since(begin).Seconds()
	if err != nil {
		return a, err
	}
	cpu, err := used.since()
	if err != nil {
		return a, err
	}
	a.CPU = cpu.Seconds()
	a.Peak = footprint(os.Getpid())
	a.Items, a.Chunk = int(s.OK), s.Chunk
	if d != nil {
		a.Digest, a.Bytes = d.Sum(), d.bytes
	}
	return a, nil
}

// take notes an answer. An item that failed is the run's end: none may.
func (j *job) take(d *Digest, r cpuwork.Result) error {
	if r.Err != nil {
		return fmt.Errorf("item %d: %w", r.Index, r.Err)
	}
	if d == nil {
		return nil
	}
	answer := r.Output
	if j.plain != nil {
		var err error
		if answer, err = j.plain(answer); err != nil {
			return fmt.Errorf("item %d: %w", r.Index, err)
		}
	}
	d.Add(int(r.Index), answer)
	return nil
}

// MakingCost is how long making the items of a case takes alone, on one core, where
// making them is part of the clock; 0: it is not.
func (b *Bench) MakingCost(ctx context.Context) (time.Duration, error) {
	if b.Case.Name != SHA256 {
		return 0, nil
	}
	block, err := os.ReadFile(b.input)
	if err != nil {
		return 0, fmt.Errorf("read input: %w", err)
	}
	// As many buffers as a pool has in memory, one after the other.
	slab := make([]byte, max(cpuwork.DefaultMemory/4/max(b.Size, 1), 1)*b.Size)
	for i := range slab {
		slab[i] = 1 // so that it is there before the clock
	}
	var sum uint64
	begin := time.Now()
	for i := range b.Items {
		at := i * b.Size % len(slab)
		dst := slab[at : at+b.Size]
		if n := fillBlob(dst, block, i); n >= indexBytes {
			sum += binary.LittleEndian.Uint64(dst)
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	took := time.Since(begin)
	if want := uint64(b.Items) * uint64(b.Items-1) / 2; b.Size >= indexBytes && sum != want { // #nosec G115 -- counts
		return 0, errors.New("make items: they are not numbered")
	}
	return took, nil
}
