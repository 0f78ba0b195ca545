package train

import (
	"fmt"
	"slices"

	"weft/gpu/train/dataset"
)

// Limits of a model; indices into its vectors stay well within 32 bits.
const (
	maxParams      = 1<<31 - 1 // parameters of a model
	maxSampleElems = 1 << 28   // elements of one sample between two layers
)

// Compose lays the specification's layers out on a data set: every layer's
// input and output shape, and the places of all parameters. It checks what
// only the data can tell, too: that the last layer fits loss and target, that
// an epoch has a step, that early stopping has rows to watch.
//
// A job that cannot run gives a [*SpecError]. Paths name a layer by its kind,
// as "/model/3/conv2d/kernel", also where the document has a shorter form.
func Compose(s *Spec, info *dataset.Info) (*Model, error) {
	c := &composer{outputs: outputsOf(info)}
	m := c.layers(s.Model, info.Shape)
	if m != nil {
		c.checkOutput(s, info, m)
	}
	c.checkData(s, info)
	c.checkSteps(s, info, m)
	if err := c.err(); err != nil {
		return nil, err
	}
	return m, nil
}

type composer struct {
	faults
	model   *Model
	outputs int // what AutoWidth stands for
}

// outputsOf returns how many outputs a data set asks for, 1 at least.
func outputsOf(info *dataset.Info) int {
	return max(1, len(info.Classes), info.MaxLabel+1, info.TargetWidth)
}

// layers composes the list on samples of shape input, or records the first
// layer that does not fit and returns nil: later ones would only echo it.
func (c *composer) layers(list []Layer, input []int) *Model {
	if !validShape(input) {
		c.add("/data/shape", "", "the data's samples are shaped %s; 1 to %d elements are allowed",
			shapeString(input), maxSampleElems)
		return nil
	}
	c.model = &Model{Input: slices.Clone(input)}
	shape := c.model.Input
	before := len(c.list)
	for i, l := range list {
		st := Stage{Layer: l, Index: i, In: shape}
		c.layer(&st)
		if len(c.list) > before {
			return nil
		}
		shape = st.Out
		c.model.Stages = append(c.model.Stages, st)
	}
	c.model.Output = shape
	if c.model.ParamSize == 0 {
		c.add("/model", "add a linear layer", "no layer of the model has parameters to train")
		return nil
	}
	return c.model
}

// validShape reports whether samples of this shape can enter a model.
func validShape(shape []int) bool {
	elements := 1
	for _, d := range shape {
		if d < 1 || d > maxSampleElems/elements {
			return false
		}
		elements *= d
	}
	return len(shape) > 0
}

// layer sets st.Out and adds st's tensors to the model.
func (c *composer) layer(st *Stage) {
	switch st.Kind {
	case Linear:
		c.linear(st)
	case Conv2D:
		c.conv(st)
	case MaxPool2D, AvgPool2D:
		c.pool(st)
	case Flatten:
		st.Out = []int{product(st.In)}
	case LayerNorm:
		st.Out = st.In
		c.param(st, "weight", st.In)
		c.param(st, "bias", st.In)
	case BatchNorm1D, BatchNorm2D:
		c.batchNorm(st)
	default: // activations and dropout
		st.Out = st.In
	}
	if len(st.Out) > 0 && !validShape(st.Out) {
		c.add(layerPath(st), "", "its output %s has more than %d elements", shapeString(st.Out), maxSampleElems)
	}
	if c.model.ParamSize > maxParams {
		c.add(layerPath(st), "", "the model has more than %d parameters by this layer", maxParams)
	}
}

// layerPath points at a layer's settings.
func layerPath(st *Stage) string { return fmt.Sprintf("/model/%d/%s", st.Index, st.Kind) }

func (c *composer) linear(st *Stage) {
	if len(st.In) != 1 {
		c.add(layerPath(st), "put flatten before it",
			"linear wants samples of one dimension, here they are %s", shapeString(st.In))
		return
	}
	if st.Width == AutoWidth {
		st.Width = c.outputs
	}
	st.FanIn, st.FanOut = st.In[0], st.Width
	st.Out = []int{st.Width}
	c.param(st, "weight", []int{st.Width, st.In[0]})
	if !st.NoBias {
		c.param(st, "bias", []int{st.Width})
	}
}

func (c *composer) conv(st *Stage) {
	hw, ok := c.slide(st)
	if !ok {
		return
	}
	window := st.Kernel[0] * st.Kernel[1]
	st.FanIn, st.FanOut = st.In[0]*window, st.Width*window
	st.Out = []int{st.Width, hw[0], hw[1]}
	c.param(st, "weight", []int{st.Width, st.In[0], st.Kernel[0], st.Kernel[1]})
	if !st.NoBias {
		c.param(st, "bias", []int{st.Width})
	}
}

func (c *composer) pool(st *Stage) {
	if hw, ok := c.slide(st); ok {
		st.Out = []int{st.In[0], hw[0], hw[1]}
	}
}

// slide returns a window's places over height and width: floor((n + 2·padding
// - kernel)/stride) + 1 each, as nn.Conv2d and nn.MaxPool2d define it.
func (c *composer) slide(st *Stage) (hw [2]int, ok bool) {
	if !c.isImage(st) {
		return hw, false
	}
	for i := range hw {
		room := st.In[1+i] + 2*st.Padding[i] - st.Kernel[i]
		if room < 0 {
			hint := "a smaller kernel, or padding"
			if st.Index > 0 {
				hint += ", or fewer layers that shrink the image before it"
			}
			c.add(layerPath(st)+"/kernel", hint, "a kernel of %s does not fit into samples of %s with padding %s",
				shapeString(st.Kernel[:]), shapeString(st.In), shapeString(st.Padding[:]))
			return hw, false
		}
		hw[i] = room/st.Stride[i] + 1
	}
	return hw, true
}

// isImage records a fault unless st's samples have channels, height and width.
func (c *composer) isImage(st *Stage) bool {
	if len(st.In) == 3 {
		return true
	}
	hint := "it must come before flatten and linear"
	if slices.Equal(st.In, c.model.Input) {
		hint = "set shape under data: [channels, height, width]"
		if side := squareRoot(product(st.In)); side > 1 {
			hint = fmt.Sprintf("set shape under data: [1, %d, %d]", side, side)
		}
	}
	c.add(layerPath(st), hint, "%s wants samples shaped [channels, height, width], here they are %s",
		st.Kind, shapeString(st.In))
	return false
}

// squareRoot returns the root of a square number, 0 for others.
func squareRoot(n int) int {
	for i := 1; i*i <= n; i++ {
		if i*i == n {
			return i
		}
	}
	return 0
}

func (c *composer) batchNorm(st *Stage) {
	switch {
	case st.Kind == BatchNorm2D:
		if !c.isImage(st) {
			return
		}
	case len(st.In) == 3:
		c.add(layerPath(st), "use batchnorm2d, or put flatten before it",
			"batchnorm1d wants samples of one dimension, here they are %s", shapeString(st.In))
		return
	case len(st.In) != 1:
		c.add(layerPath(st), "put flatten before it",
			"batchnorm1d wants samples of one dimension, here they are %s", shapeString(st.In))
		return
	}
	st.Out = st.In
	channels := st.In[:1]
	c.param(st, "weight", channels)
	c.param(st, "bias", channels)
	for _, name := range []string{"running_mean", "running_var"} {
		st.Buffers = append(st.Buffers, len(c.model.Buffers))
		c.model.BufferSize = c.tensor(&c.model.Buffers, st, name, channels, c.model.BufferSize)
	}
}

func (c *composer) param(st *Stage, name string, shape []int) {
	st.Params = append(st.Params, len(c.model.Params))
	c.model.ParamSize = c.tensor(&c.model.Params, st, name, shape, c.model.ParamSize)
}

// tensor appends a tensor at offset at and returns the offset behind it.
func (c *composer) tensor(list *[]Tensor, st *Stage, name string, shape []int, at int) int {
	size := boundedProduct(shape)
	*list = append(*list, Tensor{
		Name: fmt.Sprintf("%d.%s", st.Index, name), Shape: slices.Clone(shape), Offset: at, Size: size,
	})
	return at + size
}

// boundedProduct is product, but maxParams+1 where that would be exceeded: a
// conv2d's weight can have more elements than an int can count.
func boundedProduct(shape []int) int {
	n := int64(1)
	for _, d := range shape {
		if n *= int64(d); n > maxParams {
			return maxParams + 1
		}
	}
	return int(n)
}
