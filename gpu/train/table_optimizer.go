package train

// setOptimizer gives o the defaults of an algorithm: torch.optim's, and for
// sgd, which has none there, a learning rate of 0.01.
func setOptimizer(o *Optimizer, name OptimizerName) {
	*o = Optimizer{Name: name}
	switch name {
	case Adam, AdamW:
		o.LR, o.Betas, o.Eps = 1e-3, [2]float64{0.9, 0.999}, 1e-8
		if name == AdamW {
			o.WeightDecay = 0.01
		}
	case RMSprop:
		o.LR, o.Alpha, o.Eps = 1e-2, 0.99, 1e-8
	default:
		o.LR = 1e-2
	}
}

func optimizerTable(o *Optimizer) choice {
	lr := key{name: "lr", doc: "Learning rate.", val: number{&o.LR, above(0)}}
	decay := key{name: "weight_decay", doc: "Decay of the parameters.", val: number{&o.WeightDecay, atLeast(0)}}
	eps := key{name: "eps", doc: "Added to the denominator.", val: number{&o.Eps, atLeast(0)}}
	momentum := key{name: "momentum", doc: "Part of the last update that is kept.", val: number{&o.Momentum, atLeast(0)}}
	rates := key{name: "betas", doc: "Decay rates of the gradient's two averages.", val: betas{&o.Betas}}
	return choice{
		noun: "optimizer",
		name: func() string { return string(o.Name) },
		set:  func(name string) { setOptimizer(o, OptimizerName(name)) },
		variants: []variant{
			{string(AdamW), "torch.optim.AdamW: weight decay apart from the gradient.", []key{lr, rates, eps, decay}},
			{string(Adam), "torch.optim.Adam: weight decay added to the gradient.", []key{lr, rates, eps, decay}},
			{string(SGD), "torch.optim.SGD.", []key{lr, momentum,
				{name: "dampening", doc: "Part of the gradient that momentum leaves out.",
					val: number{&o.Dampening, atLeast(0)}},
				{name: "nesterov", doc: "Nesterov's momentum.", val: boolean{p: &o.Nesterov}}, decay}},
			{string(RMSprop), "torch.optim.RMSprop.", []key{lr,
				{name: "alpha", doc: "Decay rate of the squared gradient's average.",
					val: number{&o.Alpha, between(0, 1)}},
				eps, decay, momentum,
				{name: "centered", doc: "Divide by the deviation instead of the root mean square.",
					val: boolean{p: &o.Centered}}}},
		},
	}
}

// setSchedule gives sc the defaults of a schedule.
func setSchedule(sc *Schedule, name ScheduleName) {
	*sc = Schedule{Name: name}
	switch name {
	case StepLR:
		sc.Gamma = 0.1
	case OneCycle:
		sc.PctStart, sc.DivFactor, sc.FinalDiv = 0.3, 25, 1e4
	}
}

func scheduleTable(sc *Schedule) choice {
	warmup := key{name: "warmup_steps", doc: "Steps over which the rate first rises from 0.",
		val: integer[int64]{&sc.WarmupSteps, between(0, maxSteps)}}
	least := key{name: "min_lr", doc: "Rate at the end.", val: number{&sc.MinLR, atLeast(0)}}
	return choice{
		noun: "schedule",
		name: func() string { return string(sc.Name) },
		set:  func(name string) { setSchedule(sc, ScheduleName(name)) },
		variants: []variant{
			{string(Constant), "The same rate at every step.", []key{warmup}},
			{string(Cosine), "CosineAnnealingLR: half a cosine from lr to min_lr.", []key{warmup, least}},
			{string(StepLR), "StepLR: the rate times gamma every step_epochs epochs.", []key{warmup,
				{name: "step_epochs", doc: "Epochs between drops.", need: true,
					hint: "write schedule: {name: step, step_epochs: 10}",
					val:  integer[int]{&sc.StepEpochs, between(1, maxEpochs)}},
				{name: "gamma", doc: "Factor of a drop.", val: number{&sc.Gamma, between(0, 1)}}}},
			{string(LinearLR), "LinearLR: a line from lr to min_lr.", []key{warmup, least}},
			{string(OneCycle), "OneCycleLR: up to lr, then down, along cosines; momentum stays.", []key{
				{name: "pct_start", doc: "Part of the steps on which the rate rises.",
					val: number{&sc.PctStart, between(0, 1)}},
				{name: "div_factor", doc: "The first rate is lr divided by this.",
					val: number{&sc.DivFactor, above(0)}},
				{name: "final_div_factor", doc: "The last rate is the first divided by this.",
					val: number{&sc.FinalDiv, above(0)}}}},
		},
	}
}
