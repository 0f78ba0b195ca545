package program

import (
	"math"
	"unsafe"

	"weft/gpu/host/simd"
	"weft/gpu/train"
	"weft/gpu/train/philox"
	"weft/kernels"
)

// machine runs an encoded program: every operation as plainly as it can be
// written, from the description in kernels/job.cuh, sums in float64; between
// sections what kernels/control.cuh says. It is what a program is held against
// gpu/host with.
type machine struct {
	tb
	j        job
	p        *Program
	block    []byte
	d        decoded
	h        *kernels.Job // in block
	training bool
	reports  []kernels.Report
	status   kernels.Status
}

func newMachine(t tb, j job, p *Program, s *train.State) *machine {
	t.Helper()
	words := make([]uint64, p.Bytes/8)
	m := &machine{tb: t, j: j, p: p, block: unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), p.Bytes)}
	for i := range m.block {
		m.block[i] = 0xff // NaN, in every type
	}
	copy(m.block, j.image(t, p))
	if err := p.PutState(m.block[p.StateOffset:p.StateOffset+p.StateBytes], s); err != nil {
		t.Fatalf("PutState: %v", err)
	}
	m.d = decode(t, p, m.block)
	m.h = (*kernels.Job)(unsafe.Pointer(&m.block[p.StateOffset]))
	return m
}

// state is a snapshot's.
func (m *machine) state() *train.State {
	m.Helper()
	s, err := m.p.State(m.block[m.p.StateOffset : m.p.StateOffset+m.p.StateBytes])
	if err != nil {
		m.Fatalf("State: %v", err)
	}
	return s
}

// at returns n elements of the machine's memory or of the data.
func at[E any](m *machine, p kernels.Ptr, n int) []E {
	var e E
	size := int(unsafe.Sizeof(e))
	var memory []byte
	switch {
	case p >= targetsAt:
		memory, p = raw(m.j.set.Targets), p-targetsAt
	case p >= labelsAt:
		memory, p = raw(m.j.set.Labels), p-labelsAt
	case p >= xAt:
		memory, p = raw(m.j.set.X), p-xAt
	default:
		memory, p = m.block, p-blockAt
	}
	memory = memory[p : int(p)+n*size]
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&memory[0])), n)
}

func (m *machine) floats(p kernels.Ptr, n int) []float32 {
	if p == 0 {
		return nil
	}
	return at[float32](m, p, n)
}

// section runs the phases of what the job is doing.
func (m *machine) section() {
	s := m.d.job.Sections[m.h.Cursor.Doing]
	m.training = m.h.Cursor.Doing == kernels.DoingTrain
	for _, phase := range m.d.phases[s.First : s.First+s.Count] {
		for i := range phase.Count {
			m.op(&m.d.ops[phase.First+i])
		}
	}
}

// row is batch_row.
func (m *machine) row(flags uint32, r int) int {
	switch {
	case flags&kernels.FlagInput == 0:
		return r
	case m.training && m.h.Order != 0:
		return int(at[int32](m, m.h.Order, int(m.h.TrainRows))[int(m.h.Cursor.First)+r])
	default:
		return int(m.h.Cursor.First) + r
	}
}

// rowOf returns row r of x.
func (m *machine) rowOf(x kernels.Ptr, flags uint32, r, width int) []float32 {
	return m.floats(x+kernels.Ptr(4*width*m.row(flags, r)), width)
}

func activate(kind int32, slope float32, x float32) float32 {
	v := float64(x)
	switch kind {
	case kernels.ActReLU:
		return float32(math.Max(v, 0))
	case kernels.ActLeakyReLU:
		if v > 0 {
			return x
		}
		return slope * x
	case kernels.ActTanh:
		return float32(math.Tanh(v))
	case kernels.ActSigmoid:
		return float32(1 / (1 + math.Exp(-v)))
	case kernels.ActGELU:
		return float32(v * 0.5 * math.Erfc(-v/math.Sqrt2))
	default:
		return x
	}
}

// derivative is act's at v, the function's value or, where job.cuh says so, its argument.
func derivative(kind int32, slope float32, at float32) float64 {
	v := float64(at)
	switch kind {
	case kernels.ActReLU:
		if v > 0 {
			return 1
		}
		return 0
	case kernels.ActLeakyReLU:
		if v > 0 {
			return 1
		}
		return float64(slope)
	case kernels.ActTanh:
		return 1 - v*v
	case kernels.ActSigmoid:
		return v * (1 - v)
	case kernels.ActGELU:
		return 0.5*math.Erfc(-v/math.Sqrt2) + v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi)
	default:
		return 1
	}
}

func (m *machine) op(op *kernels.Op) {
	rows := int(m.h.Cursor.Rows)
	switch op.Kind {
	case kernels.OpLinear:
		a := kernels.ArgsOf[kernels.Linear](op)
		in, out := int(a.In), int(a.Out)
		w, b, y := m.floats(a.W, in*out), m.floats(a.B, out), m.floats(a.Y, rows*out)
		for r := range rows {
			x := m.rowOf(a.X, op.Flags, r, in)
			for o := range out {
				sum := dot(x, w[o*in:])
				if b != nil {
					sum += float64(b[o])
				}
				y[r*out+o] = activate(a.Act, a.Slope, float32(sum))
			}
		}
	case kernels.OpLinearGradInput:
		a := kernels.ArgsOf[kernels.LinearGradInput](op)
		in, out := int(a.In), int(a.Out)
		dy, w, y, dx := m.floats(a.DY, rows*out), m.floats(a.W, in*out), m.floats(a.Y, rows*in), m.floats(a.DX, rows*in)
		for i := range dx {
			var sum float64
			for o := range out {
				sum += float64(dy[i/in*out+o]) * float64(w[o*in+i%in])
			}
			dx[i] = float32(through(a.Act, a.Slope, y, i, sum))
		}
	case kernels.OpLinearGradWeight:
		a := kernels.ArgsOf[kernels.LinearGradWeight](op)
		in, out := int(a.In), int(a.Out)
		dy, dw, db := m.floats(a.DY, rows*out), m.floats(a.DW, in*out), m.floats(a.DB, out)
		for o := range out {
			sums, bias := make([]float64, in), 0.0
			for r := range rows {
				g := float64(dy[r*out+o])
				bias += g
				for i, v := range m.rowOf(a.X, op.Flags, r, in) {
					sums[i] += g * float64(v)
				}
			}
			for i, s := range sums {
				dw[o*in+i] = float32(s)
			}
			if db != nil {
				db[o] = float32(bias)
			}
		}
	case kernels.OpConv2D, kernels.OpConv2DGradInput, kernels.OpConv2DGradWeight, kernels.OpConv2DGradWeightSum:
		m.convolve(op, rows)
	case kernels.OpMaxPool, kernels.OpMaxPoolGrad, kernels.OpAvgPool, kernels.OpAvgPoolGrad:
		m.pool(op, rows)
	case kernels.OpActivate:
		a := kernels.ArgsOf[kernels.Activate](op)
		x, y := m.floats(a.X, rows*int(a.N)), m.floats(a.Y, rows*int(a.N))
		for i, v := range x {
			y[i] = activate(a.Act, a.Slope, v)
		}
	case kernels.OpActivateGrad:
		a := kernels.ArgsOf[kernels.ActivateGrad](op)
		n := rows * int(a.N)
		dy, v, dx := m.floats(a.DY, n), m.floats(a.V, n), m.floats(a.DX, n)
		for i, g := range dy {
			dx[i] = float32(float64(g) * derivative(a.Act, a.Slope, v[i]))
		}
	case kernels.OpDropout:
		a := kernels.ArgsOf[kernels.Dropout](op)
		x, y := m.floats(a.X, rows*int(a.N)), m.floats(a.Y, rows*int(a.N))
		stream := philox.New(m.h.Seed, philox.Dropout, uint64(a.Stage)<<48|uint64(m.h.State.Step))
		for i, v := range x {
			if y[i] = 0; stream.Uint32(uint64(i))>>8 >= a.Limit {
				y[i] = v * a.Keep
			}
		}
	case kernels.OpLayerNorm, kernels.OpLayerNormGradInput, kernels.OpLayerNormGradWeight,
		kernels.OpBatchNorm, kernels.OpBatchNormGrad:
		m.norm(op, rows)
	case kernels.OpLoss, kernels.OpLossSum:
		m.loss(op, rows)
	case kernels.OpSumSquares:
		a := kernels.ArgsOf[kernels.SumSquares](op)
		partial := at[float64](m, a.Partial, (int(a.N)+4095)/4096)
		clear(partial)
		for i, g := range m.floats(a.G, int(a.N)) {
			partial[i/4096] += float64(g) * float64(g)
		}
	case kernels.OpClipScale:
		a := kernels.ArgsOf[kernels.ClipScale](op)
		var sum float64
		for _, s := range at[float64](m, a.Partial, int(a.Count)) {
			sum += s
		}
		m.h.Hyper.GradScale = float32(min(1, a.Clip/(math.Sqrt(sum)+1e-6)))
	case kernels.OpOptimize:
		m.optimize(op)
	case kernels.OpShuffleRows:
		a := kernels.ArgsOf[kernels.ShuffleRows](op)
		philox.Permutation(m.h.Seed, uint64(m.h.State.Epoch), at[int32](m, a.Order, int(a.N)))
	case kernels.OpGatherRows:
		a := kernels.ArgsOf[kernels.GatherRows](op)
		for r := range rows {
			copy(m.rowOf(a.Y, 0, r, int(a.N)), m.rowOf(a.X, op.Flags, r, int(a.N)))
		}
	case kernels.OpCopy:
		a := kernels.ArgsOf[kernels.Copy](op)
		copy(m.floats(a.To, int(a.N)), m.floats(a.From, int(a.N)))
		copy(m.floats(a.To2, int(a.N2)), m.floats(a.From2, int(a.N2)))
	default:
		m.Fatalf("operation of kind %d", op.Kind)
	}
}

func dot(x, y []float32) (sum float64) {
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// through is the gradient g of element i behind an activation with value y.
func through(act int32, slope float32, y []float32, i int, g float64) float64 {
	if y == nil {
		return g
	}
	return g * derivative(act, slope, y[i])
}

// under calls visit for every pair of a place and an element of the image that
// it sees: o, i in (oh, ow) and (h, w), k in (kh, kw).
func under(w *kernels.Window, visit func(o, i, k int)) {
	for oy := range int(w.OH) {
		for ox := range int(w.OW) {
			for ky := range int(w.KH) {
				for kx := range int(w.KW) {
					y, x := oy*int(w.SH)-int(w.PH)+ky, ox*int(w.SW)-int(w.PW)+kx
					if y >= 0 && y < int(w.H) && x >= 0 && x < int(w.W) {
						visit(oy*int(w.OW)+ox, y*int(w.W)+x, ky*int(w.KW)+kx)
					}
				}
			}
		}
	}
}

func (m *machine) convolve(op *kernels.Op, rows int) {
	sizes := func(w *kernels.Window) (plane, places, kernel int) {
		return int(w.H) * int(w.W), int(w.OH) * int(w.OW), int(w.KH) * int(w.KW)
	}
	switch op.Kind {
	case kernels.OpConv2D:
		a := kernels.ArgsOf[kernels.Conv2D](op)
		plane, places, kernel := sizes(&a.Window)
		channels, out := int(a.Window.C), int(a.Out)
		w, b, y := m.floats(a.W, out*channels*kernel), m.floats(a.B, out), m.floats(a.Y, rows*out*places)
		for r := range rows {
			x := m.rowOf(a.X, op.Flags, r, channels*plane)
			for f := range out {
				sums := make([]float64, places)
				for c := range channels {
					under(&a.Window, func(o, i, k int) {
						sums[o] += float64(x[c*plane+i]) * float64(w[(f*channels+c)*kernel+k])
					})
				}
				for o, s := range sums {
					if b != nil {
						s += float64(b[f])
					}
					y[(r*out+f)*places+o] = activate(a.Act, a.Slope, float32(s))
				}
			}
		}
	case kernels.OpConv2DGradInput:
		a := kernels.ArgsOf[kernels.Conv2DGradInput](op)
		plane, places, kernel := sizes(&a.Window)
		channels, out := int(a.Window.C), int(a.Out)
		image := channels * plane
		dy, w := m.floats(a.DY, rows*out*places), m.floats(a.W, out*channels*kernel)
		y, dx := m.floats(a.Y, rows*image), m.floats(a.DX, rows*image)
		for r := range rows {
			sums := make([]float64, image)
			for f := range out {
				for c := range channels {
					under(&a.Window, func(o, i, k int) {
						sums[c*plane+i] += float64(dy[(r*out+f)*places+o]) * float64(w[(f*channels+c)*kernel+k])
					})
				}
			}
			for i, s := range sums {
				dx[r*image+i] = float32(through(a.Act, a.Slope, y, r*image+i, s))
			}
		}
	case kernels.OpConv2DGradWeight:
		a := kernels.ArgsOf[kernels.Conv2DGradWeight](op)
		plane, places, kernel := sizes(&a.Window)
		channels, out := int(a.Window.C), int(a.Out)
		patch := channels * kernel
		dy := m.floats(a.DY, rows*out*places)
		partial := m.floats(a.Partial, int(a.Splits)*out*(patch+1))
		clear(partial)
		for r := range rows {
			share := partial[r%int(a.Splits)*out*(patch+1):]
			x := m.rowOf(a.X, op.Flags, r, channels*plane)
			for f := range out {
				g := dy[(r*out+f)*places:]
				for c := range channels {
					under(&a.Window, func(o, i, k int) { share[f*(patch+1)+c*kernel+k] += g[o] * x[c*plane+i] })
				}
				for _, v := range g[:places] {
					share[f*(patch+1)+patch] += v
				}
			}
		}
	case kernels.OpConv2DGradWeightSum:
		a := kernels.ArgsOf[kernels.Conv2DGradWeightSum](op)
		out, patch := int(a.Out), int(a.Patch)
		partial := m.floats(a.Partial, int(a.Splits)*out*(patch+1))
		dw, db := m.floats(a.DW, out*patch), m.floats(a.DB, out)
		clear(dw)
		clear(db)
		for i, v := range partial {
			switch f, k := i/(patch+1)%out, i%(patch+1); {
			case k < patch:
				dw[f*patch+k] += v
			case db != nil:
				db[f] += v
			}
		}
	default:
	}
}

func (m *machine) pool(op *kernels.Op, rows int) {
	// every visits all pairs of a place and an element of the image of w.
	every := func(w kernels.Window, visit func(o, i int)) {
		plane, places := int(w.H)*int(w.W), int(w.OH)*int(w.OW)
		for c := range rows * int(w.C) {
			under(&w, func(o, i, _ int) { visit(c*places+o, c*plane+i) })
		}
	}
	sizes := func(w kernels.Window) (image, places int) {
		return rows * int(w.C) * int(w.H) * int(w.W), rows * int(w.C) * int(w.OH) * int(w.OW)
	}
	switch op.Kind {
	case kernels.OpMaxPool:
		a := kernels.ArgsOf[kernels.MaxPool](op)
		n, places := sizes(a.Window)
		sample := int(a.Window.C) * int(a.Window.H) * int(a.Window.W)
		x, y, from := m.floats(a.X, n), m.floats(a.Y, places), at[int32](m, a.From, places)
		for i := range from {
			from[i] = -1
		}
		every(a.Window, func(o, i int) {
			if from[o] < 0 || x[i] > y[o] || x[i] != x[i] {
				y[o], from[o] = x[i], int32(i%sample)
			}
		})
	case kernels.OpMaxPoolGrad:
		a := kernels.ArgsOf[kernels.MaxPoolGrad](op)
		n, places := sizes(a.Window)
		dy, from, dx := m.floats(a.DY, places), at[int32](m, a.From, places), m.floats(a.DX, n)
		clear(dx)
		for o, g := range dy {
			dx[o/(places/rows)*(n/rows)+int(from[o])] += g
		}
	case kernels.OpAvgPool:
		a := kernels.ArgsOf[kernels.AvgPool](op)
		n, places := sizes(a.Window)
		x, y := m.floats(a.X, n), m.floats(a.Y, places)
		clear(y)
		every(a.Window, func(o, i int) { y[o] += x[i] / float32(a.Window.KH*a.Window.KW) })
	case kernels.OpAvgPoolGrad:
		a := kernels.ArgsOf[kernels.AvgPoolGrad](op)
		n, places := sizes(a.Window)
		dy, dx := m.floats(a.DY, places), m.floats(a.DX, n)
		clear(dx)
		every(a.Window, func(o, i int) { dx[i] += dy[o] / float32(a.Window.KH*a.Window.KW) })
	default:
	}
}

func (m *machine) norm(op *kernels.Op, rows int) {
	switch op.Kind {
	case kernels.OpLayerNorm:
		a := kernels.ArgsOf[kernels.LayerNorm](op)
		n := int(a.N)
		x, y, stats := m.floats(a.X, rows*n), m.floats(a.Y, rows*n), m.floats(a.Stats, rows*2)
		w, b := m.floats(a.W, n), m.floats(a.B, n)
		for r := range rows {
			mean, variance := moments(x[r*n:(r+1)*n], func(int) bool { return true })
			inverse := 1 / math.Sqrt(variance+float64(a.Eps))
			stats[2*r], stats[2*r+1] = float32(mean), float32(inverse)
			for i := range n {
				y[r*n+i] = float32((float64(x[r*n+i])-mean)*inverse*float64(w[i]) + float64(b[i]))
			}
		}
	case kernels.OpLayerNormGradInput:
		a := kernels.ArgsOf[kernels.LayerNormGradInput](op)
		n := int(a.N)
		x, dy, dx := m.floats(a.X, rows*n), m.floats(a.DY, rows*n), m.floats(a.DX, rows*n)
		w, stats := m.floats(a.W, n), m.floats(a.Stats, rows*2)
		for r := range rows {
			mean, inverse := float64(stats[2*r]), float64(stats[2*r+1])
			var sum, sumNorm float64
			for i := r * n; i < (r+1)*n; i++ {
				g := float64(dy[i]) * float64(w[i%n])
				sum += g
				sumNorm += g * (float64(x[i]) - mean) * inverse
			}
			for i := r * n; i < (r+1)*n; i++ {
				norm := (float64(x[i]) - mean) * inverse
				dx[i] = float32(inverse * (float64(dy[i])*float64(w[i%n]) - sum/float64(n) - norm*sumNorm/float64(n)))
			}
		}
	case kernels.OpLayerNormGradWeight:
		a := kernels.ArgsOf[kernels.LayerNormGradWeight](op)
		n := int(a.N)
		x, dy, stats := m.floats(a.X, rows*n), m.floats(a.DY, rows*n), m.floats(a.Stats, rows*2)
		dw, db := m.floats(a.DW, n), m.floats(a.DB, n)
		for i := range n {
			var w, b float64
			for r := range rows {
				g := float64(dy[r*n+i])
				w += g * (float64(x[r*n+i]) - float64(stats[2*r])) * float64(stats[2*r+1])
				b += g
			}
			dw[i], db[i] = float32(w), float32(b)
		}
	case kernels.OpBatchNorm:
		a := kernels.ArgsOf[kernels.BatchNorm](op)
		channels, plane := int(a.Channels), int(a.Plane)
		n := rows * channels * plane
		x, y, stats := m.floats(a.X, n), m.floats(a.Y, n), m.floats(a.Stats, channels*2)
		w, b := m.floats(a.W, channels), m.floats(a.B, channels)
		runMean, runVar := m.floats(a.RunningMean, channels), m.floats(a.RunningVar, channels)
		for c := range channels {
			of := func(i int) bool { return i/plane%channels == c }
			mean, variance := float64(runMean[c]), float64(runVar[c])
			if m.training {
				mean, variance = moments(x, of)
				count, momentum := float64(rows*plane), float64(a.Momentum)
				runMean[c] = float32((1-momentum)*float64(runMean[c]) + momentum*mean)
				runVar[c] = float32((1-momentum)*float64(runVar[c]) + momentum*variance*count/(count-1))
			}
			inverse := 1 / math.Sqrt(variance+float64(a.Eps))
			stats[2*c], stats[2*c+1] = float32(mean), float32(inverse)
			for i, v := range x {
				if of(i) {
					y[i] = float32((float64(v)-mean)*inverse*float64(w[c]) + float64(b[c]))
				}
			}
		}
	case kernels.OpBatchNormGrad:
		a := kernels.ArgsOf[kernels.BatchNormGrad](op)
		channels, plane := int(a.Channels), int(a.Plane)
		n := rows * channels * plane
		x, dy, dx := m.floats(a.X, n), m.floats(a.DY, n), m.floats(a.DX, n)
		w, stats := m.floats(a.W, channels), m.floats(a.Stats, channels*2)
		dw, db := m.floats(a.DW, channels), m.floats(a.DB, channels)
		for c := range channels {
			mean, inverse, count := float64(stats[2*c]), float64(stats[2*c+1]), float64(rows*plane)
			var sum, sumNorm float64
			for i, g := range dy {
				if i/plane%channels == c {
					sum += float64(g)
					sumNorm += float64(g) * (float64(x[i]) - mean) * inverse
				}
			}
			dw[c], db[c] = float32(sumNorm), float32(sum)
			for i := range dx {
				if i/plane%channels == c {
					norm := (float64(x[i]) - mean) * inverse
					dx[i] = float32(float64(w[c]) * inverse * (float64(dy[i]) - sum/count - norm*sumNorm/count))
				}
			}
		}
	default:
	}
}

// moments returns mean and biased variance of the elements that of holds for.
func moments(x []float32, of func(i int) bool) (mean, variance float64) {
	var n float64
	for i, v := range x {
		if of(i) {
			n++
			mean += float64(v)
		}
	}
	mean /= n
	for i, v := range x {
		if of(i) {
			variance += (float64(v) - mean) * (float64(v) - mean)
		}
	}
	return mean, variance / n
}

func (m *machine) loss(op *kernels.Op, rows int) {
	if op.Kind == kernels.OpLossSum {
		a := kernels.ArgsOf[kernels.LossSum](op)
		m.h.Batch = kernels.Batch{}
		loss, right := at[float64](m, a.Loss, rows), at[int32](m, a.Right, rows)
		for r := range rows {
			m.h.Batch.Loss += loss[r] / float64(rows)
			m.h.Batch.Right += int64(right[r])
			if a.Squares == 0 {
				continue
			}
			squares, z := at[float64](m, a.Squares, int(a.Width)), m.rowOf(a.Z, 0, r, int(a.Width))
			for i, want := range m.rowOf(a.Target, kernels.FlagInput, r, int(a.Width)) {
				squares[i] += (float64(z[i]) - float64(want)) * (float64(z[i]) - float64(want))
			}
		}
		return
	}
	a := kernels.ArgsOf[kernels.Loss](op)
	width := int(a.Width)
	loss, right := at[float64](m, a.Loss, rows), at[int32](m, a.Right, rows)
	for r := range rows {
		z := m.rowOf(a.Z, 0, r, width)
		dz := make([]float32, width)
		if a.DZ != 0 {
			dz = m.rowOf(a.DZ, 0, r, width)
		}
		if a.Kind == kernels.LossCrossEntropy {
			label := at[int32](m, a.Target, m.j.set.Rows)[m.row(kernels.FlagInput, r)]
			loss[r], right[r] = crossEntropy(z, dz, int(label), rows)
			continue
		}
		loss[r], right[r] = 0, 0
		for i, want := range m.rowOf(a.Target, kernels.FlagInput, r, width) {
			v, g, hit := elementLoss(a.Kind, float64(z[i]), float64(want))
			loss[r] += v / float64(width)
			right[r] += truth(hit)
			dz[i] = float32(g / float64(rows*width))
		}
	}
}

func crossEntropy(z, dz []float32, label, rows int) (loss float64, right int32) {
	top := 0
	for i, v := range z {
		if v > z[top] {
			top = i
		}
	}
	var sum float64
	for _, v := range z {
		sum += math.Exp(float64(v) - float64(z[top]))
	}
	for i, v := range z {
		g := math.Exp(float64(v)-float64(z[top])) / sum
		if i == label {
			g--
		}
		dz[i] = float32(g / float64(rows))
	}
	return math.Log(sum) + float64(z[top]) - float64(z[label]), truth(top == label)
}

func elementLoss(kind int32, z, t float64) (loss, grad float64, right bool) {
	d := z - t
	switch {
	case kind == kernels.LossMSE:
		return d * d, 2 * d, false
	case kind == kernels.LossBCEWithLogits:
		return math.Max(z, 0) - z*t + math.Log1p(math.Exp(-math.Abs(z))), 1/(1+math.Exp(-z)) - t, (z > 0) == (t >= 0.5)
	case math.Abs(d) < 1:
		return 0.5 * d * d, d, false
	default:
		return math.Abs(d) - 0.5, math.Copysign(1, d), false
	}
}

// optimize updates as gpu/host does, by the specification in the header.
func (m *machine) optimize(op *kernels.Op) {
	a := kernels.ArgsOf[kernels.Optimize](op)
	o, k, n := &m.h.Optimizer, simd.For(simd.Portable), int(a.N)
	params, grads := m.floats(a.Params, n), m.floats(a.Grads, n)
	slot0, slot1, slot2 := m.floats(a.Slot0, n), m.floats(a.Slot1, n), m.floats(a.Slot2, n)
	lr, done, scale := m.h.State.LR, m.h.State.Step, m.h.Hyper.GradScale
	switch a.Kind {
	case kernels.OptSGD:
		s := simd.NewSGD(lr, o.Momentum, o.Dampening, o.WeightDecay, o.Nesterov != 0, done == 0)
		s.GradScale = scale
		k.SGD(s, params, grads, slot0)
	case kernels.OptAdam:
		s := simd.NewAdam(lr, o.Beta1, o.Beta2, o.Eps, o.WeightDecay, done+1)
		s.GradScale = scale
		k.Adam(s, params, grads, slot0, slot1)
	case kernels.OptAdamW:
		s := simd.NewAdamW(lr, o.Beta1, o.Beta2, o.Eps, o.WeightDecay, done+1)
		s.GradScale = scale
		k.Adam(s, params, grads, slot0, slot1)
	case kernels.OptRMSprop:
		s := simd.NewRMSprop(lr, o.Alpha, o.Eps, o.Momentum, o.WeightDecay, o.Centered != 0)
		s.GradScale = scale
		k.RMSprop(s, params, grads, slot0, slot1, slot2)
	default:
		m.Fatalf("optimizer %d", a.Kind)
	}
}
