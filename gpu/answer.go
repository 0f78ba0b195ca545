package gpu

import (
	"math"
	"strconv"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// answer turns a model's outputs into the columns of a predictions file.
type answer struct {
	header []string
	record func(dst []string, out []float32) []string
}

func newAnswer(saved *train.Saved, width int) answer {
	info := saved.Info
	switch dataset.Task(info.Task) {
	case dataset.Classification:
		classes := classNames(info, width)
		return answer{classHeader(classes), func(dst []string, out []float32) []string {
			return appendClasses(dst, classes, softmax(out))
		}}
	case dataset.Binary:
		return answer{targetHeader(info, width, "probability"), func(dst []string, out []float32) []string {
			for _, v := range out {
				dst = append(dst, formatFloat(1/(1+math.Exp(-float64(v)))))
			}
			return dst
		}}
	default:
		return answer{targetHeader(info, width, "prediction"), func(dst []string, out []float32) []string {
			for _, v := range out {
				dst = append(dst, formatFloat(float64(v)))
			}
			return dst
		}}
	}
}

// classNames are the data's, or numbers for integer labels.
func classNames(info *dataset.Info, width int) []string {
	if len(info.Classes) == width {
		return info.Classes
	}
	names := make([]string, width)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

func classHeader(classes []string) []string {
	header := []string{"prediction"}
	for _, class := range classes {
		header = append(header, "p("+class+")")
	}
	return header
}

func targetHeader(info *dataset.Info, width int, name string) []string {
	if len(info.TargetNames) == width {
		return info.TargetNames
	}
	if width == 1 {
		return []string{name}
	}
	header := make([]string, width)
	for i := range header {
		header[i] = name + strconv.Itoa(i)
	}
	return header
}

func appendClasses(dst, classes []string, p []float64) []string {
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	dst = append(dst, classes[best])
	for _, v := range p {
		dst = append(dst, formatFloat(v))
	}
	return dst
}

func softmax(logits []float32) []float64 {
	highest := math.Inf(-1)
	for _, v := range logits {
		highest = max(highest, float64(v))
	}
	p := make([]float64, len(logits))
	var sum float64
	for i, v := range logits {
		p[i] = math.Exp(float64(v) - highest)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
