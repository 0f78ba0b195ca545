package host

import (
	"fmt"
	"strings"
	"testing"

	"weft/gpu/train"
)

// benchmarkJobs are the shapes that figures are quoted for.
func benchmarkJobs(t testing.TB) map[string]Config {
	mlp := func(in, batch int, widths ...int) Config {
		var layers []string
		for _, w := range widths {
			layers = append(layers, fmt.Sprintf(`{"linear": %d}`, w))
		}
		outputs := widths[len(widths)-1]
		loss := train.CrossEntropy
		if outputs == 1 {
			loss = train.MSE
		}
		return benchmarkJob(t, loss, []int{in}, strings.Join(layers, `, "relu", `), outputs, batch)
	}
	const lenet = `{"conv2d": {"channels": 6, "kernel": 5, "padding": 2}}, "relu", {"maxpool2d": 2},
		{"conv2d": {"channels": 16, "kernel": 5}}, "relu", {"maxpool2d": 2},
		"flatten", {"linear": 120}, "relu", {"linear": 84}, "relu", {"linear": 10}`
	const regularized = `{"linear": 256}, "batchnorm1d", "relu", {"dropout": 0.2}, {"linear": 256}, "layernorm", "gelu",
		{"dropout": 0.2}, {"linear": 10}`
	const normedCNN = `{"conv2d": {"channels": 16, "kernel": 3, "padding": 1, "bias": false}}, "batchnorm2d", "relu",
		{"avgpool2d": 2}, {"conv2d": {"channels": 32, "kernel": 3, "stride": 2}}, "batchnorm2d", "relu",
		"flatten", {"linear": 10}`
	return map[string]Config{
		"bookkeeping=1-1/1":   mlp(1, 1, 1),
		"regularized/64":      benchmarkJob(t, train.CrossEntropy, []int{64}, regularized, 10, 64),
		"normed-cnn-16x16/32": benchmarkJob(t, train.CrossEntropy, []int{1, 16, 16}, normedCNN, 10, 32),
		"lab=64-64-64-10/32":  mlp(64, 32, 64, 64, 10),
		"64-128-10/64":        mlp(64, 64, 128, 10),
		"wide=784-128-10/64":  mlp(784, 64, 128, 10),
		"64-512-512-10/64":    mlp(64, 64, 512, 512, 10),
		"tiny=32-64-64-1/32":  mlp(32, 32, 64, 64, 1),
		"cnn=lenet-28x28/32":  benchmarkJob(t, train.CrossEntropy, []int{1, 28, 28}, lenet, 10, 32),
	}
}

func benchmarkJob(t testing.TB, loss train.Loss, shape []int, layers string, outputs, batch int) Config {
	spec := fmt.Sprintf(`{"data": {"source": "teacher"}, "model": [%s], "loss": %q, "batch_size": %d,
		"optimizer": {"name": "adam", "lr": 0.001}, "steps": 1000000000}`, layers, loss, batch)
	return job(t, spec, randomSet(loss, shape, 16*batch, 0, 0, outputs))
}

// BenchmarkStep times whole training steps: gathering a shuffled batch,
// forward, loss, backward, Adam, and an epoch's end every 16 steps.
func BenchmarkStep(b *testing.B) {
	for name, c := range benchmarkJobs(b) {
		b.Run(name, func(b *testing.B) {
			tr := newTrainer(b, c)
			b.ReportAllocs()
			for b.Loop() {
				if err := tr.advance(); err != nil {
					b.Fatal(err)
				}
			}
			steps := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(steps, "steps/s")
			b.ReportMetric(steps*float64(c.Spec.BatchSize), "samples/s")
		})
	}
}
