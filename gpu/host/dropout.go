package host

import "weft/gpu/train/philox"

// dropout is torch.nn.Dropout: in training each element is zero with
// probability p and else divided by 1-p.
//
// Element i of a batch (row·width + column) is kept if number i of Philox's
// stream stage<<48 | step is p at least. So a mask depends on seed, step,
// stage and place, and a resumed job draws it again.
type dropout[T real] struct {
	k     kernels[T]
	seed  uint64
	stage int // index in the model's list
	p     float64
	mask  []T // (batch, width): 0 or 1/(1-p)
}

func (l *dropout[T]) forward(p *pass, x, y []T) {
	if !p.train {
		copy(y, x)
		return
	}
	mask := l.mask[:len(x)]
	l.draw(p.step, mask)
	l.k.multiply(y, x, mask)
}

func (l *dropout[T]) draw(step int64, mask []T) {
	stream := philox.New(l.seed, philox.Dropout, uint64(l.stage)<<48|uint64(step))
	var keep T
	if l.p < 1 {
		keep = T(1 / (1 - l.p))
	}
	// A number is 24 bits over 2^24, so u < p compares those bits with p·2^24.
	limit := uint32(l.p * (1 << 24))
	if float64(limit) < l.p*(1<<24) {
		limit++
	}
	// The mask is looked up, since a branch on random bits would be mispredicted.
	choice := [2]T{keep, 0}
	block := uint64(0)
	for ; len(mask) >= 4; mask = mask[4:] {
		words := stream.Block(block)
		block++
		mask[0] = choice[(words[0]>>8-limit)>>31]
		mask[1] = choice[(words[1]>>8-limit)>>31]
		mask[2] = choice[(words[2]>>8-limit)>>31]
		mask[3] = choice[(words[3]>>8-limit)>>31]
	}
	words := stream.Block(block)
	for i := range mask {
		mask[i] = choice[(words[i]>>8-limit)>>31]
	}
}

func (l *dropout[T]) backward(_ *pass, _, _, dy, dx []T) {
	l.k.multiply(dx, dy, l.mask[:len(dy)])
}

func (l *dropout[T]) uses() uses { return uses{elementwise: true, overwrites: true} }
