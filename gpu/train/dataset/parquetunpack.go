package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// unpacker unpacks Parquet pages one after the other into one buffer, never
// more than a page announces.
type unpacker struct {
	buf  []byte
	gzip *gzip.Reader
	zstd *zstd.Decoder
}

var errUnpacked = errors.New("a page unpacks to another size than it announces")

// bytes returns src unpacked, which must give size bytes. They are valid until
// the next call.
func (u *unpacker) bytes(codec format.CompressionCodec, src []byte, size int64) ([]byte, error) {
	switch codec {
	case format.Uncompressed:
		return src, nil
	case format.Snappy:
		if n, err := snappy.DecodedLen(src); err != nil || int64(n) != size {
			return nil, errUnpacked
		}
		return snappy.Decode(u.room(size), src)
	case format.Gzip:
		if u.gzip == nil {
			u.gzip = new(gzip.Reader)
		}
		if err := u.gzip.Reset(bytes.NewReader(src)); err != nil {
			return nil, err
		}
		return u.exactly(u.gzip, size)
	case format.Zstd:
		if u.zstd == nil {
			var err error
			u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
			if err != nil {
				return nil, fmt.Errorf("make a zstd reader: %w", err)
			}
		}
		// Into given room, and never beyond it: a reader would allocate the
		// window that the frame's header asks for.
		b, err := u.zstd.DecodeAll(src, u.room(size)[:0:size])
		if err != nil || int64(len(b)) != size {
			return nil, errUnpacked
		}
		return b, nil
	}
	return nil, &unsupported{what: fmt.Sprintf("compression %v", codec),
		hint: "write it again with compression snappy, zstd, gzip or none"}
}

// room returns size bytes, which stay in use for the pages to come.
func (u *unpacker) room(size int64) []byte {
	if int64(cap(u.buf)) < size {
		u.buf = make([]byte, size)
	}
	return u.buf[:size]
}

// exactly reads size bytes, after which r must end.
func (u *unpacker) exactly(r io.Reader, size int64) ([]byte, error) {
	b := u.room(size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errUnpacked
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, errUnpacked
	}
	return b, nil
}

// close stops what the decoders run.
func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}
