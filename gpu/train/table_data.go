package train

import (
	"fmt"
	"slices"
	"strings"

	"weft/gpu/train/dataset"
)

// sourceKeys are the keys that name where rows come from; a document has one.
var sourceKeys = []string{"source", "csv", "idx", "npy", "parquet", "safetensors"}

// dataValue is the data object: a table with rules between its keys.
type dataValue struct {
	object
	d *dataset.Spec
}

func dataTable(d *dataset.Spec) dataValue {
	*d = dataset.Spec{Standardize: true, Split: dataset.Split{Validation: 0.2, Stratify: true}}
	is := func(sources ...dataset.Source) func() bool {
		return func() bool { return !slices.Contains(sources, d.Source) }
	}
	named := slices.Concat(shippedSources, madeSources)
	oneOf := &schema{}
	for _, k := range sourceKeys {
		oneOf.OneOf = append(oneOf.OneOf, &schema{Required: []string{k}})
	}
	return dataValue{d: d, object: object{extra: oneOf, keys: []key{
		{name: "source", doc: "A data set that comes with weft, or one made from a seed.", omit: is(named...),
			val: enum[dataset.Source]{&d.Source, "data set", named}},
		{name: "csv", doc: "A CSV file; a header is detected.", omit: is(dataset.SourceCSV), val: filePath{&d.File}},
		{name: "idx", doc: "Files in MNIST's format, plain or .gz.", omit: is(dataset.SourceIDX),
			val: object{keys: []key{
				{name: "images", doc: "The samples' file.", val: filePath{&d.X}, need: true},
				{name: "labels", doc: "The labels' file.", val: filePath{&d.Y}, need: true}}}},
		{name: "npy", doc: "NumPy arrays.", omit: is(dataset.SourceNPY),
			val: object{keys: []key{
				{name: "x", doc: "The samples' file, rows first.", val: filePath{&d.X}, need: true},
				{name: "y", doc: "The target's file.", val: filePath{&d.Y}, need: true}}}},
		{name: "parquet", doc: "A Parquet file with flat columns.", omit: is(dataset.SourceParquet),
			val: filePath{&d.File}},
		{name: "safetensors", doc: "Two tensors of a safetensors file.", omit: is(dataset.SourceSafetensors),
			val: object{keys: []key{
				{name: "file", doc: "The file.", val: filePath{&d.File}, need: true},
				{name: "x", doc: "Name of the samples' tensor, rows first.", val: text{&d.X, maxName}, need: true},
				{name: "y", doc: "Name of the target's tensor.", val: text{&d.Y, maxName}, need: true}}}},
		{name: "target", doc: "Target column of csv or parquet, by name or index from 0; the last one if left out.",
			val: column{&d.Target}, omit: func() bool { return d.Target == "" }},
		{name: "shape", doc: "Shape given to each sample, as [1, 8, 8]; as the source has it if left out.",
			val: shape{&d.Shape}, omit: func() bool { return d.Shape == nil }},
		{name: "standardize", doc: "Shift and scale features by the training rows' mean and deviation.",
			val: boolean{p: &d.Standardize}},
		{name: "split", doc: "Which rows are kept from training.", val: splitTable(&d.Split)},
		{name: "make", doc: "Parameters of the made sets moons, spirals, blobs and teacher.",
			val: makeTable(&d.Make), omit: is(madeSources...)},
	}}}
}

func splitTable(s *dataset.Split) object {
	return object{keys: []key{
		{name: "validation", doc: "Part of all rows to validate on.", val: number{&s.Validation, upTo(0, 1)}},
		{name: "test", doc: "Part of all rows to test the final model on.", val: number{&s.Test, upTo(0, 1)}},
		{name: "seed", doc: "What the choice of rows is drawn from.", val: integer[uint64]{&s.Seed, atLeast(0)}},
		{name: "stratify", doc: "Give every part the same share of each class; the default is false " +
			"unless the loss is cross_entropy.", val: boolean{p: &s.Stratify}, vary: true},
	}}
}

func makeTable(m *dataset.Make) object {
	return object{keys: []key{
		{name: "rows", doc: "Rows of all parts; default 1000.", val: integer[int]{&m.Rows, between(1, maxRows)},
			omit: func() bool { return m.Rows == 0 }},
		{name: "features", doc: "Features of blobs (default 2) and teacher (default 32).",
			val: integer[int]{&m.Features, between(1, 1<<20)}, omit: func() bool { return m.Features == 0 }},
		{name: "classes", doc: "Classes of spirals and blobs (default 3) and teacher (default 0: a number to regress).",
			val: integer[int]{&m.Classes, between(0, 1<<16)}, omit: func() bool { return m.Classes == 0 }},
		{name: "noise", doc: "Deviation of the noise; default 0.1 for moons, 0.02 for spirals, 1 for blobs, 0 for teacher.",
			val: number{&m.Noise, atLeast(0)}, vary: true},
		{name: "seed", doc: "What the rows are drawn from.", val: integer[uint64]{&m.Seed, atLeast(0)}},
	}}
}

// setMake fills in the defaults of a made set.
func setMake(d *dataset.Spec) {
	d.Make = dataset.Make{Rows: 1000}
	switch d.Source {
	case dataset.SourceMoons:
		d.Make.Noise = 0.1
	case dataset.SourceSpirals:
		d.Make.Noise, d.Make.Classes = 0.02, 3
	case dataset.SourceBlobs:
		d.Make.Noise, d.Make.Classes, d.Make.Features = 1, 3, 2
	case dataset.SourceTeacher:
		d.Make.Features = 32
	default:
		d.Make = dataset.Make{}
	}
}

func (v dataValue) read(r *reader, n *node, at place) {
	if n.kind == stringNode {
		hint := ""
		sources := enum[dataset.Source]{names: slices.Concat(shippedSources, madeSources)}.strings()
		if name := nearest(n.text, sources); name != "" {
			hint = fmt.Sprintf("write data: {source: %s}", name)
		}
		r.add(at.path, hint, "expected an object, found %s", n.describe())
		return
	}
	if !r.want(n, objectNode, "an object", at) {
		return
	}
	v.unknown(r, n, at, nil)
	before := len(r.list)
	source := v.source(r, n, at)
	if source != "source" {
		v.d.Source = dataset.Source(source)
	} else if len(r.list) == before {
		enum[dataset.Source]{&v.d.Source, "data set", slices.Concat(shippedSources, madeSources)}.
			read(&reader{given: map[string]bool{}}, n.get("source"), at.key("source"))
		setMake(v.d)
	}
	v.values(r, n, at)
	v.rules(r, n, at)
}

// source returns the key that names the source, "" after recording that there
// is none or more than one.
func (v dataValue) source(r *reader, n *node, at place) string {
	var found []string
	for _, k := range sourceKeys {
		if n.get(k) != nil {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 1:
		return found[0]
	case 0:
		r.add(at.path, "add source: digits, or one of "+strings.Join(sourceKeys[1:], ", ")+" with a file's path",
			"data names no source")
	default:
		r.add(at.path, "keep one of them", "data names more than one source: %s", andList(found))
	}
	return ""
}

// rules checks what holds between the keys once each is read.
func (v dataValue) rules(r *reader, n *node, at place) {
	d := v.d
	if n.get("target") != nil && d.Source != dataset.SourceCSV && d.Source != dataset.SourceParquet && d.Source != "" {
		r.add(at.key("target").path, "", "target is for csv and parquet; the target of %s is given otherwise", d.Source)
	}
	if d.Split.Validation+d.Split.Test >= 1 {
		r.add(at.key("split").path, "", "validation and test together must be less than 1")
	}
	made := n.get("make")
	if made == nil || made.kind != objectNode || d.Source == "" {
		return
	}
	at = at.key("make")
	if !slices.Contains(madeSources, d.Source) {
		r.add(at.path, "", "make is for the made sets moons, spirals, blobs and teacher; the source here is %s", d.Source)
		return
	}
	if made.get("features") != nil && (d.Source == dataset.SourceMoons || d.Source == dataset.SourceSpirals) {
		r.add(at.key("features").path, "", "features is for blobs and teacher; %s has 2", d.Source)
	}
	if made.get("classes") != nil && d.Source == dataset.SourceMoons {
		r.add(at.key("classes").path, "", "classes is for spirals, blobs and teacher; moons has 2")
	}
	if d.Make.Classes < 2 && (d.Source == dataset.SourceSpirals || d.Source == dataset.SourceBlobs ||
		d.Source == dataset.SourceTeacher && d.Make.Classes == 1) {
		r.add(at.key("classes").path, "", "classes must be at least 2")
	}
	if d.Make.Rows*max(d.Make.Features, 2) > maxSampleElems*8 {
		r.add(at.path, "fewer rows or features", "rows times features must be at most %d", maxSampleElems*8)
	}
}
