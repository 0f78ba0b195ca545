package dataset

import (
	"math"
	"testing"
)

// The digests are scikit-learn 1.2.1's, of data.astype("<f4").tobytes() and
// target.astype("<i4").tobytes(), diabetes' target as "<f4".
func TestShippedSetsEqualScikitLearn(t *testing.T) {
	for _, c := range []struct {
		source        Source
		task          Task
		rows, columns int
		x, y          string
		classes       []string
		feature       string
	}{
		{SourceDigits, Classification, 1797, 64,
			"a627aed550b0b29bf76a981bc1ecbab5ef775aac454c94154f20ec9f61a04c83",
			"3a0e68456f9a3c609b399717dd9ca55bb9153be1bccf72e38e3319cb740c75cd",
			[]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, "pixel_0_0"},
		{SourceIris, Classification, 150, 4,
			"2374923a3acd29a63001946c3c216e2a5581864f01041c86c4b5211ec93885c2",
			"4a6a37bf170811d96e7a0037885a4e551c8c43ea2e842868ff0c5c18b56dcfbc",
			[]string{"setosa", "versicolor", "virginica"}, "sepal length (cm)"},
		{SourceWine, Classification, 178, 13,
			"fdd1a162030a8e5bfa056d44269c822cf53565fb2f35e81dfd7d6856ee3def46",
			"0be58cb5da6cf456cccebcfa204733df3c0aeff187850f645b2fef1b737a8330",
			[]string{"class_0", "class_1", "class_2"}, "alcohol"},
		{SourceBreastCancer, Classification, 569, 30,
			"ace340f3a4f8924791b9c5559e8492e9a896f29b3332f303863c6b46256ad45a",
			"87c312fd4d24bc09c1ae4226107ad639989de53817109dd83465b2af8125f92b",
			[]string{"malignant", "benign"}, "mean radius"},
		{SourceDiabetes, Regression, 442, 10,
			"cddb77116cf70a8d755ca619451df9cddff0accb061bfa16c526c97aefce8b5e",
			"64c6aa6f4027afaed70d85b069db7079ab90ff693fe67e65c9550c8454b8f2af",
			nil, "age"},
	} {
		t.Run(string(c.source), func(t *testing.T) {
			s := mustLoad(t, Spec{Source: c.source}, c.task)
			if s.Rows != c.rows || s.TrainRows != c.rows || size(s.Shape) != c.columns {
				t.Errorf("%d rows (%d to train on) of %v", s.Rows, s.TrainRows, s.Shape)
			}
			if got := digest(s.X); got != c.x {
				t.Errorf("features differ: %s", got)
			}
			y := digest(s.Targets)
			if c.task == Classification {
				y = digest(s.Labels)
			}
			if y != c.y {
				t.Errorf("targets differ: %s", y)
			}
			equal(t, "classes", s.Classes, c.classes)
			if s.Features[0] != c.feature || s.TargetNames[0] != "target" {
				t.Errorf("features %v, target %v", s.Features, s.TargetNames)
			}
		})
	}
}

func TestShippedSetsForOtherTasks(t *testing.T) {
	s := mustLoad(t, Spec{Source: SourceBreastCancer}, Binary)
	equal(t, "classes", s.Classes, []string{"malignant", "benign"})
	if s.TargetWidth != 1 || s.Targets[0] != 0 || s.Targets[19] != 1 || s.Labels != nil || s.MaxLabel != -1 {
		t.Errorf("targets %v, width %d, highest label %d", s.Targets[:20], s.TargetWidth, s.MaxLabel)
	}
	s = mustLoad(t, Spec{Source: SourceIris}, Regression)
	if s.Targets[149] != 2 || s.Classes != nil {
		t.Errorf("target %v, classes %v", s.Targets[149], s.Classes)
	}
	_, err := Load(t.Context(), &Spec{Source: SourceDiabetes}, Classification)
	wantFault(t, err, "diabetes: its target is a number, not a class", "use loss: mse")
	_, err = Load(t.Context(), &Spec{Source: SourceDigits}, Binary)
	wantFault(t, err, "digits: more than two classes, bce_with_logits takes two", "use loss: cross_entropy")
}

// The means and deviations are sklearn.preprocessing.StandardScaler's.
func TestStandardizeEqualsScikitLearn(t *testing.T) {
	s := mustLoad(t, Spec{Source: SourceIris, Standardize: true}, Classification)
	for g, want := range []struct{ mean, deviation float64 }{
		{5.843333333333335, 0.8253012917851409}, {3.057333333333334, 0.43441096773549437},
		{3.7580000000000027, 1.7594040657753032}, {1.199333333333334, 0.7596926279021594},
	} {
		if math.Abs(float64(s.Mean[g])-want.mean) > 3e-7 || math.Abs(float64(s.Deviation[g])-want.deviation) > 3e-7 {
			t.Errorf("feature %d: mean %v, deviation %v, want %v", g, s.Mean[g], s.Deviation[g], want)
		}
	}
}
