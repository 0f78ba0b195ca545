package baseline

import "testing"

// TestEveryColor: samples of all 2^24 colours are those of the formula, and of the
// formula as libjpeg has it.
func TestEveryColor(t *testing.T) {
	skipUnsupported(t)
	var pix [3 * segment]byte
	got, want := new(workspace), new(workspace)
	for rg := range 1 << 16 {
		for b := range 256 {
			pix[3*b], pix[3*b+1], pix[3*b+2] = byte(rg), byte(rg>>8), byte(b)
		}
		convertFull3(&pix[0], 4, &got.y[0], &got.cb[0], &got.cr[0])
		want.convertPortable(pix[:], pix[:], 3, full, 4, 0, 0)
		if got.y != want.y || got.cb != want.cb || got.cr != want.cr {
			t.Fatalf("with red %d and green %d samples differ from the formula's", byte(rg), rg>>8)
		}
	}
}

// TestRoundsColorsLikeTurbo has a block of each colour that would come out
// otherwise if a sum were one more or less before it is rounded. At quality 100 a
// block's average is that colour.
func TestRoundsColorsLikeTurbo(t *testing.T) {
	want := turbo(t)
	m := Image{Width: 8 * 64, Stride: 3 * 8 * 64, Channels: 3}
	column := 0
	edge := func(x int) bool { return (x+1)&0xffff <= 1 }
	for i := range 1 << 24 {
		r, g, b := i&255, i>>8&255, i>>16
		if !edge(19595*r+38470*g+7471*b+1<<15) && !edge(-11059*r-21709*g+32768*b+1<<15-1) && !edge(32768*r-27439*g-5329*b+1<<15-1) {
			continue
		}
		if column == 0 {
			m.Pix = append(m.Pix, make([]byte, 8*m.Stride)...)
			m.Height += 8
		}
		for y := m.Height - 8; y < m.Height; y++ {
			row := m.row(8*column, y, 8)
			for x := range 8 {
				row[3*x], row[3*x+1], row[3*x+2] = byte(r), byte(g), byte(b)
			}
		}
		column = (column + 1) % 64
	}
	if m.Height < 8*20 {
		t.Fatalf("%d rows of colours are too few", m.Height)
	}
	o := Options{Quality: 100}
	for name, e := range encoders() {
		checkEqual(t, name, m, o, encode(t, e, m, o), want(m, o))
	}
}
