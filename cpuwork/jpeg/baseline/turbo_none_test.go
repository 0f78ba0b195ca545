//go:build !linux || !(amd64 || arm64)

package baseline

import "testing"

func turbo(tb testing.TB) func(m Image, o Options) []byte {
	tb.Helper()
	tb.Skip("libturbojpeg is looked for on Linux, amd64 and arm64, only")
	return nil
}
