package program

import (
	"fmt"
	"reflect"
	"strings"

	"weft/kernels"
)

// String lists the program for people: its memory, then every section's phases
// with the operations that may run at once.
func (p *Program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d bytes: %d of state, %d to upload; %d operations of products a step, up to %d blocks\n",
		p.Bytes, p.StateBytes, p.InitBytes, p.StepFlops, p.Tiles)
	for in := inState; in < places; in++ {
		for i := range p.pieces {
			if q := &p.pieces[i]; q.place == in && q.bytes > 0 {
				fmt.Fprintf(&b, "  %9d %9d  %s\n", q.at, q.bytes, q.name)
			}
		}
	}
	for d, s := range p.sections {
		doing := kernels.Doing(d)
		switch {
		case s.Count == 0:
			continue
		case doing == kernels.DoingTest && s == p.sections[kernels.DoingValidate]:
			fmt.Fprintf(&b, "%s: as %s\n", doing, kernels.DoingValidate)
			continue
		}
		fmt.Fprintf(&b, "%s:\n", doing)
		for i, phase := range p.phases[s.First : s.First+s.Count] {
			p.dumpPhase(&b, i, phase)
		}
	}
	return b.String()
}

func (p *Program) dumpPhase(b *strings.Builder, number int, phase kernels.Phase) {
	if phase.Count == 0 {
		fmt.Fprintf(b, "  %2d  nothing\n", number)
	}
	for i := range phase.Count {
		if i == 0 {
			fmt.Fprintf(b, "  %2d  ", number)
		} else {
			b.WriteString("      ")
		}
		p.dumpOp(b, &p.ops[phase.First+i])
		b.WriteByte('\n')
	}
}

func (p *Program) dumpOp(b *strings.Builder, op *kernels.Op) {
	form := &forms[op.Kind]
	b.WriteString(form.name)
	args := reflect.ValueOf(form.args(op))
	for i := range args.NumField() {
		name, v := strings.ToLower(args.Type().Field(i).Name), args.Field(i)
		switch {
		case v.IsZero():
			continue
		case i < form.pointers:
			name += "=" + p.pointerName(v.Uint())
			if i == 0 && op.Flags&kernels.FlagInput != 0 {
				name += "[rows]"
			}
		case name == "window":
			w := v.Interface().(kernels.Window)
			name = fmt.Sprintf("(%d,%d,%d)>(%d,%d) kernel=%dx%d stride=%dx%d pad=%dx%d",
				w.C, w.H, w.W, w.OH, w.OW, w.KH, w.KW, w.SH, w.SW, w.PH, w.PW)
		case name == "act":
			name = [...]string{"identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu"}[v.Int()]
		default:
			name += fmt.Sprintf("=%v", v.Interface())
		}
		b.WriteString(" " + name)
	}
}

// pointerName names what a symbolic pointer points at.
func (p *Program) pointerName(symbolic kernels.Ptr) string {
	r, offset := split(symbolic)
	q := &p.pieces[r]
	var v *vector
	switch {
	case r == p.known.params || r == p.known.grads:
		v = &p.params
	case r == p.known.buffers:
		v = &p.buffers
	}
	if v != nil {
		for i, at := range v.at {
			if at == offset && len(v.at) > 1 {
				return q.name + ":" + v.tensors[i].Name
			}
		}
	}
	if offset != 0 {
		return fmt.Sprintf("%s+%d", q.name, offset)
	}
	return q.name
}
