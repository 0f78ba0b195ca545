package client

import (
	"math/rand/v2"
	"slices"
)

// spread is what repeated measurements of one thing came to.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Q1     float64 `json:"q1"` // a quarter of the values is at most this
	Q3     float64 `json:"q3"` // a quarter of the values is at least this
}

// spreadOf describes values, of which there must be one at least. Quantiles
// between two values are interpolated, as NumPy does unless told otherwise.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{Median: quantile(sorted, 0.5), Min: sorted[0], Max: sorted[len(sorted)-1],
		Q1: quantile(sorted, 0.25), Q3: quantile(sorted, 0.75)}
}

// quantile interpolates linearly between the two values around q, 0 to 1.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// speedups are the ratios of the rounds, of each round's own two measurements:
// what slowed a whole round down slows no ratio.
func speedups(baseline, arm []float64) []float64 {
	out := make([]float64, min(len(baseline), len(arm)))
	for i := range out {
		out[i] = baseline[i] / arm[i]
	}
	return out
}

// armOrder is the order of a round, counted from 0: drawn once from the seed,
// then rotated by one a round, so that no arm always has the same place.
func armOrder(arms []string, round int, seed uint64) []string {
	order := slices.Clone(arms)
	rng := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- an order, not a secret
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	first := round % len(order)
	return append(order[first:], order[:first]...)
}

// samplesOf is how many rows so many steps took: an epoch's last batch may be
// smaller, or left out.
func samplesOf(steps int64, rows, batch int, dropLast bool) int64 {
	if rows <= 0 || batch <= 0 {
		return 0
	}
	perEpoch, inEpoch := int64((rows+batch-1)/batch), int64(rows)
	if dropLast {
		perEpoch = int64(rows / batch)
		inEpoch = perEpoch * int64(batch)
	}
	if perEpoch == 0 {
		return 0
	}
	return steps/perEpoch*inEpoch + steps%perEpoch*int64(batch)
}
