package client

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/dustin/go-humanize"

	"weft/daemon/api"
)

// sizeText writes bytes in binary units: "1.2 GiB".
func sizeText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// durationText writes a duration with the precision that still matters:
// 0.32s, 8.4s, 3m05s, 2h07m, 4d03h.
func durationText(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// elapsed is the time since a job first started, to its end or now; 0 before.
func elapsed(j *api.Job, now time.Time) time.Duration {
	if j.StartedAt == nil {
		return 0
	}
	if j.FinishedAt != nil {
		now = *j.FinishedAt
	}
	return now.Sub(*j.StartedAt)
}

func elapsedText(j *api.Job, now time.Time) string {
	if j.StartedAt == nil {
		return ""
	}
	return durationText(elapsed(j, now))
}

// progressText writes epochs where a job counts them, else steps.
func progressText(p api.Progress) string {
	switch {
	case p.Epochs > 0:
		return strconv.Itoa(p.Epoch) + "/" + strconv.Itoa(p.Epochs)
	case p.Steps > 0:
		return strconv.FormatInt(p.Step, 10) + "/" + strconv.FormatInt(p.Steps, 10)
	case p.Step > 0: // of items that have not been counted yet
		return strconv.FormatInt(p.Step, 10)
	}
	return ""
}

// fraction is how much of a job is done, 0 to 1.
func fraction(p api.Progress) float64 {
	switch {
	case p.Steps > 0:
		return min(1, float64(p.Step)/float64(p.Steps))
	case p.Epochs > 0:
		return min(1, float64(p.Epoch)/float64(p.Epochs))
	}
	return 0
}

// headlines are the metrics that a job is known by, the most telling first.
var headlines = []string{"val_accuracy", "val_rmse", "val_loss", "train_loss"}

// metricText writes a job's most telling metric with its name; of a CPU job how
// fast it is, and what failed.
func metricText(m map[string]float64) string {
	if rate, ok := m["items_per_second"]; ok {
		text := perSecondText(rate) + "/s"
		if bytes := m["bytes_per_second"]; bytes > 0 {
			text += ", " + sizeText(int64(bytes)) + "/s"
		}
		if failed := m["failed"]; failed > 0 {
			text += ", " + humanize.Comma(int64(failed)) + " failed"
		}
		return text
	}
	for _, name := range headlines {
		if v, ok := m[name]; ok {
			return name + " " + valueText(name, v)
		}
	}
	return ""
}

// numberText writes a metric with about four digits that matter.
func numberText(v float64) string {
	a := math.Abs(v)
	switch {
	case v == 0, a >= 0.001 && a < 100:
		return strconv.FormatFloat(v, 'f', 4, 64)
	case a >= 100 && a < 1e6:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'e', 3, 64)
}

// valueText writes a metric's value; a learning rate as people write it.
func valueText(name string, v float64) string {
	if name == "lr" {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return numberText(v)
}

// labelsText writes labels in the order of their keys.
func labelsText(labels map[string]string) string {
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		keys[i] = k + "=" + labels[k]
	}
	return strings.Join(keys, ",")
}

// timeText writes a moment in the reader's zone.
func timeText(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// paintState colours a state; the words stay the same.
func paintState(state string) string {
	style := lipgloss.NewStyle()
	switch api.State(state) {
	case api.Running:
		style = style.Foreground(lipgloss.Cyan)
	case api.Succeeded:
		style = style.Foreground(lipgloss.Green)
	case api.Failed:
		style = style.Foreground(lipgloss.Red)
	case api.Paused, api.Cancelled:
		style = style.Foreground(lipgloss.Yellow)
	default:
		return state
	}
	return style.Render(state)
}

// heading writes a heading, bold on a terminal.
func (p *program) heading(s string) string {
	if !p.global.colour {
		return s
	}
	return lipgloss.NewStyle().Bold(true).Render(s)
}

// writeJSON writes v indented for -o json, on one line for jsonl.
func (p *program) writeJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	if p.global.output == outJSON {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// writeJobs writes jobs in one of the machine's formats.
func (p *program) writeJobs(jobs []api.Job) error {
	switch p.global.output {
	case outID:
		var b []byte
		for i := range jobs {
			b = append(strconv.AppendInt(b, jobs[i].ID, 10), '\n')
		}
		_, err := p.stdout.Write(b)
		return err
	case outJSONL:
		for i := range jobs {
			if err := p.writeJSON(&jobs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if jobs == nil {
		jobs = []api.Job{}
	}
	return p.writeJSON(jobs)
}
