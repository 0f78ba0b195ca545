//go:build !linux || !(amd64 || arm64)

package jpeg

import "errors"

// turbo is nothing where the library's calling convention is not known to hold.
type turbo struct{}

func newTurbo() (*turbo, error) {
	return nil, errors.New("it is looked for on Linux, amd64 and arm64, only")
}

func (*turbo) name() string { return EncoderTurbo }

func (*turbo) encode(dst []byte, _ frame, _ Encoding) ([]byte, error) {
	return dst, errors.ErrUnsupported
}

func (*turbo) decode([]byte, header, size, *scratch) (frame, int, error) {
	return frame{}, 0, errors.ErrUnsupported
}
