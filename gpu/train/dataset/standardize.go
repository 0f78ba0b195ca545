package dataset

import (
	"context"
	"fmt"
	"math"
)

// groups returns how the numbers of a row share statistics: count groups of
// run neighbours each. An image has one group a channel, other rows one a
// feature.
func groups(shape []int) (count, run int) {
	if len(shape) == 3 {
		return shape[0], shape[1] * shape[2]
	}
	return size(shape), 1
}

// moments returns the mean and the population deviation of each group over the
// first rows of x, accumulated in float64 in two passes. A group that is
// constant there has deviation 1.
func moments(ctx context.Context, x []float32, rows int, shape []int) (mean, deviation []float32, err error) {
	n, run := groups(shape)
	width := n * run
	x = x[:rows*width]
	center, spread := make([]float64, n), make([]float64, n)
	low, high := make([]float32, n), make([]float32, n)
	for g := range low {
		low[g], high[g] = x[g*run], x[g*run]
	}
	err = eachRow(ctx, x, width, func(row []float32) {
		for g := range center {
			for _, v := range row[g*run : (g+1)*run] {
				center[g] += float64(v)
				low[g], high[g] = min(low[g], v), max(high[g], v)
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	items := float64(rows) * float64(run)
	for g := range center {
		center[g] /= items
	}
	err = eachRow(ctx, x, width, func(row []float32) {
		for g := range center {
			for _, v := range row[g*run : (g+1)*run] {
				d := float64(v) - center[g]
				spread[g] += float64(d * d)
			}
		}
	})
	mean, deviation = make([]float32, n), make([]float32, n)
	for g := range mean {
		mean[g] = float32(center[g])
		deviation[g] = float32(math.Sqrt(spread[g] / items))
		if low[g] == high[g] || deviation[g] == 0 {
			deviation[g] = 1
		}
	}
	return mean, deviation, err
}

// standardize replaces every number of x by (number - mean) / deviation of its
// group, in float32.
func standardize(ctx context.Context, name string, x []float32, shape []int, mean, deviation []float32) error {
	_, run := groups(shape)
	extreme := -1
	err := eachRow(ctx, x, size(shape), func(row []float32) {
		for g, m := range mean {
			d := deviation[g]
			values := row[g*run : (g+1)*run]
			for i, v := range values {
				v = (v - m) / d
				values[i] = v
				if v-v != 0 {
					extreme = g
				}
			}
		}
	})
	if err == nil && extreme >= 0 {
		err = bad("scale or drop the outliers, or set standardize: false",
			"%s: feature %d has a value too far from the training rows to standardize", name, extreme)
	}
	return err
}

// eachRow calls use for every row of x, in order.
func eachRow(ctx context.Context, x []float32, width int, use func(row []float32)) error {
	for n := 0; len(x) > 0; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("standardize: %w", ctx.Err())
		}
		use(x[:width])
		x = x[width:]
	}
	return nil
}
