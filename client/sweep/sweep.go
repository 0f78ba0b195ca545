// Package sweep expands the axes of a hyper-parameter sweep into points: the
// product of grids, random draws, and seeds. It is pure, and equal input gives
// equal points in equal order on every machine. It imports nothing of ours.
// Start reading at [Parse] and [Expand].
package sweep

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Limit is how many points a sweep may have.
const Limit = 10_000

// maxSteps bounds the points of one log: or lin: range.
const maxSteps = Limit

// Axis is one hyper-parameter and the values it takes.
type Axis struct {
	Name   string   // as given: "lr", "optimizer.betas"
	Values []string // grid, in order; nil for a random axis
	Random *Random  // nil for a grid
}

// Random draws values between Low and High.
type Random struct {
	Low, High float64
	Log       bool // log-uniform
	Whole     bool // integers, High included
}

// Assignment gives one axis one value.
type Assignment struct {
	Axis  string
	Value string
}

// Point is one combination, in the order of the axes.
type Point []Assignment

// Error is a sweep that cannot be.
type Error struct{ Message, Hint string }

func (e *Error) Error() string { return e.Message }

// Parse reads one --sweep: name=V,V,… or name=V;V;… where values hold commas,
// name=log:LOW:HIGH:N and lin: for N values evenly spaced, name=rand:LOW:HIGH,
// randlog: and randint: for draws. mlp's values always hold commas.
func Parse(def string) (Axis, error) {
	name, values, ok := strings.Cut(def, "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.TrimSpace(values) == "" {
		return Axis{}, &Error{fmt.Sprintf("%q is not name=values", def), "--sweep lr=1e-4,1e-3,1e-2"}
	}
	kind, rest, ranged := strings.Cut(values, ":")
	if ranged {
		switch kind {
		case "log", "lin":
			v, err := spaced(rest, kind == "log")
			return Axis{Name: name, Values: v}, err
		case "rand", "randlog", "randint":
			r, err := random(kind, rest)
			return Axis{Name: name, Random: r}, err
		}
	}
	sep := ","
	if name == "mlp" || strings.Contains(values, ";") {
		sep = ";"
	}
	a := Axis{Name: name}
	for _, v := range split(values, sep) {
		if v = strings.TrimSpace(v); v == "" {
			return Axis{}, &Error{fmt.Sprintf("%q has an empty value", def), "--sweep lr=1e-4,1e-3,1e-2"}
		}
		a.Values = append(a.Values, v)
	}
	return a, nil
}

// split cuts s at sep outside brackets.
func split(s, sep string) []string {
	var out []string
	depth, start := 0, 0
	for i := range len(s) {
		switch {
		case s[i] == '[' || s[i] == '{':
			depth++
		case s[i] == ']' || s[i] == '}':
			depth--
		case s[i] == sep[0] && depth <= 0:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

func spaced(rest string, log bool) ([]string, error) {
	usage := &Error{"a range is LOW:HIGH:N", "lr=log:1e-4:1e-1:8"}
	parts := strings.Split(rest, ":")
	if len(parts) != 3 {
		return nil, usage
	}
	low, high, err := bounds(parts[0], parts[1], log)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil || n < 2 || n > maxSteps {
		return nil, &Error{fmt.Sprintf("%q is not a number of values from 2 to %d", parts[2], maxSteps), usage.Hint}
	}
	out := make([]string, n)
	for i := range out {
		t := float64(i) / float64(n-1)
		if log {
			out[i] = format(low * math.Pow(high/low, t))
		} else {
			out[i] = format(low + (high-low)*t)
		}
	}
	return out, nil
}

func random(kind, rest string) (*Random, error) {
	parts := strings.Split(rest, ":")
	if len(parts) != 2 {
		return nil, &Error{kind + " takes LOW:HIGH", "lr=" + kind + ":1e-4:1e-1 --samples 20"}
	}
	r := &Random{Log: kind == "randlog", Whole: kind == "randint"}
	var err error
	if r.Low, r.High, err = bounds(parts[0], parts[1], r.Log); err != nil {
		return nil, err
	}
	const exact = 1 << 53
	if r.Whole && (r.Low != math.Trunc(r.Low) || r.High != math.Trunc(r.High) || math.Abs(r.Low) > exact ||
		math.Abs(r.High) > exact) {
		return nil, &Error{"randint takes whole numbers", "batch_size=randint:16:128"}
	}
	return r, nil
}

func bounds(a, b string, log bool) (low, high float64, err error) {
	low, errA := strconv.ParseFloat(a, 64)
	high, errB := strconv.ParseFloat(b, 64)
	switch {
	case errA != nil || math.IsInf(low, 0) || math.IsNaN(low):
		return 0, 0, &Error{fmt.Sprintf("%q is not a number", a), ""}
	case errB != nil || math.IsInf(high, 0) || math.IsNaN(high):
		return 0, 0, &Error{fmt.Sprintf("%q is not a number", b), ""}
	case low >= high:
		return 0, 0, &Error{fmt.Sprintf("%s is not below %s", a, b), "a range is LOW:HIGH"}
	case math.IsInf(high-low, 0):
		return 0, 0, &Error{fmt.Sprintf("%s to %s is too wide", a, b), ""}
	case log && low <= 0:
		return 0, 0, &Error{"a logarithmic range begins above 0", "lin: and rand: may begin anywhere"}
	}
	return low, high, nil
}

// Draw returns the value at u in [0, 1).
func (r *Random) Draw(u float64) string {
	switch {
	case r.Whole:
		v := math.Floor(r.Low + u*(r.High-r.Low+1))
		return strconv.FormatInt(int64(min(v, r.High)), 10)
	case r.Log:
		return format(r.Low * math.Pow(r.High/r.Low, u))
	default:
		return format(r.Low + u*(r.High-r.Low))
	}
}

// format keeps six significant digits, so that a job's name tells its value.
func format(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// Options say how axes are combined.
type Options struct {
	Samples int    // draws of the random axes; 0 without any
	Seed    uint64 // of the draws
	Seeds   int    // values of an innermost axis "seed"; 0: none
	First   uint64 // the first of them
}

// Expand returns every combination: the draws outermost, then the grids as
// given, the last changing fastest, seeds innermost. Within one draw the
// random axes are drawn together. More than [Limit] are refused.
func Expand(axes []Axis, o Options) ([]Point, error) {
	seen := map[string]bool{}
	draws := false
	total := max(o.Samples, 1)
	if o.Seeds > 0 {
		axes = append(axes[:len(axes):len(axes)], seeds(o))
	}
	for _, a := range axes {
		if seen[a.Name] {
			return nil, &Error{fmt.Sprintf("%s is swept twice", a.Name), "give all its values in one --sweep"}
		}
		seen[a.Name] = true
		if a.Random != nil {
			draws = true
		} else if total *= len(a.Values); total > Limit {
			break
		}
	}
	switch {
	case total > Limit || o.Samples > Limit || o.Seeds > Limit:
		return nil, &Error{fmt.Sprintf("the sweep has more than %d jobs", Limit),
			"fewer values, or rand: with --samples"}
	case draws && o.Samples < 1:
		return nil, &Error{"a random axis needs the number of draws", "--samples 20"}
	case !draws && o.Samples > 0:
		return nil, &Error{"--samples without a random axis", "--sweep lr=randlog:1e-4:1e-1"}
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0)) // #nosec G404 -- draws that a seed repeats
	points := make([]Point, 0, total)
	for range max(o.Samples, 1) {
		drawn := make(map[string]string, len(axes))
		for _, a := range axes {
			if a.Random != nil {
				drawn[a.Name] = a.Random.Draw(rng.Float64())
			}
		}
		points = product(points, axes, drawn)
	}
	return points, nil
}

// product appends every combination of the grids, with the drawn values.
func product(points []Point, axes []Axis, drawn map[string]string) []Point {
	at := make([]int, len(axes))
	for {
		p := make(Point, len(axes))
		for i, a := range axes {
			if a.Random != nil {
				p[i] = Assignment{a.Name, drawn[a.Name]}
			} else {
				p[i] = Assignment{a.Name, a.Values[at[i]]}
			}
		}
		points = append(points, p)
		i := len(axes) - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < len(axes[i].Values) {
				break
			}
			at[i] = 0
		}
		if i < 0 {
			return points
		}
	}
}

func seeds(o Options) Axis {
	a := Axis{Name: "seed"}
	for i := range min(o.Seeds, Limit+1) {
		a.Values = append(a.Values, strconv.FormatUint(o.First+uint64(i), 10))
	}
	return a
}

// Suffix names a point: "lr=0.001,seed=2". Only an axis's last part is shown,
// and commas within a value become dashes.
func (p Point) Suffix() string {
	parts := make([]string, len(p))
	for i, a := range p {
		parts[i] = Short(a.Axis) + "=" + strings.NewReplacer(",", "-", " ", "").Replace(a.Value)
	}
	return strings.Join(parts, ",")
}

// Short returns an axis's last part: "lr" of "optimizer.lr".
func Short(axis string) string { return axis[strings.LastIndexByte(axis, '.')+1:] }
