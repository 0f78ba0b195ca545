package host

// relu is torch.nn.ReLU: max(0, x), with gradient 0 at 0.
type relu[T real] struct{ k kernels[T] }

func (l relu[T]) forward(_ *pass, x, y []T)          { l.k.relu(y, x) }
func (l relu[T]) backward(_ *pass, _, y, dy, dx []T) { l.k.reluGrad(dx, dy, y) }
func (l relu[T]) uses() uses                         { return byOutput }

// leakyReLU is torch.nn.LeakyReLU: x where x > 0, slope·x elsewhere.
type leakyReLU[T real] struct {
	k     kernels[T]
	slope T
}

func (l leakyReLU[T]) forward(_ *pass, x, y []T)          { l.k.leakyReLU(y, x, l.slope) }
func (l leakyReLU[T]) backward(_ *pass, x, _, dy, dx []T) { l.k.leakyReLUGrad(dx, dy, x, l.slope) }
func (l leakyReLU[T]) uses() uses                         { return byInput }

// tanh is torch.nn.Tanh.
type tanh[T real] struct{ k kernels[T] }

func (l tanh[T]) forward(_ *pass, x, y []T)          { l.k.tanh(y, x) }
func (l tanh[T]) backward(_ *pass, _, y, dy, dx []T) { l.k.tanhGrad(dx, dy, y) }
func (l tanh[T]) uses() uses                         { return byOutput }

// sigmoid is torch.nn.Sigmoid: 1/(1+e⁻ˣ).
type sigmoid[T real] struct{ k kernels[T] }

func (l sigmoid[T]) forward(_ *pass, x, y []T)          { l.k.sigmoid(y, x) }
func (l sigmoid[T]) backward(_ *pass, _, y, dy, dx []T) { l.k.sigmoidGrad(dx, dy, y) }
func (l sigmoid[T]) uses() uses                         { return byOutput }

// gelu is torch.nn.GELU in its exact form, x·Φ(x) with Φ the standard normal
// distribution function.
type gelu[T real] struct{ k kernels[T] }

func (l gelu[T]) forward(_ *pass, x, y []T)          { l.k.gelu(y, x) }
func (l gelu[T]) backward(_ *pass, x, _, dy, dx []T) { l.k.geluGrad(dx, dy, x) }
func (l gelu[T]) uses() uses                         { return byInput }

// The uses of functions whose derivative is best had from their value, and of
// those that need their argument.
var (
	byOutput = uses{output: true, elementwise: true, overwrites: true}
	byInput  = uses{input: true, elementwise: true}
)
