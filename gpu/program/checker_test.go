package program

import (
	"fmt"
	"slices"
	"unsafe"

	"weft/kernels"
)

// Addresses that encoded programs are checked at; far apart, so that a pointer
// that leaves its array hits none.
const (
	blockAt   kernels.Ptr = 0x10_0000_0000_00
	xAt       kernels.Ptr = 0x20_0000_0000_00
	labelsAt  kernels.Ptr = 0x30_0000_0000_00
	targetsAt kernels.Ptr = 0x40_0000_0000_00
	statusAt  kernels.Ptr = 0x50_0000_0000_00
)

func (j job) dataPtrs() DataPtrs {
	d := DataPtrs{X: xAt, Spreads: SpreadsOf(j.set)}
	if j.set.Labels != nil {
		d.Labels = labelsAt
	}
	if j.set.Targets != nil {
		d.Targets = targetsAt
	}
	return d
}

// image encodes a program as the host uploads it, in words, so that numbers in
// it are aligned.
func (j job) image(t tb, p *Program) []byte {
	t.Helper()
	words := make([]uint64, p.InitBytes/8)
	block := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), p.InitBytes)
	for i := range block {
		block[i] = 0xa5
	}
	if err := p.Encode(block, blockAt, j.dataPtrs(), statusAt); err != nil {
		t.Fatalf("Encode: %v", err)
	}
	return block
}

// decoded is a program read back from its bytes.
type decoded struct {
	job    kernels.Job
	ops    []kernels.Op
	phases []kernels.Phase
}

func decode(t tb, p *Program, block []byte) decoded {
	t.Helper()
	var d decoded
	copy(kernels.Bytes(&d.job), block[p.StateOffset:])
	var count uint32
	for _, s := range d.job.Sections {
		count = max(count, s.First+s.Count)
	}
	d.phases = make([]kernels.Phase, count)
	copy(raw(d.phases), block[d.job.Phases-blockAt:])
	count = 0
	for _, ph := range d.phases {
		count = max(count, ph.First+ph.Count)
	}
	d.ops = make([]kernels.Op, count)
	copy(raw(d.ops), block[d.job.Ops-blockAt:])
	if len(d.ops) != len(p.ops) || len(d.phases) != len(p.phases) {
		t.Fatalf("%d operations in %d phases were encoded of %d in %d", len(d.ops), len(d.phases), len(p.ops), len(p.phases))
	}
	return d
}

// access is memory that an operation reads or writes.
type access struct {
	name   string
	at     kernels.Ptr
	bytes  int64
	writes bool
	onto   string // what it may write in the place of, element by element
	loose  bool   // need not be aligned: vectors are not loaded from there
}

// accesses says what an operation does to memory for a batch of rows.
func accesses(t tb, d *decoded, op *kernels.Op, rows int64, dataRows, trainRows int64) []access {
	var list []access
	array := func(name string, at kernels.Ptr, elements, size int64, writes bool) *access {
		list = append(list, access{name: name, at: at, bytes: elements * size, writes: writes})
		return &list[len(list)-1]
	}
	in := func(name string, at kernels.Ptr, elements int64) *access { return array(name, at, elements, 4, false) }
	out := func(name string, at kernels.Ptr, elements int64) *access { return array(name, at, elements, 4, true) }
	maybe := func(list func(string, kernels.Ptr, int64) *access, name string, at kernels.Ptr, elements int64) {
		if at != 0 {
			list(name, at, elements)
		}
	}
	x := func(at kernels.Ptr, width int64) {
		if op.Flags&kernels.FlagInput == 0 {
			in("x", at, rows*width)
			return
		}
		if at != xAt {
			t.Errorf("an input is at %#x, the data at %#x", at, xAt)
		}
		in("x", at, dataRows*width)
	}
	order := func() {
		if d.job.Order != 0 {
			in("order", d.job.Order, trainRows)
		}
	}
	image := func(w *kernels.Window) int64 { return int64(w.C) * int64(w.H) * int64(w.W) }
	places := func(w *kernels.Window) int64 { return int64(w.OH) * int64(w.OW) }
	patch := func(w *kernels.Window) int64 { return int64(w.C) * int64(w.KH) * int64(w.KW) }
	header := func(field uintptr, size uintptr, writes bool) {
		list = append(list, access{name: "job", at: blockAt + kernels.Ptr(field), bytes: int64(size), writes: writes, loose: true})
	}
	var j kernels.Job

	switch op.Kind {
	case kernels.OpLinear:
		a := kernels.ArgsOf[kernels.Linear](op)
		x(a.X, int64(a.In))
		in("w", a.W, int64(a.In)*int64(a.Out))
		maybe(in, "b", a.B, int64(a.Out))
		out("y", a.Y, rows*int64(a.Out))
		order()
	case kernels.OpLinearGradInput:
		a := kernels.ArgsOf[kernels.LinearGradInput](op)
		in("dy", a.DY, rows*int64(a.Out))
		in("w", a.W, int64(a.In)*int64(a.Out))
		if (a.Y != 0) != (a.Act != kernels.ActIdentity) {
			t.Errorf("linear_grad_input has y %#x for activation %d", a.Y, a.Act)
		}
		maybe(in, "y", a.Y, rows*int64(a.In))
		out("dx", a.DX, rows*int64(a.In))
	case kernels.OpLinearGradWeight:
		a := kernels.ArgsOf[kernels.LinearGradWeight](op)
		x(a.X, int64(a.In))
		in("dy", a.DY, rows*int64(a.Out))
		out("dw", a.DW, int64(a.In)*int64(a.Out))
		maybe(out, "db", a.DB, int64(a.Out))
		order()
	case kernels.OpConv2D:
		a := kernels.ArgsOf[kernels.Conv2D](op)
		x(a.X, image(&a.Window))
		in("w", a.W, int64(a.Out)*patch(&a.Window))
		maybe(in, "b", a.B, int64(a.Out))
		out("y", a.Y, rows*int64(a.Out)*places(&a.Window))
		order()
	case kernels.OpConv2DGradInput:
		a := kernels.ArgsOf[kernels.Conv2DGradInput](op)
		in("dy", a.DY, rows*int64(a.Out)*places(&a.Window))
		in("w", a.W, int64(a.Out)*patch(&a.Window))
		if (a.Y != 0) != (a.Act != kernels.ActIdentity) {
			t.Errorf("conv2d_grad_input has y %#x for activation %d", a.Y, a.Act)
		}
		maybe(in, "y", a.Y, rows*image(&a.Window))
		out("dx", a.DX, rows*image(&a.Window))
	case kernels.OpConv2DGradWeight:
		a := kernels.ArgsOf[kernels.Conv2DGradWeight](op)
		x(a.X, image(&a.Window))
		in("dy", a.DY, rows*int64(a.Out)*places(&a.Window))
		out("partial", a.Partial, int64(a.Splits)*int64(a.Out)*(patch(&a.Window)+1))
		order()
	case kernels.OpConv2DGradWeightSum:
		a := kernels.ArgsOf[kernels.Conv2DGradWeightSum](op)
		in("partial", a.Partial, int64(a.Splits)*int64(a.Out)*int64(a.Patch+1))
		out("dw", a.DW, int64(a.Out)*int64(a.Patch))
		maybe(out, "db", a.DB, int64(a.Out))
	case kernels.OpMaxPool:
		a := kernels.ArgsOf[kernels.MaxPool](op)
		in("x", a.X, rows*image(&a.Window))
		out("y", a.Y, rows*int64(a.Window.C)*places(&a.Window))
		out("from", a.From, rows*int64(a.Window.C)*places(&a.Window))
	case kernels.OpMaxPoolGrad:
		a := kernels.ArgsOf[kernels.MaxPoolGrad](op)
		in("dy", a.DY, rows*int64(a.Window.C)*places(&a.Window))
		in("from", a.From, rows*int64(a.Window.C)*places(&a.Window))
		out("dx", a.DX, rows*image(&a.Window))
	case kernels.OpAvgPool:
		a := kernels.ArgsOf[kernels.AvgPool](op)
		in("x", a.X, rows*image(&a.Window))
		out("y", a.Y, rows*int64(a.Window.C)*places(&a.Window))
	case kernels.OpAvgPoolGrad:
		a := kernels.ArgsOf[kernels.AvgPoolGrad](op)
		in("dy", a.DY, rows*int64(a.Window.C)*places(&a.Window))
		out("dx", a.DX, rows*image(&a.Window))
	case kernels.OpActivate:
		a := kernels.ArgsOf[kernels.Activate](op)
		in("x", a.X, rows*int64(a.N))
		out("y", a.Y, rows*int64(a.N)).onto = "x"
	case kernels.OpActivateGrad:
		a := kernels.ArgsOf[kernels.ActivateGrad](op)
		in("dy", a.DY, rows*int64(a.N))
		in("v", a.V, rows*int64(a.N))
		out("dx", a.DX, rows*int64(a.N)).onto = "dy"
	case kernels.OpDropout:
		a := kernels.ArgsOf[kernels.Dropout](op)
		in("x", a.X, rows*int64(a.N))
		out("y", a.Y, rows*int64(a.N)).onto = "x"
	case kernels.OpLayerNorm:
		a := kernels.ArgsOf[kernels.LayerNorm](op)
		in("x", a.X, rows*int64(a.N))
		in("w", a.W, int64(a.N))
		in("b", a.B, int64(a.N))
		out("y", a.Y, rows*int64(a.N))
		out("stats", a.Stats, rows*2)
	case kernels.OpLayerNormGradInput:
		a := kernels.ArgsOf[kernels.LayerNormGradInput](op)
		in("x", a.X, rows*int64(a.N))
		in("dy", a.DY, rows*int64(a.N))
		in("w", a.W, int64(a.N))
		in("stats", a.Stats, rows*2)
		out("dx", a.DX, rows*int64(a.N))
	case kernels.OpLayerNormGradWeight:
		a := kernels.ArgsOf[kernels.LayerNormGradWeight](op)
		in("x", a.X, rows*int64(a.N))
		in("dy", a.DY, rows*int64(a.N))
		in("stats", a.Stats, rows*2)
		out("dw", a.DW, int64(a.N))
		out("db", a.DB, int64(a.N))
	case kernels.OpBatchNorm:
		a := kernels.ArgsOf[kernels.BatchNorm](op)
		n := rows * int64(a.Channels) * int64(a.Plane)
		in("x", a.X, n)
		in("w", a.W, int64(a.Channels))
		in("b", a.B, int64(a.Channels))
		out("y", a.Y, n)
		out("stats", a.Stats, int64(a.Channels)*2)
		in("running_mean", a.RunningMean, int64(a.Channels))
		in("running_var", a.RunningVar, int64(a.Channels))
		out("running_mean'", a.RunningMean, int64(a.Channels)).onto = "running_mean"
		out("running_var'", a.RunningVar, int64(a.Channels)).onto = "running_var"
	case kernels.OpBatchNormGrad:
		a := kernels.ArgsOf[kernels.BatchNormGrad](op)
		n := rows * int64(a.Channels) * int64(a.Plane)
		in("x", a.X, n)
		in("dy", a.DY, n)
		in("w", a.W, int64(a.Channels))
		in("stats", a.Stats, int64(a.Channels)*2)
		maybe(out, "dx", a.DX, n)
		out("dw", a.DW, int64(a.Channels))
		out("db", a.DB, int64(a.Channels))
	case kernels.OpLoss:
		a := kernels.ArgsOf[kernels.Loss](op)
		in("z", a.Z, rows*int64(a.Width))
		if a.Kind == kernels.LossCrossEntropy {
			in("target", a.Target, dataRows)
		} else {
			in("target", a.Target, dataRows*int64(a.Width))
		}
		maybe(out, "dz", a.DZ, rows*int64(a.Width))
		array("loss", a.Loss, rows, 8, true)
		out("right", a.Right, rows)
		order()
	case kernels.OpLossSum:
		a := kernels.ArgsOf[kernels.LossSum](op)
		array("loss", a.Loss, rows, 8, false)
		in("right", a.Right, rows)
		if a.Squares != 0 {
			in("z", a.Z, rows*int64(a.Width))
			in("target", a.Target, dataRows*int64(a.Width))
			array("squares", a.Squares, int64(a.Width), 8, false)
			array("squares'", a.Squares, int64(a.Width), 8, true).onto = "squares"
		}
		header(unsafe.Offsetof(j.Batch), unsafe.Sizeof(j.Batch), true)
	case kernels.OpSumSquares:
		a := kernels.ArgsOf[kernels.SumSquares](op)
		in("g", a.G, int64(a.N))
		array("partial", a.Partial, (int64(a.N)+4095)/4096, 8, true)
	case kernels.OpClipScale:
		a := kernels.ArgsOf[kernels.ClipScale](op)
		array("partial", a.Partial, int64(a.Count), 8, false)
		header(unsafe.Offsetof(j.Hyper), unsafe.Sizeof(j.Hyper), true)
	case kernels.OpOptimize:
		a := kernels.ArgsOf[kernels.Optimize](op)
		in("grads", a.Grads, int64(a.N))
		for i, at := range []kernels.Ptr{a.Params, a.Slot0, a.Slot1, a.Slot2} {
			if at == 0 {
				continue
			}
			name := fmt.Sprintf("vector%d", i)
			in(name, at, int64(a.N))
			out(name+"'", at, int64(a.N)).onto = name
		}
		header(unsafe.Offsetof(j.Hyper), unsafe.Sizeof(j.Hyper), false)
	case kernels.OpShuffleRows:
		a := kernels.ArgsOf[kernels.ShuffleRows](op)
		out("order", a.Order, int64(a.N))
	case kernels.OpGatherRows:
		a := kernels.ArgsOf[kernels.GatherRows](op)
		if op.Flags&kernels.FlagInput == 0 {
			t.Error("gather_rows is not of the data set")
		}
		x(a.X, int64(a.N))
		out("y", a.Y, rows*int64(a.N))
		order()
	case kernels.OpCopy:
		a := kernels.ArgsOf[kernels.Copy](op)
		in("from", a.From, int64(a.N)).loose = true
		out("to", a.To, int64(a.N)).loose = true
		if a.N2 > 0 {
			in("from2", a.From2, int64(a.N2)).loose = true
			out("to2", a.To2, int64(a.N2)).loose = true
		} else if a.From2 != 0 || a.To2 != 0 {
			t.Error("copy has pointers to nothing")
		}
	default:
		t.Errorf("operation of unknown kind %d", op.Kind)
	}
	checkActivation(t, op)
	if op.Flags&^kernels.FlagInput != 0 {
		t.Errorf("%s has flags %#x", forms[op.Kind].name, op.Flags)
	}
	return list
}

// checkActivation: products know activations by value only.
func checkActivation(t tb, op *kernels.Op) {
	t.Helper()
	var act int32
	var slope float32
	switch op.Kind {
	case kernels.OpLinear:
		a := kernels.ArgsOf[kernels.Linear](op)
		act, slope = a.Act, a.Slope
	case kernels.OpLinearGradInput:
		a := kernels.ArgsOf[kernels.LinearGradInput](op)
		act, slope = a.Act, a.Slope
	case kernels.OpConv2D:
		a := kernels.ArgsOf[kernels.Conv2D](op)
		act, slope = a.Act, a.Slope
	case kernels.OpConv2DGradInput:
		a := kernels.ArgsOf[kernels.Conv2DGradInput](op)
		act, slope = a.Act, a.Slope
	default:
		return
	}
	if act == kernels.ActGELU || act == kernels.ActLeakyReLU && slope <= 0 {
		t.Errorf("%s has the activation %d, slope %g", forms[op.Kind].name, act, slope)
	}
}

// checker walks over an encoded program.
type checker struct {
	tb
	p       *Program
	j       job
	d       decoded
	doing   kernels.Doing
	written []bool  // words of the block that hold something
	times   []uint8 // how often this section has written a word
}

// checkProgram holds a program against everything that the kernels take for
// granted:
//
//   - pointers lie in the block or in the data, ranges included, and are aligned;
//   - what an operation writes, no other of its phase reads or writes, and itself
//     reads only where its kind allows it;
//   - what is read was written before: in the section, by the host, by an earlier
//     section that keeps it;
//   - a section writes only what is its own to write, and a step writes each
//     gradient once.
func checkProgram(t tb, j job, p *Program) {
	t.Helper()
	block := j.image(t, p)
	c := &checker{tb: t, p: p, j: j, d: decode(t, p, block)}
	c.checkPieces()
	c.checkHeader()
	c.written = make([]bool, p.Bytes/4)
	c.times = make([]uint8, p.Bytes/4)
	for i := range p.pieces {
		q := &p.pieces[i]
		if q.place == inState && region(i) != p.known.best || q.place == inImage {
			c.mark(q)
		}
	}
	c.section(kernels.DoingBegin, 1)
	c.section(kernels.DoingShuffle, 1)
	train := int64(c.d.job.BatchSize)
	for _, rows := range []int64{train, 1, train} {
		c.section(kernels.DoingTrain, rows)
	}
	if c.d.job.EvalRows > 0 {
		c.section(kernels.DoingValidate, int64(c.d.job.EvalRows))
		c.section(kernels.DoingTest, 1)
	}
	c.section(kernels.DoingTrain, train)
	c.section(kernels.DoingKeep, 1)
	c.section(kernels.DoingTake, 1)
}

func (c *checker) mark(q *piece) {
	for w := q.at / 4; w < (q.at+q.bytes)/4; w++ {
		c.written[w] = true
	}
}

// checkPieces: no two pieces overlap, but those of training and evaluation.
func (c *checker) checkPieces() {
	p := c.p
	own := slices.DeleteFunc(slices.Clone(p.pieces), func(q piece) bool { return q.place == outside || q.bytes == 0 })
	for i, a := range own {
		if a.at%alignment != 0 || a.at+a.bytes > p.Bytes {
			c.Errorf("%s lies at %d to %d of %d bytes", a.name, a.at, a.at+a.bytes, p.Bytes)
		}
		if (a.place == inState) != (a.at < p.StateOffset+p.StateBytes) || (a.place <= inImage) != (a.at < p.InitBytes) {
			c.Errorf("%s lies at %d, on the wrong side of %d or %d", a.name, a.at, p.StateOffset+p.StateBytes, p.InitBytes)
		}
		for _, b := range own[:i] {
			if a.at < b.at+b.bytes && b.at < a.at+a.bytes && !(a.place == evaluating && b.place == training) {
				c.Errorf("%s and %s overlap", a.name, b.name)
			}
		}
	}
	if p.StateOffset != 0 || p.pieces[p.known.job].at != 0 {
		c.Error("the job is not at the block's start")
	}
}

func (c *checker) checkHeader() {
	h, info := &c.d.job, &c.j.set.Info
	for doing, s := range h.Sections {
		runs := kernels.Doing(doing) < kernels.DoingDone
		if (s.Count > 0) != runs {
			c.Errorf("section %s has %d phases", kernels.Doing(doing), s.Count)
		}
		if c.p.Phases[doing] != int(s.Count) {
			c.Errorf("section %s has %d phases, Phases says %d", kernels.Doing(doing), s.Count, c.p.Phases[doing])
		}
	}
	perEpoch, steps, _ := c.j.spec.Plan(info.TrainRows)
	if h.Steps != steps || h.StepsPerEpoch != perEpoch || h.TrainRows != int64(info.TrainRows) || h.Seed != c.j.spec.Seed {
		c.Errorf("the job has %d steps, %d an epoch, %d rows, seed %d", h.Steps, h.StepsPerEpoch, h.TrainRows, h.Seed)
	}
	if h.Validation.First+h.Validation.Rows != h.Test.First || h.Validation.First != h.TrainRows {
		c.Errorf("parts lie at %+v and %+v", h.Validation, h.Test)
	}
	if (h.EvalRows > 0) != (info.ValRows+info.TestRows > 0) || int(h.EvalRows) > max(info.ValRows, info.TestRows) {
		c.Errorf("%d rows to evaluate at once, of %d and %d", h.EvalRows, info.ValRows, info.TestRows)
	}
	if h.Status != statusAt || (h.Order != 0) != c.j.spec.Shuffle {
		c.Errorf("status at %#x, order at %#x", h.Status, h.Order)
	}
}

// section checks one section on a batch of rows.
func (c *checker) section(doing kernels.Doing, rows int64) {
	c.Helper()
	c.doing = doing
	clear(c.times)
	grads := &c.p.pieces[c.p.known.grads]
	for i := range c.p.pieces { // what does not last from the section before
		if q := &c.p.pieces[i]; q.place == training || q.place == evaluating {
			clear(c.written[q.at/4 : (q.at+align(q.bytes))/4])
		}
	}
	for i, at := range c.p.params.at { // gradients last, but each step makes new ones
		first := (grads.at + at) / 4
		clear(c.written[first : first+int64(c.p.params.tensors[i].Size)])
	}
	if c.p.known.squares != null { // advance() clears them
		c.mark(&c.p.pieces[c.p.known.squares])
	}
	s := c.d.job.Sections[doing]
	for number, phase := range c.d.phases[s.First : s.First+s.Count] {
		c.phase(number, phase, rows)
	}
	if doing != kernels.DoingTrain {
		return
	}
	for i, at := range c.p.params.at {
		first := (grads.at + at) / 4
		for w := first; w < first+int64(c.p.params.tensors[i].Size); w++ {
			if c.times[w] != 1 {
				c.Fatalf("a step writes the gradient of %s %d times", c.p.params.tensors[i].Name, c.times[w])
			}
		}
	}
	for w := range c.p.params.bytes / 4 {
		if c.times[c.p.pieces[c.p.known.params].at/4+w] != 1 {
			c.Fatalf("a step writes parameter word %d %d times", w, c.times[c.p.pieces[c.p.known.params].at/4+w])
		}
	}
}

func (c *checker) phase(number int, phase kernels.Phase, rows int64) {
	c.Helper()
	type entry struct {
		access
		op int
	}
	var all []entry
	info := &c.j.set.Info
	for i := range phase.Count {
		op := &c.d.ops[phase.First+i]
		for _, a := range accesses(c, &c.d, op, rows, int64(info.Rows), int64(info.TrainRows)) {
			if a.name == "order" && !a.writes && c.doing != kernels.DoingTrain {
				continue // batch_row looks there in training only
			}
			if op.Kind == kernels.OpBatchNorm && a.onto != "" && c.doing != kernels.DoingTrain {
				continue // running statistics move in training only
			}
			where := fmt.Sprintf("%s, phase %d, %s: %s", c.doing, number, forms[op.Kind].name, a.name)
			if c.checkAccess(where, &a) {
				all = append(all, entry{a, int(i)})
			}
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if !(a.writes || b.writes) || a.at >= b.at+kernels.Ptr(b.bytes) || b.at >= a.at+kernels.Ptr(a.bytes) {
				continue
			}
			w, r := a.access, b.access
			if !w.writes {
				w, r = r, w
			}
			if a.op == b.op && w.onto == r.name && !r.writes && w.at == r.at && w.bytes == r.bytes {
				continue
			}
			c.Errorf("%s, phase %d: operation %d's %s and operation %d's %s overlap", c.doing, number, a.op, a.name, b.op, b.name)
		}
	}
	for _, a := range all {
		if a.writes && a.at >= blockAt && a.at < xAt {
			for w := (a.at - blockAt) / 4; w < (a.at-blockAt+kernels.Ptr(a.bytes))/4; w++ {
				c.written[w] = true
				c.times[w]++
			}
		}
	}
}

// checkAccess reports whether an access can be looked at further.
func (c *checker) checkAccess(where string, a *access) bool {
	c.Helper()
	set := c.j.set
	switch {
	case a.bytes <= 0:
		c.Errorf("%s has %d bytes", where, a.bytes)
		return false
	case a.at >= xAt:
		for _, part := range []struct {
			at    kernels.Ptr
			bytes int
		}{{xAt, 4 * len(set.X)}, {labelsAt, 4 * len(set.Labels)}, {targetsAt, 4 * len(set.Targets)}} {
			if a.at == part.at && a.bytes <= int64(part.bytes) && !a.writes {
				return true
			}
		}
		c.Errorf("%s: %d bytes at %#x are not in the data", where, a.bytes, a.at)
		return false
	case a.at < blockAt || a.at+kernels.Ptr(a.bytes) > blockAt+kernels.Ptr(c.p.Bytes):
		c.Errorf("%s: %d bytes at %#x are not in the block", where, a.bytes, a.at)
		return false
	case a.at%alignment != 0 && !a.loose, a.at%4 != 0:
		c.Errorf("%s: %#x is not aligned", where, a.at)
	}
	from := int64(a.at - blockAt)
	i := slices.IndexFunc(c.p.pieces, func(q piece) bool {
		return q.place != outside && q.at <= from && from+a.bytes <= q.at+q.bytes && c.alive(q.place)
	})
	if i < 0 {
		c.Errorf("%s: %d bytes at %d are in no piece", where, a.bytes, from)
		return false
	}
	if a.writes {
		if !c.mayWrite(region(i), a) {
			c.Errorf("%s: %s is not to be written here", where, c.p.pieces[i].name)
		}
		return true
	}
	if w := slices.Index(c.written[from/4:(from+a.bytes)/4], false); w >= 0 {
		c.Errorf("%s: word %d of %s was never written", where, int64(w)+(from-c.p.pieces[i].at)/4, c.p.pieces[i].name)
	}
	return true
}

// alive reports whether a part of the memory is the section's to use.
func (c *checker) alive(in place) bool {
	switch in {
	case training:
		return c.doing == kernels.DoingTrain
	case evaluating:
		return c.doing == kernels.DoingValidate || c.doing == kernels.DoingTest
	default:
		return true
	}
}

func (c *checker) mayWrite(r region, a *access) bool {
	k := &c.p.known
	if c.p.pieces[r].place == training || c.p.pieces[r].place == evaluating {
		return true
	}
	switch c.doing {
	case kernels.DoingBegin:
		at := int64(a.at-blockAt) - c.p.pieces[k.grads].at
		return r == k.grads && slices.Contains(c.p.params.gaps(), gap{at, a.bytes})
	case kernels.DoingShuffle:
		return r == k.order
	case kernels.DoingTrain:
		return r == k.job || r == k.params || r == k.buffers || r == k.grads || slices.Contains(k.slots, r)
	case kernels.DoingValidate, kernels.DoingTest:
		return r == k.job || r == k.squares && k.squares != null
	case kernels.DoingKeep:
		return r == k.best
	case kernels.DoingTake:
		return r == k.params || r == k.buffers
	default:
		return false
	}
}
