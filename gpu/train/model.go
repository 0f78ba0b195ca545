package train

// Tensor is a named piece of a model's flat parameter vector, shaped and
// named as torch.nn.Sequential would.
type Tensor struct {
	Name   string // "0.weight"
	Shape  []int
	Offset int // in elements from the vector's start
	Size   int // elements
}

// Stage is one layer with the shapes it was composed to.
type Stage struct {
	Layer
	Index         int   // place in the list, PyTorch's name prefix
	In, Out       []int // shape of one sample
	Params        []int // indices into Model.Params: weight, bias
	Buffers       []int // indices into Model.Buffers: running_mean, running_var
	FanIn, FanOut int   // of the weight, for initial values
}

// InSize returns the elements of one input sample.
func (s *Stage) InSize() int { return product(s.In) }

// OutSize returns the elements of one output sample.
func (s *Stage) OutSize() int { return product(s.Out) }

// Model is a specification's layer list composed on a data set's input shape.
type Model struct {
	Input      []int // shape of one sample
	Stages     []Stage
	Params     []Tensor // in PyTorch's state_dict order; offsets into one vector
	Buffers    []Tensor // batch norms' running statistics; offsets into a second vector
	ParamSize  int      // elements of the parameter vector
	BufferSize int
	Output     []int // shape of one output sample, always one dimension
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
