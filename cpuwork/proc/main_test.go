package proc

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The environment of the children that tests start from this test binary.
const (
	roleVar = "PROC_TEST_ROLE" // the part to play; see roles
	rawVar  = "PROC_TEST_RAW"  // for the role raw: what to write to the socket, hexadecimal
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
