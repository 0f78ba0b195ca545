package proc

import (
	"os"
	"slices"
	"strings"
)

// passed names the variables a child gets from its parent; a name that ends in
// an underscore stands for all that begin with it. What is not listed, among it
// credentials and service sockets, stays with the parent.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_",
	"LD_LIBRARY_PATH", "CUDA_", "NVIDIA_", "NVML_", "XDG_",
	"GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GOCOVERDIR", "GORACE",
}

// Environ returns the environment of a child: the few variables of this process
// that programs need to run, GOTRACEBACK=all so that a crash shows every
// goroutine, and then extra ("NAME=value"), which wins.
func Environ(extra ...string) []string {
	return environ(os.Environ(), extra)
}

func environ(parent, extra []string) []string {
	var env []string
	for _, assignment := range parent {
		name, _, _ := strings.Cut(assignment, "=")
		if slices.ContainsFunc(passed, func(pattern string) bool { return names(pattern, name) }) {
			env = append(env, assignment)
		}
	}
	return append(append(env, "GOTRACEBACK=all"), extra...)
}

func names(pattern, name string) bool {
	if strings.HasSuffix(pattern, "_") {
		return strings.HasPrefix(name, pattern)
	}
	return pattern == name
}
