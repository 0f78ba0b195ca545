package train

import (
	"bytes"
	"fmt"
	"slices"
)

// Limits of a model's layers.
const (
	maxLayers = 256
	maxWindow = 1 << 10 // kernel, stride, padding
)

// layerForm says how a kind of layer is written: its name alone, its name with
// one value, or its name with an object of keys.
type layerForm struct {
	kind     LayerKind
	doc      string
	defaults Layer
	keys     func(*Layer) []key
	short    string // the key that a value alone stands for; "" if none does
	example  string // how to write it, for hints
}

// layerForms lists all layers in the reference's order.
var layerForms = []layerForm{
	{kind: Linear, doc: "x·Wᵀ + b, as nn.Linear; wants samples of one dimension.",
		keys: linearKeys, short: "out", example: "{linear: 64}"},
	{kind: Conv2D, doc: "Cross-correlation, as nn.Conv2d; wants samples of [channels, height, width].",
		defaults: Layer{Stride: [2]int{1, 1}}, keys: convKeys, example: "{conv2d: {channels: 8, kernel: 3}}"},
	{kind: MaxPool2D, doc: "Largest value of each window, as nn.MaxPool2d.",
		keys: poolKeys, short: "kernel", example: "{maxpool2d: 2}"},
	{kind: AvgPool2D, doc: "Mean of each window, padding counted in, as nn.AvgPool2d.",
		keys: poolKeys, short: "kernel", example: "{avgpool2d: 2}"},
	{kind: Flatten, doc: "Makes samples one-dimensional, as nn.Flatten."},
	{kind: ReLU, doc: "max(x, 0)."},
	{kind: GELU, doc: "x·Φ(x), by the error function."},
	{kind: Tanh, doc: "Hyperbolic tangent."},
	{kind: Sigmoid, doc: "1/(1 + exp(-x))."},
	{kind: LeakyReLU, doc: "x, or slope·x where x is negative.", defaults: Layer{Slope: 0.01}, short: "slope",
		keys: func(l *Layer) []key {
			return []key{{name: "slope", doc: "Factor of negative values.", val: number{&l.Slope, atLeast(0)}}}
		}},
	{kind: Dropout, doc: "While training, zeroes each value with probability p and scales the rest by 1/(1 - p).",
		defaults: Layer{P: 0.5}, short: "p",
		keys: func(l *Layer) []key {
			return []key{{name: "p", doc: "Probability of a zero.", val: number{&l.P, upTo(0, 1)}}}
		}},
	{kind: LayerNorm, doc: "Normalizes each sample over all its elements, with weight and bias, as nn.LayerNorm.",
		defaults: Layer{Eps: 1e-5},
		keys:     func(l *Layer) []key { return []key{epsKey(l)} }},
	{kind: BatchNorm1D, doc: "Normalizes each feature over the batch, as nn.BatchNorm1d.",
		defaults: Layer{Eps: 1e-5, Momentum: 0.1}, keys: batchNormKeys},
	{kind: BatchNorm2D, doc: "Normalizes each channel over batch, height and width, as nn.BatchNorm2d.",
		defaults: Layer{Eps: 1e-5, Momentum: 0.1}, keys: batchNormKeys},
}

func linearKeys(l *Layer) []key {
	return []key{
		{name: "out", doc: "Outputs; auto: the data's classes or target columns.", need: true,
			hint: "write {linear: 64}", val: outputs{&l.Width}},
		biasKey(l),
	}
}

func convKeys(l *Layer) []key {
	return []key{
		{name: "channels", doc: "Output channels.", need: true, val: integer[int]{&l.Width, between(1, maxWidth)}},
		{name: "kernel", doc: "Height and width of the window, or one number for both.", need: true,
			val: pair{&l.Kernel, between(1, maxWindow)}},
		{name: "stride", doc: "Steps of the window.", val: pair{&l.Stride, between(1, maxWindow)}},
		{name: "padding", doc: "Zeros put around the sample.", val: pair{&l.Padding, between(0, maxWindow)}},
		biasKey(l),
	}
}

func poolKeys(l *Layer) []key {
	return []key{
		{name: "kernel", doc: "Height and width of the window, or one number for both.", need: true,
			val: pair{&l.Kernel, between(1, maxWindow)}},
		{name: "stride", doc: "Steps of the window; the kernel's size if left out.", vary: true,
			val: pair{&l.Stride, between(1, maxWindow)}},
		{name: "padding", doc: "Padding around the sample, at most half the kernel.",
			val: pair{&l.Padding, between(0, maxWindow)}},
	}
}

func biasKey(l *Layer) key {
	return key{name: "bias", doc: "Add a learned bias.", val: boolean{p: &l.NoBias, inverted: true}}
}

func epsKey(l *Layer) key {
	return key{name: "eps", doc: "Added to the variance.", val: number{&l.Eps, above(0)}}
}

func batchNormKeys(l *Layer) []key {
	return []key{epsKey(l), {name: "momentum", doc: "Weight of a batch in the running statistics.",
		val: number{&l.Momentum, between(0, 1)}}}
}

// table returns the form's keys bound to l, set to the form's defaults.
func (f *layerForm) table(l *Layer) object {
	*l = f.defaults
	l.Kind = f.kind
	if f.keys == nil {
		return object{}
	}
	return object{keys: f.keys(l)}
}

// bare reports whether the form's name alone is a layer.
func (f *layerForm) bare() bool {
	return !slices.ContainsFunc(f.table(new(Layer)).keys, func(k key) bool { return k.need })
}

func formOf(kind string) *layerForm {
	for i := range layerForms {
		if string(layerForms[i].kind) == kind {
			return &layerForms[i]
		}
	}
	return nil
}

func layerNames() []string {
	names := make([]string, len(layerForms))
	for i := range layerForms {
		names[i] = string(layerForms[i].kind)
	}
	return names
}

// layerList is the model.
type layerList struct{ p *[]Layer }

func (v layerList) read(r *reader, n *node, at place) {
	if !r.want(n, arrayNode, "an array of layers", at) {
		return
	}
	if len(n.items) < 1 || len(n.items) > maxLayers {
		r.add(at.path, "", "the model must have 1 to %d layers", maxLayers)
		return
	}
	layers := make([]Layer, len(n.items))
	for i := range n.items {
		readLayer(r, &n.items[i], at.item(i), &layers[i])
	}
	*v.p = layers
}

func readLayer(r *reader, n *node, at place, l *Layer) {
	name, setting, there := n.text, &node{kind: nullNode}, at
	switch {
	case n.kind == stringNode:
	case n.kind == objectNode && len(n.keys) == 1:
		name, setting, there = n.keys[0], &n.items[0], at.key(n.keys[0])
	case n.kind == objectNode:
		r.add(at.path, "put a dash before each layer: - linear: 64",
			"a layer must have one key, this one has %d", len(n.keys))
		return
	default:
		r.want(n, objectNode, "a layer such as relu or {linear: 64}", at)
		return
	}
	form := formOf(name)
	if form == nil {
		r.add(there.path, suggest(name, layerNames(), "layers"), "unknown layer %q", clip(name))
		return
	}
	form.read(r, setting, there, l)
}

func (f *layerForm) read(r *reader, n *node, at place, l *Layer) {
	table := f.table(l)
	switch {
	case n.kind == objectNode:
		table.read(r, n, at)
	case n.kind == nullNode && f.bare():
	case n.kind == nullNode:
		r.add(at.path, "write "+f.example, "%s needs its settings", f.kind)
		return
	case f.short != "":
		k := table.keys[slices.Index(table.names(), f.short)]
		k.val.read(r, n, place{at.path, f.short})
	case len(table.keys) > 0:
		hint := "write " + string(f.kind) + " alone"
		if f.example != "" {
			hint = "write " + f.example
		}
		r.want(n, objectNode, "an object", at)
		r.list[len(r.list)-1].Hint = hint
		return
	default:
		r.add(at.path, fmt.Sprintf("write %s alone", f.kind), "%s has no settings, found %s", f.kind, n.describe())
		return
	}
	if f.kind == MaxPool2D || f.kind == AvgPool2D {
		finishPool(r, l, at)
	}
}

// finishPool gives a pool its stride and checks its padding, as torch does.
func finishPool(r *reader, l *Layer, at place) {
	for i := range l.Stride {
		if l.Stride[i] == 0 {
			l.Stride[i] = l.Kernel[i]
		}
		if l.Kernel[i] > 0 && 2*l.Padding[i] > l.Kernel[i] {
			r.add(at.key("padding").path, "", "padding must be at most half the kernel")
			return
		}
	}
}

func (v layerList) write(b *bytes.Buffer) {
	b.WriteByte('[')
	for i, l := range *v.p {
		if i > 0 {
			b.WriteByte(',')
		}
		table := formOf(string(l.Kind)).bound(&l)
		if len(table.keys) == 0 {
			b.Write(quoteJSON(string(l.Kind)))
			continue
		}
		b.WriteByte('{')
		b.Write(quoteJSON(string(l.Kind)))
		b.WriteByte(':')
		table.write(b)
		b.WriteByte('}')
	}
	b.WriteByte(']')
}

// bound returns the form's keys bound to l as it is.
func (f *layerForm) bound(l *Layer) object {
	if f.keys == nil {
		return object{}
	}
	return object{keys: f.keys(l)}
}

func (v layerList) schema() *schema {
	names := &schema{Type: "string"}
	layer := &schema{AnyOf: []*schema{names}}
	for i := range layerForms {
		f := &layerForms[i]
		if f.bare() {
			names.Enum = append(names.Enum, string(f.kind))
		}
		layer.AnyOf = append(layer.AnyOf, &schema{
			Description: f.doc, Type: "object", Required: []string{string(f.kind)}, AdditionalProperties: ptr(false),
			Properties: properties{{string(f.kind), f.settings()}},
		})
	}
	return &schema{Type: "array", MinItems: ptr(1), MaxItems: ptr(maxLayers), Items: layer}
}

// settings describes what may stand behind a layer's name.
func (f *layerForm) settings() *schema {
	table := f.table(new(Layer))
	forms := []*schema{table.schema()}
	if f.short != "" {
		forms = append(forms, table.keys[slices.Index(table.names(), f.short)].val.schema())
	}
	if f.bare() {
		forms = append(forms, &schema{Type: "null"})
	}
	if len(forms) == 1 {
		return forms[0]
	}
	return &schema{AnyOf: forms}
}
