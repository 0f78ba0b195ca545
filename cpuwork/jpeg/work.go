package jpeg

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"weft/cpuwork"
)

// Work converts one file to another. Its params are [Options] as JSON, an item is
// what [AppendPaths] makes, the answer an [Answer] as JSON.
var Work = cpuwork.Work{Name: "jpeg", New: newWork}

// AppendPaths appends an item of [Work]: the length of in as a uvarint, in, out.
func AppendPaths(dst []byte, in, out string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(in)))
	dst = append(dst, in...)
	return append(dst, out...)
}

func splitPaths(item []byte) (in, out string, err error) {
	n, used := binary.Uvarint(item)
	if used <= 0 || n == 0 || n >= uint64(len(item)-used) {
		return "", "", cpuwork.Failf(CodeItem, "", "bad item: %d bytes that are not two paths", len(item))
	}
	item = item[used:]
	return string(item[:n]), string(item[n:]), nil
}

func newWork(params []byte) (cpuwork.Func, error) {
	var o Options
	if err := json.Unmarshal(params, &o); err != nil {
		return nil, fmt.Errorf("read the options: %w", err)
	}
	c, err := NewConverter(o)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, item, dst []byte) ([]byte, error) {
		in, out, err := splitPaths(item)
		if err != nil {
			return dst, err
		}
		a, err := c.ConvertFile(ctx, in, out)
		if err != nil {
			return dst, err
		}
		answer, err := json.Marshal(a)
		return append(dst, answer...), err
	}, nil
}

// EncodeWork encodes raw pixels. Its params are an [Encoding] as JSON, an item is
// what [AppendPixels] makes, the answer a JPEG file.
var EncodeWork = cpuwork.Work{Name: "jpeg-encode", New: newEncodeWork}

// pixelsHeader is the length of what is before the pixels of an item of
// [EncodeWork]: width and height, 16 bits little-endian, the number of channels,
// three zeros.
const pixelsHeader = 8

// AppendPixels appends an item of [EncodeWork]: rows of w pixels of 1 (gray),
// 3 (RGB) or 4 (RGB and one byte more) bytes, without gaps.
func AppendPixels(dst []byte, w, h, channels int, pix []byte) ([]byte, error) {
	if w < 1 || h < 1 || w > maxSide || h > maxSide || channels != 1 && channels != 3 && channels != 4 {
		return dst, fmt.Errorf("append pixels: %d x %d pixels of %d channels cannot be encoded", w, h, channels)
	}
	if len(pix) != w*h*channels {
		return dst, fmt.Errorf("append pixels: %d bytes for %d x %d pixels of %d channels", len(pix), w, h, channels)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(w)) // #nosec G115 -- checked above
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h)) // #nosec G115 -- checked above
	dst = append(dst, byte(channels), 0, 0, 0)             // #nosec G115 -- checked above
	return append(dst, pix...), nil
}

var errPixels = errors.New("the header does not fit the bytes")

func splitPixels(item []byte) (frame, error) {
	if len(item) < pixelsHeader {
		return frame{}, errPixels
	}
	f := frame{
		w: int(binary.LittleEndian.Uint16(item)), h: int(binary.LittleEndian.Uint16(item[2:])),
		channels: int(item[4]), pix: item[pixelsHeader:],
	}
	f.stride = f.w * f.channels
	if f.w == 0 || f.h == 0 || f.channels != 1 && f.channels != 3 && f.channels != 4 || len(f.pix) != f.stride*f.h {
		return frame{}, errPixels
	}
	return f, nil
}

func newEncodeWork(params []byte) (cpuwork.Func, error) {
	var e Encoding
	if err := json.Unmarshal(params, &e); err != nil {
		return nil, fmt.Errorf("read the options: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	enc, err := newEncoder(e.Encoder)
	if err != nil {
		return nil, err
	}
	var buf []byte // encoders want more room than they use in the end
	return func(ctx context.Context, item, dst []byte) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return dst, err
		}
		f, err := splitPixels(item)
		if err != nil {
			return dst, cpuwork.Failf(CodeItem, "", "bad item of %d bytes: %v", len(item), err)
		}
		buf, err = enc.encode(buf[:0], f, e)
		if err != nil {
			return dst, &cpuwork.ItemError{Code: CodeEncode, Message: err.Error()}
		}
		dst = append(dst, buf...)
		buf = keep(buf)
		return dst, nil
	}, nil
}
