package sweep

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for def, want := range map[string]string{
		"lr=1e-4,1e-3":                     "lr [1e-4 1e-3]",
		"mlp=64,64":                        "mlp [64,64]",
		"mlp=64;128; 64,64":                "mlp [64 128 64,64]",
		"optimizer.betas=[0.9,0.99],[0,0]": "optimizer.betas [[0.9,0.99] [0,0]]",
		"loss=mse":                         "loss [mse]",
		"lr=log:1e-4:1e-1:4":               "lr [0.0001 0.001 0.01 0.1]",
		"x=lin:0:1:5":                      "x [0 0.25 0.5 0.75 1]",
		"lr=rand:0:1":                      "lr {0 1 false false}",
		"lr=randlog:1e-4:1":                "lr {0.0001 1 true false}",
		"n=randint:1:6":                    "n {1 6 false true}",
		"device=gpu:0,gpu:1":               "device [gpu:0 gpu:1]",
		"lr":                               `error "lr" is not name=values`,
		"=1":                               `error "=1" is not name=values`,
		"lr=":                              `error "lr=" is not name=values`,
		"lr=1,,2":                          `error "lr=1,,2" has an empty value`,
		"lr=log:1:2":                       "error a range is LOW:HIGH:N",
		"lr=log:0:1:3":                     "error a logarithmic range begins above 0",
		"lr=log:2:1:3":                     "error 2 is not below 1",
		"lr=log:1:2:1":                     `error "1" is not a number of values from 2 to 10000`,
		"lr=log:1:2:99999999":              `error "99999999" is not a number of values from 2 to 10000`,
		"lr=rand:a:b":                      `error "a" is not a number`,
		"lr=rand:0:inf":                    `error "inf" is not a number`,
		"lr=rand:-1.7e308:1.7e308":         "error -1.7e308 to 1.7e308 is too wide",
		"lr=rand:1":                        "error rand takes LOW:HIGH",
		"n=randint:0.5:3":                  "error randint takes whole numbers",
	} {
		a, err := Parse(def)
		got := fmt.Sprint(a.Name, " ", a.Values)
		if a.Random != nil {
			got = fmt.Sprint(a.Name, " ", *a.Random)
		}
		if err != nil {
			got = "error " + err.Error()
		}
		if got != want {
			t.Errorf("Parse(%q) = %s, want %s", def, got, want)
		}
	}
}

func TestExpand(t *testing.T) {
	lr := Axis{Name: "lr", Values: []string{"1e-3", "1e-2"}}
	mlp := Axis{Name: "mlp", Values: []string{"64", "64,64"}}
	draw := Axis{Name: "lr", Random: &Random{Low: 0, High: 1}}
	many := Axis{Name: "n", Values: make([]string, 5001)}
	for name, tc := range map[string]struct {
		axes []Axis
		o    Options
		want string
	}{
		"nothing": {nil, Options{}, ""},
		"a grid": {[]Axis{lr, mlp}, Options{},
			"lr=1e-3,mlp=64 lr=1e-3,mlp=64-64 lr=1e-2,mlp=64 lr=1e-2,mlp=64-64"},
		"seeds innermost": {[]Axis{lr}, Options{Seeds: 2, First: 7},
			"lr=1e-3,seed=7 lr=1e-3,seed=8 lr=1e-2,seed=7 lr=1e-2,seed=8"},
		"draws": {[]Axis{draw}, Options{Samples: 2, Seed: 1}, "lr=0.238423 lr=0.500921"},
		"draws times a grid": {[]Axis{draw, mlp}, Options{Samples: 1, Seed: 1},
			"lr=0.238423,mlp=64 lr=0.238423,mlp=64-64"},
		"twice": {[]Axis{lr, lr}, Options{}, "error lr is swept twice"},
		"seed twice": {[]Axis{{Name: "seed", Values: []string{"1"}}}, Options{Seeds: 2},
			"error seed is swept twice"},
		"too many":          {[]Axis{many, lr}, Options{}, "error the sweep has more than 10000 jobs"},
		"too many seeds":    {nil, Options{Seeds: 1 << 40}, "error the sweep has more than 10000 jobs"},
		"too many draws":    {[]Axis{draw}, Options{Samples: 1 << 40}, "error the sweep has more than 10000 jobs"},
		"draws not counted": {[]Axis{draw}, Options{}, "error a random axis needs the number of draws"},
		"counted in vain":   {[]Axis{lr}, Options{Samples: 3}, "error --samples without a random axis"},
	} {
		points, err := Expand(tc.axes, tc.o)
		var names []string
		for _, p := range points {
			names = append(names, p.Suffix())
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = "error " + err.Error()
			var e *Error
			if !errors.As(err, &e) || e.Hint == "" {
				t.Errorf("%s: no hint", name)
			}
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// A sweep has as many points as the product of its axes, all different, in an
// order where the last axis changes fastest; expanding again gives the same.
func TestExpandIsTheProduct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var axes []Axis
		want := 1
		for i := range rapid.IntRange(0, 4).Draw(t, "axes") {
			a := Axis{Name: fmt.Sprintf("a%d", i)}
			for v := range rapid.IntRange(1, 5).Draw(t, "values") {
				a.Values = append(a.Values, strconv.Itoa(v))
			}
			want *= len(a.Values)
			axes = append(axes, a)
		}
		o := Options{Seeds: rapid.IntRange(0, 3).Draw(t, "seeds"), First: rapid.Uint64Range(0, 9).Draw(t, "first")}
		want *= max(o.Seeds, 1)
		if rapid.Bool().Draw(t, "draws") {
			o.Samples, o.Seed = rapid.IntRange(1, 4).Draw(t, "samples"), rapid.Uint64().Draw(t, "seed")
			axes = slices.Insert(axes, rapid.IntRange(0, len(axes)).Draw(t, "at"),
				Axis{Name: "r", Random: &Random{Low: 1e-6, High: 1, Log: true}})
			want *= o.Samples
		}
		points, err := Expand(axes, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(points) != want {
			t.Fatalf("%d points, want %d", len(points), want)
		}
		seen := map[string]bool{}
		for i, p := range points {
			if seen[p.Suffix()] {
				t.Fatalf("%s twice", p.Suffix())
			}
			seen[p.Suffix()] = true
			if i > 0 && o.Samples == 0 && compare(points[i-1], p) >= 0 {
				t.Fatalf("%s before %s", points[i-1].Suffix(), p.Suffix())
			}
		}
		again, _ := Expand(axes, o)
		for i := range points {
			if !slices.Equal(points[i], again[i]) {
				t.Fatalf("point %d was %v, then %v", i, points[i], again[i])
			}
		}
	})
}

// compare orders points by their values, all of one digit, axis by axis.
func compare(a, b Point) int {
	return slices.CompareFunc(a, b, func(x, y Assignment) int { return cmpText(x.Value, y.Value) })
}

func cmpText(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Draws stay within their range, also at its ends.
func TestDrawStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Random{Low: rapid.Float64Range(1e-9, 10).Draw(t, "low"), Log: rapid.Bool().Draw(t, "log"),
			Whole: rapid.Bool().Draw(t, "whole")}
		if r.Whole {
			r.Low, r.Log = float64(rapid.IntRange(-5, 5).Draw(t, "whole low")), false
		}
		r.High = r.Low + float64(rapid.IntRange(1, 100).Draw(t, "span"))
		u := rapid.SampledFrom([]float64{0, 0.25, 0.5, 0x1.fffffffffffffp-1}).Draw(t, "u")
		v, err := strconv.ParseFloat(r.Draw(u), 64)
		slack := 1e-5 * max(r.High, -r.Low) // six digits are kept
		if err != nil || v < r.Low-slack || v > r.High+slack {
			t.Fatalf("%+v draws %v at %v, %v", r, v, u, err)
		}
	})
}
