package jpeg

// upright turns and mirrors f as EXIF's orientation asks, so that it shows as it
// was meant to without the tag. Values 2 to 8 change something.
func upright(f frame, orientation int, s *scratch) frame {
	if orientation < 2 || orientation > 8 {
		return f
	}
	w, h := f.w, f.h
	if turned(orientation) {
		w, h = h, w
	}
	out := s.frame(w, h, f.channels)
	for y := range h {
		dst := out.row(y)
		at, step := source(f, orientation, y)
		if f.channels == 1 {
			for x := range dst {
				dst[x] = f.pix[at]
				at += step
			}
			continue
		}
		for x := 0; x < len(dst); x += 4 {
			copy(dst[x:x+4:x+4], f.pix[at:at+4])
			at += step
		}
	}
	return out
}

// turned says whether width and height change places.
func turned(orientation int) bool { return orientation >= 5 && orientation <= 8 }

// source is where in f the first pixel of row y of the upright picture lies, and
// how far on the next ones are (EXIF 2.32, tag 0x0112).
func source(f frame, orientation, y int) (start, step int) {
	px := f.channels
	right, bottom := (f.w-1)*px, (f.h-1)*f.stride
	switch orientation {
	case 2: // mirrored
		return y*f.stride + right, -px
	case 3: // upside down
		return bottom - y*f.stride + right, -px
	case 4: // mirrored, upside down
		return bottom - y*f.stride, px
	case 5: // mirrored along the main diagonal
		return y * px, f.stride
	case 6: // to be turned right
		return bottom + y*px, -f.stride
	case 7: // mirrored along the other diagonal
		return bottom + right - y*px, -f.stride
	case 8: // to be turned left
		return right - y*px, f.stride
	}
	return y * f.stride, px
}
