package jpeg

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"testing"
)

// Files that are made to hurt whoever reads them.

// hugeJPEG has another size written into its frame header.
func hugeJPEG(jpg []byte) []byte {
	out := bytes.Clone(jpg)
	at := bytes.Index(out, []byte{0xff, 0xc0})
	copy(out[at+5:], "\xff\xff\xff\xff")
	return out
}

func hugeBMP(bmp []byte) []byte {
	out := bytes.Clone(bmp)
	binary.LittleEndian.PutUint32(out[18:], 65535)
	binary.LittleEndian.PutUint32(out[22:], 65535)
	return out
}

func pngChunk(dst []byte, kind string, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	start := len(dst)
	dst = append(append(dst, kind...), body...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

func pngStart(w, h uint32, colour byte) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return pngChunk([]byte("\x89PNG\r\n\x1a\n"), "IHDR", append(ihdr, 8, colour, 0, 0, 0))
}

func hugePNG(w, h uint32) []byte {
	return pngChunk(pngChunk(pngStart(w, h, 2), "IDAT", deflate(0, 1<<20)), "IEND", nil)
}

// deflate are n equal bytes, packed a thousandfold.
func deflate(b byte, n int) []byte {
	var packed bytes.Buffer
	w, err := zlib.NewWriterLevel(&packed, zlib.BestCompression)
	if err != nil {
		panic(err)
	}
	for block := bytes.Repeat([]byte{b}, 1<<16); n > 0; n -= len(block) {
		if _, err := w.Write(block[:min(n, len(block))]); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// scans repeats a progressive file's last scan.
func scans(jpg []byte, n int) []byte {
	at := bytes.LastIndex(jpg, []byte{0xff, markerSOS})
	last := jpg[at : len(jpg)-2]
	out := bytes.Clone(jpg[:len(jpg)-2])
	for range n {
		out = append(out, last...)
	}
	return append(out, 0xff, markerEOI)
}

// twoFrames says the size twice.
func twoFrames(jpg []byte) []byte {
	at := bytes.Index(jpg, []byte{0xff, 0xc0})
	n := 2 + int(binary.BigEndian.Uint16(jpg[at+2:]))
	return append(bytes.Clone(jpg[:at+n]), jpg[at:]...)
}

func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 0x55
	return out
}

// TestBombsStayPacked: a small picture whose chunks unpack to far more than it
// needs is read, or refused, without that memory.
func TestBombsStayPacked(t *testing.T) {
	const unpacked = 256 << 20
	bomb := deflate('a', unpacked)
	start := pngStart(16, 16, 0)
	pixels := deflate(0, 16*17)
	for name, data := range map[string][]byte{
		"profile": pngChunk(pngChunk(pngChunk(start, "iCCP", append([]byte("x\x00\x00"), bomb...)), "IDAT", pixels), "IEND", nil),
		"text":    pngChunk(pngChunk(pngChunk(start, "zTXt", append([]byte("x\x00\x00"), bomb...)), "IDAT", pixels), "IEND", nil),
		"pixels":  pngChunk(pngChunk(start, "IDAT", bomb), "IEND", nil),
	} {
		c := converter(t, Options{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := c.Convert(t.Context(), data, nil)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > unpacked/2 {
			t.Errorf("%s: allocated %d bytes for a file of %d", name, got, len(data))
		}
		if (name == "pixels") != (err != nil) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
