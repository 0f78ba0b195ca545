package baseline

const (
	// segment is how many pixels of a row are encoded at a time: a multiple of chunk,
	// and few enough for the first caches.
	segment = 512
	// chunk is how many pixels of a row the assembly converts at a time.
	chunk = 64
	// stride is the distance of rows of samples. More than a segment, so that rows do
	// not all fall on the same places of the first cache.
	stride = segment + 32

	lumaBlocks = segment / 8
	// segmentBlocks is the most that a segment has: 4:2:0's and 4:4:4's are as many.
	segmentBlocks = 3 * lumaBlocks
	// segmentEntries is how many entries its blocks make at most: one for each
	// coefficient, for an end stands for a zero. The assembly writes up to 64 more than
	// count.
	segmentEntries = 64*segmentBlocks + 64
	// segmentBytes is what they make at most, with 11 bits of a coefficient and 16 of
	// its code, and what is written beyond the end.
	segmentBytes = segmentEntries*27/8 + 64
)

// A workspace is what lies between the pixels and the file.
type workspace struct {
	// Samples, 0 to 4080: 16 times what they are, which is what the first pass of the
	// DCT would have to do first.
	y      [16 * stride]int16
	cb, cr [8 * stride]int16
	// Quantized coefficients in zigzag order: from 0 on luma, for 4:2:0 from lumaBlocks
	// on its lower row; then Cb and Cr, each from where [sampling.chroma] says.
	coefs  [segmentBlocks][64]int16
	values [segmentEntries]int16
	kinds  [segmentEntries]byte
	bits   [segmentBytes]byte
	edge   [2][4 * chunk]byte // the last pixels of a row, and that many more of the last one
}

// chroma is the first block of Cb and of Cr.
func (s sampling) chroma() (cb, cr int) {
	if s == quarter {
		return 2 * lumaBlocks, 2*lumaBlocks + lumaBlocks/2
	}
	return lumaBlocks, 2 * lumaBlocks
}

// segment appends the data of the segment whose upper left pixel is x, y.
func (e *Encoder) segment(dst []byte, m Image, s sampling, x, y int) []byte {
	n, rows := min(segment, m.Width-x), min(s.rows(), m.Height-y)
	for r := 0; r < rows; r++ {
		upper := m.row(x, y+r, n)
		lower := upper
		if s == quarter {
			lower = m.row(x, y+min(r+1, rows-1), n)
		}
		e.loadRow(upper, lower, m.Channels, s, n, r)
		if s == quarter {
			r++
		}
	}
	e.w.repeatRows(s, n, rows)
	e.transform(s, n)
	if s == quarter {
		e.w.fillDummies(n, rows)
	}
	return e.appendBlocks(dst, s, ceil(n, s.width()))
}

func ceil(n, d int) int { return (n + d - 1) / d }

// loadRow makes samples of a row, for 4:2:0 of two, and repeats the last pixel to
// the end of a chunk.
func (e *Encoder) loadRow(upper, lower []byte, channels int, s sampling, n, r int) {
	w, whole := e.w, n/chunk
	if whole > 0 {
		e.convert(upper, lower, channels, s, whole, 0, r)
	}
	if n%chunk == 0 {
		return
	}
	for i, row := range [2][]byte{upper, lower} {
		end := copy(w.edge[i][:], row[whole*chunk*channels:])
		for ; end < chunk*channels; end++ {
			w.edge[i][end] = w.edge[i][end-channels]
		}
	}
	e.convert(w.edge[0][:chunk*channels], w.edge[1][:chunk*channels], channels, s, 1, whole*chunk, r)
}

// convert makes samples of chunks, which are stored from pixel x of row r on.
func (e *Encoder) convert(upper, lower []byte, channels int, s sampling, chunks, x, r int) {
	w := e.w
	y, c := r*stride+x, r*stride+x
	if s == quarter {
		c = r/2*stride + x/2
	}
	if e.portable || !supported {
		w.convertPortable(upper, lower, channels, s, chunks, y, c)
		return
	}
	switch {
	case s == gray:
		convertGray(&upper[0], chunks, &w.y[y])
	case s == quarter && channels == 3:
		convertQuarter3(&upper[0], &lower[0], chunks, &w.y[y], &w.y[y+stride], &w.cb[c], &w.cr[c])
	case s == quarter:
		convertQuarter4(&upper[0], &lower[0], chunks, &w.y[y], &w.y[y+stride], &w.cb[c], &w.cr[c])
	case channels == 3:
		convertFull3(&upper[0], chunks, &w.y[y], &w.cb[c], &w.cr[c])
	default:
		convertFull4(&upper[0], chunks, &w.y[y], &w.cb[c], &w.cr[c])
	}
}

// repeatRows fills an MCU's missing rows as libjpeg does: after the averaging.
func (w *workspace) repeatRows(s sampling, n, rows int) {
	if rows == s.rows() {
		return
	}
	n = ceil(n, chunk) * chunk
	for r := rows; r < s.rows(); r++ {
		copyRow(w.y[:], r, rows-1, n)
	}
	if s == gray {
		return
	}
	if s == quarter {
		rows = ceil(rows, 2)
	}
	for r := rows; r < 8; r++ {
		copyRow(w.cb[:], r, rows-1, n)
		copyRow(w.cr[:], r, rows-1, n)
	}
}

func copyRow(plane []int16, to, from, n int) { copy(plane[to*stride:to*stride+n], plane[from*stride:]) }

// transform makes coefficients of all samples up to the end of the last chunk.
func (e *Encoder) transform(s sampling, n int) {
	w, chunks := e.w, ceil(n, chunk)
	e.transformRow(0, w.y[:], 2*chunks, &e.luma)
	if s == gray {
		return
	}
	groups := 2 * chunks // of four blocks
	if s == quarter {
		e.transformRow(lumaBlocks, w.y[8*stride:], groups, &e.luma)
		groups = chunks
	}
	cb, cr := s.chroma()
	e.transformRow(cb, w.cb[:], groups, &e.chroma)
	e.transformRow(cr, w.cr[:], groups, &e.chroma)
}

// fillDummies makes the blocks that an MCU of 4:2:0 has beyond the picture: nothing
// but the average of the block before.
func (w *workspace) fillDummies(n, rows int) {
	columns := ceil(n, 8)
	if columns%2 == 1 {
		for _, row := range []int{0, lumaBlocks} {
			w.coefs[row+columns] = [64]int16{w.coefs[row+columns-1][0]}
		}
		columns++
	}
	if rows > 8 {
		return
	}
	for i := range columns {
		w.coefs[lumaBlocks+i] = [64]int16{w.coefs[i|1][0]}
	}
}

// appendBlocks appends the codes of so many MCUs.
func (e *Encoder) appendBlocks(dst []byte, s sampling, mcus int) []byte {
	if e.portable || !supported {
		return e.appendPortable(dst, s, mcus)
	}
	w := e.w
	var entries int
	switch s {
	case gray:
		entries = listGray(&w.coefs[0][0], mcus, &w.values[0], &w.kinds[0], &e.dc[0])
	case full:
		entries = listFull(&w.coefs[0][0], mcus, &w.values[0], &w.kinds[0], &e.dc[0])
	default:
		entries = listQuarter(&w.coefs[0][0], mcus, &w.values[0], &w.kinds[0], &e.dc[0])
	}
	for i := range 15 { // the last sixteen may be fewer
		w.values[entries+i], w.kinds[entries+i] = 0, kindNothing
	}
	n := pack(&w.values[0], &w.kinds[0], ceil(entries, 16), &codes[0], &w.bits[0], &e.bits.held, &e.bits.n)
	dst = grow(dst, 2*n+chunk)
	written := stuff(&dst[:len(dst)+1][len(dst)], &w.bits[0], n)
	return dst[:len(dst)+written]
}

// grow makes room for n more bytes.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) > n {
		return dst
	}
	bigger := make([]byte, len(dst), len(dst)+max(n+1, cap(dst)/2))
	copy(bigger, dst)
	return bigger
}
