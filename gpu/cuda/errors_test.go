package cuda

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{
			&Error{Code: 700, Name: "CUDA_ERROR_ILLEGAL_ADDRESS", Call: "cuStreamSynchronize"},
			"cuStreamSynchronize: a kernel used an illegal address (CUDA error 700, CUDA_ERROR_ILLEGAL_ADDRESS)",
		},
		{
			&Error{Code: 218, Name: "CUDA_ERROR_INVALID_PTX", Call: "cuModuleLoadDataEx", Log: "line 3: no such thing"},
			"cuModuleLoadDataEx: the PTX does not compile (CUDA error 218, CUDA_ERROR_INVALID_PTX):\nline 3: no such thing",
		},
		{
			&Error{Code: 4711, Name: "CUDA_ERROR_4711", Call: "cuInit"},
			"cuInit: an error that weft does not know (CUDA error 4711, CUDA_ERROR_4711)",
		},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// The errors after which the driver API's reference gives up the context.
func TestFatalCodes(t *testing.T) {
	var fatal []int
	for n, c := range codes {
		if c.fatal != "" {
			fatal = append(fatal, n)
		}
		if !strings.HasPrefix(c.name, "CUDA_") || c.text == "" {
			t.Errorf("code %d is described by %+v", n, c)
		}
	}
	slices.Sort(fatal)
	want := []int{4, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 806, 810, 911, 999}
	if diff := cmp.Diff(want, fatal); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		err          error
		fatal, space bool
	}{
		{nil, false, false},
		{errors.New("other"), false, false},
		{fmt.Errorf("run: %w", &Error{Code: 719}), true, false},
		{&ProbeError{Code: NoMemory, Err: &Error{Code: 2}}, false, true},
		{&Error{Code: 12345}, false, false},
	} {
		if IsFatal(c.err) != c.fatal || IsOutOfMemory(c.err) != c.space {
			t.Errorf("%v: fatal %v, out of memory %v", c.err, IsFatal(c.err), IsOutOfMemory(c.err))
		}
	}
	if got := FatalReason(&Error{Code: 700}); got != "a kernel read or wrote outside its memory" {
		t.Errorf("reason %q", got)
	}
}

func TestFormatVersion(t *testing.T) {
	for v, want := range map[int]string{12080: "12.8", 11040: "11.4", 13000: "13.0"} {
		if got := FormatVersion(v); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
	}
}
