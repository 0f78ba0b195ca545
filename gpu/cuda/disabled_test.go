//go:build !cuda

package cuda

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProbeWithoutTag(t *testing.T) {
	_, err := Probe()
	var failure *ProbeError
	if !errors.As(err, &failure) {
		t.Fatalf("error %v", err)
	}
	want := ProbeError{Code: NotBuilt, Message: "this weft was built without CUDA", Hint: "build it with make"}
	if diff := cmp.Diff(want, *failure); diff != "" {
		t.Error(diff)
	}
}
