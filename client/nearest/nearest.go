// Package nearest finds the name somebody meant. It imports nothing of ours.
package nearest

import "strings"

// Name returns the one of names closest to s, or "" when none is close: up to
// a third of its letters may be wrong, missing, too many or swapped, and a
// beginning of at least three letters stands for the whole.
func Name(s string, names []string) string {
	best, bestDistance := "", len(s)
	lower := strings.ToLower(s)
	for _, n := range names {
		d := Distance(lower, strings.ToLower(n))
		if len(s) >= 3 && strings.HasPrefix(n, lower) {
			d = min(d, 1)
		}
		if limit := max(1, max(len(s), len(n))/3); d <= limit && d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}

// Distance is the optimal string alignment distance of two short strings:
// insertions, deletions, substitutions and swaps of neighbours, by bytes.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
