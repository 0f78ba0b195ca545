// Package host is the CPU device: it trains a job on one core, and it is the
// numerical reference that other devices are held against.
//
//	t, err := host.New(host.Config{Spec: spec, Model: model, Data: set})
//	for {
//		report, err := t.Run(20 * time.Millisecond)
//		if err != nil || report.Done {
//			break
//		}
//	}
//	params, buffers, metrics := t.Result()
//
// A [Trainer] works in quanta, so that one goroutine can take turns between
// jobs. Its memory is one block, laid out when it is made and counted before
// by [Memory]; a step allocates nothing. Its numbers depend on the job alone:
// every sum has an order of its own and all randomness is a function of seed
// and step, so a job that was interrupted anywhere ends with the same bits.
//
// Semantics are PyTorch's; testdata of package train holds short runs by
// PyTorch itself, which reference_test.go follows.
//
// Where to start reading: network.go strings layers (linear.go, conv.go,
// pool.go, norm.go, activation.go, dropout.go) on memory from arena.go; step.go
// and evaluate.go are what a Trainer does with it. Layers are generic over
// float32 and float64, so that gradient_test.go checks the very code that
// trains against finite differences.
//
// The package imports gpu/host/simd, gpu/train and its packages, and the
// standard library.
package host
