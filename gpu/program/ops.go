package program

import (
	"reflect"

	"weft/kernels"
)

// opForm is what there is to know of a kind of operation.
type opForm struct {
	name     string
	args     func(*kernels.Op) any // its arguments, of the kind's struct
	pointers int                   // how many pointers they begin with; none comes later
}

// forms has every kind.
var forms = [kernels.Kinds]opForm{
	kernels.OpLinear:              form[kernels.Linear]("linear"),
	kernels.OpLinearGradInput:     form[kernels.LinearGradInput]("linear_grad_input"),
	kernels.OpLinearGradWeight:    form[kernels.LinearGradWeight]("linear_grad_weight"),
	kernels.OpConv2D:              form[kernels.Conv2D]("conv2d"),
	kernels.OpConv2DGradInput:     form[kernels.Conv2DGradInput]("conv2d_grad_input"),
	kernels.OpConv2DGradWeight:    form[kernels.Conv2DGradWeight]("conv2d_grad_weight"),
	kernels.OpConv2DGradWeightSum: form[kernels.Conv2DGradWeightSum]("conv2d_grad_weight_sum"),
	kernels.OpMaxPool:             form[kernels.MaxPool]("max_pool"),
	kernels.OpMaxPoolGrad:         form[kernels.MaxPoolGrad]("max_pool_grad"),
	kernels.OpAvgPool:             form[kernels.AvgPool]("avg_pool"),
	kernels.OpAvgPoolGrad:         form[kernels.AvgPoolGrad]("avg_pool_grad"),
	kernels.OpActivate:            form[kernels.Activate]("activate"),
	kernels.OpActivateGrad:        form[kernels.ActivateGrad]("activate_grad"),
	kernels.OpDropout:             form[kernels.Dropout]("dropout"),
	kernels.OpLayerNorm:           form[kernels.LayerNorm]("layer_norm"),
	kernels.OpLayerNormGradInput:  form[kernels.LayerNormGradInput]("layer_norm_grad_input"),
	kernels.OpLayerNormGradWeight: form[kernels.LayerNormGradWeight]("layer_norm_grad_weight"),
	kernels.OpBatchNorm:           form[kernels.BatchNorm]("batch_norm"),
	kernels.OpBatchNormGrad:       form[kernels.BatchNormGrad]("batch_norm_grad"),
	kernels.OpLoss:                form[kernels.Loss]("loss"),
	kernels.OpLossSum:             form[kernels.LossSum]("loss_sum"),
	kernels.OpSumSquares:          form[kernels.SumSquares]("sum_squares"),
	kernels.OpClipScale:           form[kernels.ClipScale]("clip_scale"),
	kernels.OpOptimize:            form[kernels.Optimize]("optimize"),
	kernels.OpShuffleRows:         form[kernels.ShuffleRows]("shuffle_rows"),
	kernels.OpGatherRows:          form[kernels.GatherRows]("gather_rows"),
	kernels.OpCopy:                form[kernels.Copy]("copy"),
}

// form describes a kind whose arguments are a T. Structs in job.cuh have their
// pointers first, and no other field is as wide.
func form[T any](name string) opForm {
	t, pointers := reflect.TypeFor[T](), 0
	for pointers < t.NumField() && isPointer(t.Field(pointers)) {
		pointers++
	}
	for i := pointers; i < t.NumField(); i++ {
		if isPointer(t.Field(i)) {
			panic("program: " + name + " has a pointer behind its numbers")
		}
	}
	return opForm{name: name, args: func(op *kernels.Op) any { return kernels.ArgsOf[T](op) }, pointers: pointers}
}

func isPointer(f reflect.StructField) bool { return f.Type == reflect.TypeFor[kernels.Ptr]() }
