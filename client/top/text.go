package top

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"weft/daemon/api"
)

// absent is what is not known. It never stands for 0.
const absent = "-"

// sizeText writes bytes in binary units: 512, 4.0K, 12G.
func sizeText(n int64) string {
	v, unit := float64(max(n, 0)), 0
	for ; v >= 1023.5 && unit < 5; unit++ {
		v /= 1024
	}
	if unit == 0 {
		return strconv.FormatInt(max(n, 0), 10)
	}
	digits := 0
	if v < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + "KMGTP"[unit-1:unit]
}

// durationText writes a duration by what still matters of it: 8s, 3m05s, 2h07m.
func durationText(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 1000*24*time.Hour:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
	return ">999d"
}

// numberText writes a metric with the digits that matter.
func numberText(v float64) string {
	switch a := math.Abs(v); {
	case v == 0, a >= 0.001 && a < 100:
		return strconv.FormatFloat(v, 'f', 4, 64)
	case a >= 100 && a < 1e6:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'e', 2, 64)
}

// countText writes a count in at most five characters: 999, 12.3k, 4.5M.
func countText(v float64) string {
	unit := ""
	for _, u := range []string{"k", "M", "G"} {
		if v < 9999.5 {
			break
		}
		v, unit = v/1000, u
	}
	if v < 99.95 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64) + unit
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + unit
}

func percentText(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) + "%" }

// known writes a value that may be absent.
func known[T any](v *T, text func(T) string) string {
	if v == nil {
		return absent
	}
	return text(*v)
}

// value is what charts take of a reading that may be absent.
func value[T int64 | float64](v *T) float64 {
	if v == nil {
		return unknown
	}
	return float64(*v)
}

// fraction is how much of a job is done, 0 to 1.
func fraction(p api.Progress) float64 {
	switch {
	case p.Steps > 0:
		return min(1, max(0, float64(p.Step)/float64(p.Steps)))
	case p.Epochs > 0:
		return min(1, max(0, float64(p.Epoch)/float64(p.Epochs)))
	}
	return 0
}

// headlines are the metrics that a job is known by, the most telling first.
var headlines = []string{"val_accuracy", "val_rmse", "val_loss", "train_loss"}

// headline returns the metric that a job is known by; "": none yet.
func headline(metrics map[string]float64) string {
	for _, name := range headlines {
		if _, ok := metrics[name]; ok {
			return name
		}
	}
	return ""
}

func paintOf(s api.State) style {
	switch s {
	case api.Running:
		return accent
	case api.Succeeded:
		return good
	case api.Failed:
		return bad
	case api.Paused, api.Cancelled:
		return warn
	}
	return plain
}

// counted writes a number with its noun: "1 job", "3 jobs".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
