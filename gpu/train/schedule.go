package train

import "math"

// LR returns the learning rate of optimizer step number step, counted from 0,
// in a job of that many steps whose optimizer was given the rate base.
//
// The formulas are the closed forms of torch.optim.lr_scheduler with one
// scheduler step per optimizer step: CosineAnnealingLR, LinearLR from factor 1,
// StepLR by epochs and OneCycleLR (cosine annealing, two phases, momentum left
// alone). With warmup_steps w, step i < w has the rate base·i/w, and cosine and
// linear run over the remaining steps. Epochs are counted from the job's start.
func (sc Schedule) LR(base float64, step, steps, stepsPerEpoch int64) float64 {
	if sc.Name == OneCycle {
		return sc.oneCycle(base, float64(step), float64(steps))
	}
	if step < sc.WarmupSteps {
		return base * (float64(step) / float64(sc.WarmupSteps))
	}
	t, total := float64(step-sc.WarmupSteps), float64(steps-sc.WarmupSteps)
	switch sc.Name {
	case Cosine:
		if total <= 0 {
			return base
		}
		return sc.MinLR + (base-sc.MinLR)*(1+math.Cos(math.Pi*min(t, total)/total))/2
	case LinearLR:
		if total <= 0 {
			return base
		}
		return base * (1 + (sc.MinLR/base-1)*min(t, total)/total)
	case StepLR:
		drops := step / max(stepsPerEpoch, 1) / int64(max(sc.StepEpochs, 1))
		return base * math.Pow(sc.Gamma, float64(drops))
	default:
		return base
	}
}

// oneCycle rises from base/div_factor to base over pct_start of the steps, then
// falls to base/div_factor/final_div_factor at the last one (Smith and Topin,
// "Super-convergence", as OneCycleLR has it).
func (sc Schedule) oneCycle(base, step, steps float64) float64 {
	first := base / sc.DivFactor
	last := first / sc.FinalDiv
	peak, end := sc.PctStart*steps-1, steps-1
	if step <= peak {
		if peak == 0 { // PyTorch divides by zero here
			return base
		}
		return anneal(first, base, step/peak)
	}
	return anneal(base, last, min((step-peak)/(end-peak), 1))
}

// anneal follows half a cosine from one rate to another as part goes 0 to 1.
func anneal(from, to, part float64) float64 {
	return to + (from-to)/2*(math.Cos(math.Pi*part)+1)
}
