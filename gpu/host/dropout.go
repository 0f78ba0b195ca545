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
	for block := 0; block*4 < len(mask); block++ {
		words := stream.Block(uint64(block))
		for i := range min(4, len(mask)-block*4) {
			mask[block*4+i] = 0
			if words[i]>>8 >= limit {
				mask[block*4+i] = keep
			}
		}
	}
}

func (l *dropout[T]) backward(_ *pass, _, _, dy, dx []T) {
	l.k.multiply(dx, dy, l.mask[:len(dy)])
}

func (l *dropout[T]) uses() uses { return uses{elementwise: true, overwrites: true} }
