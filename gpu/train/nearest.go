package train

import (
	"fmt"
	"strings"
)

// aliases are names that people bring from PyTorch or elsewhere.
var aliases = map[string]string{
	"learning_rate": "lr", "dataset": "data", "layers": "model", "network": "model", "bs": "batch_size",
	"batch": "batch_size", "criterion": "loss", "num_epochs": "epochs", "max_epochs": "epochs", "max_steps": "steps",
	"scheduler": "schedule", "lr_scheduler": "schedule", "random_seed": "seed", "dtype": "precision",
	"ce": "cross_entropy", "crossentropyloss": "cross_entropy", "bce": "bce_with_logits", "l2": "mse",
	"mseloss": "mse", "smooth_l1": "huber", "dense": "linear", "fc": "linear", "out_features": "out",
	"out_channels": "channels", "filters": "channels", "kernel_size": "kernel", "leakyrelu": "leaky_relu",
	"layer_norm": "layernorm", "bn": "batchnorm1d", "cosine_annealing": "cosine", "onecycle": "one_cycle",
	"cuda": "gpu", "fp32": "float32", "bfloat16": "bf16", "step_size": "step_epochs", "warmup": "warmup_steps",
	"eta_min": "min_lr", "rate": "p", "val": "validation", "final_div": "final_div_factor",
}

// suggest returns the hint for an unknown word: the nearest valid name, or all
// of them under a heading such as "one of".
func suggest(word string, names []string, heading string) string {
	if near := nearest(word, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return heading + ": " + strings.Join(names, ", ")
}

// nearest returns the name closest to word by edit distance, "" if none is
// close enough to be a slip of the fingers: one edit for each four letters
// begun. The first of equally close names wins.
func nearest(word string, names []string) string {
	const longest = 64
	if len(word) > longest {
		return ""
	}
	word = fold(word)
	for _, n := range names {
		if fold(n) == word || n == aliases[strings.ToLower(word)] {
			return n
		}
	}
	best, least := "", (len(word)+3)/4+1
	for _, n := range names {
		if d := distance(word, fold(n)); d < least && d < len(n) {
			best, least = n, d
		}
	}
	return best
}

// fold makes spellings equal that differ in case and separators only.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("-", "_", " ", "_").Replace(s))
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
