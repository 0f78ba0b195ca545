package dataset

import (
	"math"
	"slices"
	"testing"
)

// The points are scikit-learn's make_moons(7, shuffle=False, noise=None).
func TestMoonsEqualScikitLearn(t *testing.T) {
	x, labels := moons(t.Context(), Make{Rows: 7})
	want := []float64{1, 0, 0, 1, -1, 0, 0, 0.5, 0.5, -0.3660254180431366, 1.5, -0.3660254180431366, 2, 0.5}
	for i, v := range want {
		if math.Abs(float64(x[i])-v) > 1e-7 {
			t.Errorf("coordinate %d is %v, want %v", i, x[i], v)
		}
	}
	equal(t, "labels", labels, []int32{0, 0, 0, 1, 1, 1, 1})
}

func TestMadeSets(t *testing.T) {
	for _, c := range []struct {
		source  Source
		make    Make
		width   int
		classes []string
	}{
		{SourceMoons, Make{Rows: 501, Noise: 0.1, Seed: 1}, 2, []string{"0", "1"}},
		{SourceSpirals, Make{Rows: 300, Classes: 3, Noise: 0.02}, 2, []string{"0", "1", "2"}},
		{SourceBlobs, Make{Rows: 400, Classes: 4, Features: 5, Noise: 1}, 5, []string{"0", "1", "2", "3"}},
		{SourceTeacher, Make{Rows: 2000, Classes: 3, Features: 8}, 8, []string{"0", "1", "2"}},
	} {
		t.Run(string(c.source), func(t *testing.T) {
			spec := Spec{Source: c.source, Make: c.make}
			s, again := mustLoad(t, spec, Classification), mustLoad(t, spec, Classification)
			if !slices.Equal(s.X, again.X) || !slices.Equal(s.Labels, again.Labels) || s.Hash != again.Hash {
				t.Error("two loads differ")
			}
			spec.Make.Seed++
			if other := mustLoad(t, spec, Classification); slices.Equal(s.X, other.X) || s.Hash == other.Hash {
				t.Error("another seed makes the same set")
			}
			if s.Rows != c.make.Rows || s.Shape[0] != c.width {
				t.Errorf("%d rows of %v", s.Rows, s.Shape)
			}
			equal(t, "classes", s.Classes, c.classes)
			seen := make([]int, len(c.classes))
			for _, label := range s.Labels {
				seen[label]++
			}
			if slices.Min(seen) < s.Rows/len(seen)/4 {
				t.Errorf("classes are uneven: %v", seen)
			}
			if slices.IsSorted(s.Labels) {
				t.Error("rows are not shuffled")
			}
		})
	}
}

// A set that one could not learn would make every benchmark on it void: each
// row's nearest other row is of its own class far more often than not.
func TestMadeSetsCanBeLearned(t *testing.T) {
	for source, m := range map[Source]Make{
		SourceMoons:   {Rows: 400, Noise: 0.1},
		SourceSpirals: {Rows: 400, Classes: 2, Noise: 0.02},
		SourceBlobs:   {Rows: 400, Classes: 3, Features: 2, Noise: 1, Seed: 3},
		SourceTeacher: {Rows: 1000, Classes: 2, Features: 2},
	} {
		s := mustLoad(t, Spec{Source: source, Make: m}, Classification)
		right := 0
		for i := range s.Rows {
			nearest, distance := -1, math.Inf(1)
			for j := range s.Rows {
				a, b := s.X[2*i]-s.X[2*j], s.X[2*i+1]-s.X[2*j+1]
				if d := float64(a*a + b*b); i != j && d < distance {
					nearest, distance = j, d
				}
			}
			if s.Labels[i] == s.Labels[nearest] {
				right++
			}
		}
		if share := float64(right) / float64(s.Rows); share < 0.9 {
			t.Errorf("%s: neighbours agree in %.2f of rows", source, share)
		}
	}
}

func TestTeacherRegresses(t *testing.T) {
	s := mustLoad(t, Spec{Source: SourceTeacher, Make: Make{Rows: 5000, Features: 6}}, Regression)
	sum, squares := 0.0, 0.0
	for _, v := range s.Targets {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	mean, deviation := sum/5000, math.Sqrt(squares/5000)
	if math.Abs(mean) > 0.15 || deviation < 0.4 || deviation > 2.5 {
		t.Errorf("targets have mean %.3f and deviation %.3f", mean, deviation)
	}
	noisy := mustLoad(t, Spec{Source: SourceTeacher, Make: Make{Rows: 5000, Features: 6, Noise: 0.5}}, Regression)
	if !slices.Equal(s.X, noisy.X) || slices.Equal(s.Targets, noisy.Targets) {
		t.Error("noise is to change the targets only")
	}
}

func TestMakeFaults(t *testing.T) {
	for _, c := range []struct {
		source        Source
		task          Task
		make          Make
		message, hint string
	}{
		{SourceMoons, Classification, Make{Rows: 1}, "moons: rows 1 is out of range", "give 2 to 100000000"},
		{SourceMoons, Classification, Make{Rows: 9, Features: 3}, "moons: always has 2 features, not 3",
			"leave features out"},
		{SourceMoons, Classification, Make{Rows: 9, Classes: 3}, "moons: always has 2 classes, not 3", "leave classes out"},
		{SourceMoons, Classification, Make{Rows: 9, Noise: math.NaN()}, "moons: noise NaN is out of range",
			"give the noise's standard deviation, 0 or more"},
		{SourceSpirals, Classification, Make{Rows: 9}, "spirals: classes 0 is out of range", "give 2 to 65536"},
		{SourceBlobs, Classification, Make{Rows: 9, Classes: 2}, "blobs: features 0 is out of range", "give 1 to 1048576"},
		{SourceBlobs, Classification, Make{Rows: 3, Classes: 4, Features: 1}, "blobs: 4 classes in 3 rows",
			"make more rows or fewer classes"},
		{SourceBlobs, Classification, Make{Rows: 90_000_000, Classes: 4, Features: 65536},
			"blobs: 90000000 rows of 65536 numbers are over the limit of 2147483648 numbers", "train on a part of the rows"},
		{SourceBlobs, Binary, Make{Rows: 90, Classes: 4, Features: 2}, "blobs: 4 classes, bce_with_logits takes two",
			"set classes: 2, or use loss: cross_entropy"},
		{SourceTeacher, Classification, Make{Rows: 9, Features: 2}, "teacher: without classes its target is a number",
			"give classes: 2 or more, or use loss: mse"},
	} {
		_, err := Load(t.Context(), &Spec{Source: c.source, Make: c.make}, c.task)
		wantFault(t, err, c.message, c.hint)
	}
}
