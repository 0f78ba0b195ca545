package dataset

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"weft/gpu/train/philox"
)

// The streams of philox.MakeData, one for each thing that is drawn. Their
// values are part of every made set: never renumber.
const (
	streamNoise   = 0
	streamOrder   = 1
	streamCenters = 2
	streamPlaces  = 3
	streamWeights = 4
	streamInputs  = 5
)

// made makes the source's rows; equal parameters give equal rows.
func (l *load) made(spec *Spec, task Task) (*table, error) {
	m := spec.Make
	if spec.Source == SourceTeacher && m.Classes == 0 && task != Regression {
		return nil, bad("give classes: 2 or more, or use loss: mse", "teacher: without classes its target is a number")
	}
	if task == Binary && spec.Source != SourceMoons && m.Classes != 2 {
		return nil, bad("set classes: 2, or use loss: cross_entropy",
			"%s: %d classes, bce_with_logits takes two", spec.Source, m.Classes)
	}
	t := &table{name: string(spec.Source), rows: m.Rows, targetColumn: -1}
	var labels []int32
	switch spec.Source {
	case SourceMoons:
		m.Features, m.Classes = 2, 2
		t.x, labels = moons(l.ctx, m)
	case SourceSpirals:
		m.Features = 2
		t.x, labels = spirals(l.ctx, m)
	case SourceBlobs:
		t.x, labels = blobs(l.ctx, m)
	case SourceTeacher:
		t.x, labels, t.y.values = teacher(l.ctx, m)
	}
	if err := l.ctx.Err(); err != nil {
		return nil, fmt.Errorf("make %s: %w", spec.Source, err)
	}
	t.shape = []int{m.Features}
	if labels == nil {
		t.y.width, t.y.max = 1, -1
		return t, nil
	}
	t.y = labelTarget(labels, task)
	t.y.classes = make([]string, m.Classes)
	for c := range t.y.classes {
		t.y.classes[c] = strconv.Itoa(c)
	}
	if task == Regression {
		t.y.classes = nil
	}
	order := make([]int32, m.Rows)
	for i := range order {
		order[i] = int32(i)
	}
	philox.New(m.Seed, philox.MakeData, streamOrder).Source().Shuffle(order)
	reorder(order, t.x, m.Features, t.y.labels, t.y.values, t.y.width)
	if t.y.labels != nil {
		t.y.setLabels(t.y.labels) // the highest label's row has moved
	}
	return t, nil
}

// cancelled looks at ctx every few thousand rows.
func cancelled(ctx context.Context, row int) bool {
	return row%checkEvery == 0 && ctx.Err() != nil
}

// labelTarget gives labels as the task wants them: as such, or as numbers.
func labelTarget(labels []int32, task Task) target {
	if task == Classification {
		t := target{}
		t.setLabels(labels)
		return t
	}
	t := target{width: 1, max: -1, values: make([]float32, len(labels))}
	for i, label := range labels {
		t.values[i] = float32(label)
	}
	return t
}

// moons makes two interleaving half circles as scikit-learn's make_moons does
// before it shuffles: the outer circle's rows, then the inner's, and normal
// noise of deviation Noise on every coordinate.
func moons(ctx context.Context, m Make) (x []float32, labels []int32) {
	noise := philox.New(m.Seed, philox.MakeData, streamNoise).Source()
	outer := m.Rows / 2
	x, labels = make([]float32, 0, 2*m.Rows), make([]int32, m.Rows)
	for i := range m.Rows {
		if cancelled(ctx, i) {
			break
		}
		place, of := i, outer
		if i >= outer {
			place, of = i-outer, m.Rows-outer
			labels[i] = 1
		}
		angle := 0.0
		if of > 1 {
			angle = math.Pi * float64(place) / float64(of-1)
		}
		a, b := math.Cos(angle), math.Sin(angle)
		if labels[i] == 1 {
			a, b = 1-a, 1-b-0.5
		}
		x = append(x, float32(a+m.Noise*noise.Normal()), float32(b+m.Noise*noise.Normal()))
	}
	return x, labels
}

// spirals makes Classes arms that wind one and a half times around the origin
// out to radius 1, with normal noise of deviation Noise. The classes' sizes
// differ by one row at most.
func spirals(ctx context.Context, m Make) (x []float32, labels []int32) {
	const turns = 1.5
	noise := philox.New(m.Seed, philox.MakeData, streamNoise).Source()
	places := philox.New(m.Seed, philox.MakeData, streamPlaces).Source()
	x, labels = make([]float32, 0, 2*m.Rows), make([]int32, m.Rows)
	for i := range m.Rows {
		if cancelled(ctx, i) {
			break
		}
		arm := i % m.Classes
		labels[i] = int32(arm)
		radius := math.Sqrt(places.Float64()) // as many rows on every piece of the arm's length
		angle := 2 * math.Pi * (turns*radius + float64(arm)/float64(m.Classes))
		x = append(x, float32(radius*math.Cos(angle)+m.Noise*noise.Normal()),
			float32(radius*math.Sin(angle)+m.Noise*noise.Normal()))
	}
	return x, labels
}

// blobs makes normal clusters of deviation Noise around centers that are drawn
// evenly from [-10, 10) in every feature, as scikit-learn's make_blobs does.
func blobs(ctx context.Context, m Make) (x []float32, labels []int32) {
	noise := philox.New(m.Seed, philox.MakeData, streamNoise).Source()
	places := philox.New(m.Seed, philox.MakeData, streamCenters).Source()
	centers := make([]float64, m.Classes*m.Features)
	for i := range centers {
		centers[i] = 20*places.Float64() - 10
	}
	x, labels = make([]float32, 0, m.Rows*m.Features), make([]int32, m.Rows)
	for i := range m.Rows {
		if cancelled(ctx, i) {
			break
		}
		class := i % m.Classes
		labels[i] = int32(class)
		for f := range m.Features {
			x = append(x, float32(centers[class*m.Features+f]+m.Noise*noise.Normal()))
		}
	}
	return x, labels
}

// teacherWidth is the teacher's number of hidden units.
const teacherWidth = 32

// teacher draws standard normal rows and lets a random network of one tanh
// layer, fixed by the seed, say what they are: the output that is highest
// plus its noise gives the label, or with Classes 0 the one output plus noise
// is the target. The network has no biases, so that by symmetry no class is
// favoured and the targets' mean is near 0; weights are scaled to give hidden
// sums a deviation of 2 and the outputs one near 1.
func teacher(ctx context.Context, m Make) (x []float32, labels []int32, values []float32) {
	weights := philox.New(m.Seed, philox.MakeData, streamWeights).Source()
	inputs := philox.New(m.Seed, philox.MakeData, streamInputs).Source()
	noise := philox.New(m.Seed, philox.MakeData, streamNoise).Source()
	outputs := max(m.Classes, 1)
	first, second := make([]float64, teacherWidth*m.Features), make([]float64, outputs*teacherWidth)
	for i := range first {
		first[i] = 2 * weights.Normal() / math.Sqrt(float64(m.Features))
	}
	for i := range second {
		second[i] = 1.25 * weights.Normal() / math.Sqrt(teacherWidth)
	}
	x = make([]float32, m.Rows*m.Features)
	if m.Classes > 0 {
		labels = make([]int32, m.Rows)
	} else {
		values = make([]float32, m.Rows)
	}
	var hidden [teacherWidth]float64
	for i := range m.Rows {
		if cancelled(ctx, i) {
			break
		}
		row := x[i*m.Features : (i+1)*m.Features]
		for f := range row {
			row[f] = float32(inputs.Normal())
		}
		for h := range hidden {
			sum := 0.0
			for f, v := range row {
				sum += first[h*m.Features+f] * float64(v)
			}
			hidden[h] = math.Tanh(sum)
		}
		highest := math.Inf(-1)
		for o := range outputs {
			sum := m.Noise * noise.Normal()
			for h, v := range hidden {
				sum += second[o*teacherWidth+h] * v
			}
			switch {
			case values != nil:
				values[i] = float32(sum)
			case sum > highest:
				highest, labels[i] = sum, int32(o)
			}
		}
	}
	return x, labels, values
}
