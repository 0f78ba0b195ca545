package dataset

import (
	"slices"

	"weft/gpu/train/philox"
)

// parts says how many rows each part has and where each row goes: order[row]
// is the new place of source row row; nil when nothing moves.
type parts struct {
	train, val, test int
	order            []int32
}

// strata returns each row's class where rows have one and there is more than
// one to share out, else nil.
func (t *target) strata() []int32 {
	if t.labels != nil {
		return t.labels
	}
	if len(t.classes) != 2 || t.width != 1 {
		return nil
	}
	strata := make([]int32, len(t.values))
	for i, v := range t.values {
		strata[i] = int32(v)
	}
	return strata
}

// split draws the validation and test rows: as near to the asked share of all
// rows as whole rows allow, and of every stratum when s.Stratify is set. Each
// part keeps the source's order.
func split(name string, rows int, strata []int32, s Split) (parts, error) {
	if s.Validation == 0 && s.Test == 0 {
		return parts{train: rows}, nil
	}
	if !s.Stratify {
		strata = nil
	}
	counts := []int{rows}
	if strata != nil {
		counts = make([]int, slices.Max(strata)+1)
		for _, c := range strata {
			counts[c]++
		}
	}
	left := make([]int, len(counts)) // rows of a stratum that may still leave training
	for c, n := range counts {
		left[c] = max(n-1, 0)
	}
	val := quotas(counts, left, s.Validation)
	test := quotas(counts, left, s.Test)
	p := parts{val: sum(val), test: sum(test)}
	p.train = rows - p.val - p.test
	if s.Validation > 0 && p.val == 0 || s.Test > 0 && p.test == 0 {
		return p, bad("use more rows or larger shares", "%s: %s cannot be split into validation %v and test %v",
			name, count(int64(rows), "row"), s.Validation, s.Test)
	}
	p.order = place(draw(rows, strata, val, test, s.Seed), p)
	return p, nil
}

// quotas shares round(fraction of all rows) out to the strata by the method of
// largest remainders, and takes what it gives from left, which also caps it.
func quotas(counts, left []int, fraction float64) []int {
	quota := make([]int, len(counts))
	order := make([]int, len(counts))
	remainder := make([]float64, len(counts))
	total := int(fraction*float64(sum(counts)) + 0.5)
	for c, n := range counts {
		exact := fraction * float64(n)
		quota[c] = min(int(exact), left[c])
		remainder[c], order[c] = exact-float64(quota[c]), c
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case remainder[a] > remainder[b]:
			return -1
		case remainder[a] < remainder[b]:
			return 1
		}
		return 0
	})
	for given := sum(quota); given < total; {
		before := given
		for _, c := range order {
			if given < total && quota[c] < left[c] {
				quota[c]++
				given++
			}
		}
		if given == before {
			break // every stratum has given all but one row
		}
	}
	for c, q := range quota {
		left[c] -= q
	}
	return quota
}

func sum(values []int) int {
	total := 0
	for _, v := range values {
		total += v
	}
	return total
}

// draw returns each row's part: 0 training, 1 validation, 2 test. It walks the
// rows in random order and fills the quotas of each row's stratum. val and
// test are used up.
func draw(rows int, strata []int32, val, test []int, seed uint64) []uint8 {
	visit := make([]int32, rows)
	for i := range visit {
		visit[i] = int32(i)
	}
	philox.New(seed, philox.Split, 0).Source().Shuffle(visit)
	part := make([]uint8, rows)
	for _, row := range visit {
		c := int32(0)
		if strata != nil {
			c = strata[row]
		}
		switch {
		case val[c] > 0:
			val[c]--
			part[row] = 1
		case test[c] > 0:
			test[c]--
			part[row] = 2
		}
	}
	return part
}

// place returns each row's new place: parts one after the other, each in the
// source's order.
func place(part []uint8, p parts) []int32 {
	next := [3]int32{0, int32(p.train), int32(p.train + p.val)}
	order := make([]int32, len(part))
	for row, which := range part {
		order[row] = next[which]
		next[which]++
	}
	return order
}

// reorder moves row i of every array to order[i], in place: a second copy of
// the features may not fit. order is destroyed.
func reorder(order []int32, x []float32, width int, labels []int32, targets []float32, targetWidth int) {
	spare := make([]float32, width)
	spareTarget := make([]float32, targetWidth)
	for start := range order {
		// Follow the cycle through start: the row in hand goes to its place,
		// and the row that lay there is taken up.
		for int(order[start]) != start {
			to := int(order[start])
			swapRows(x, start, to, width, spare)
			if labels != nil {
				labels[start], labels[to] = labels[to], labels[start]
			}
			if targets != nil {
				swapRows(targets, start, to, targetWidth, spareTarget)
			}
			order[start], order[to] = order[to], int32(to)
		}
	}
}

func swapRows(x []float32, i, j, width int, spare []float32) {
	a, b := x[i*width:(i+1)*width], x[j*width:(j+1)*width]
	copy(spare, a)
	copy(a, b)
	copy(b, spare)
}
