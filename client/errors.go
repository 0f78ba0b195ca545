package client

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"weft/client/argv"
	"weft/client/specfile"
	"weft/client/sweep"
	"weft/client/table"
	"weft/daemon/api"
)

// The exit codes, as docs promise them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUnreachable = 4
	exitTimeout     = 124
	exitInterrupted = 130
)

// usageError is a command line that the verb cannot use.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

func usagef(hint, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), hint}
}

// exitError ends with a code; without a message it says nothing, because
// everything has been said.
type exitError struct {
	code          int
	message, hint string
	cause         error
}

func (e *exitError) Error() string { return e.message }
func (e *exitError) Unwrap() error { return e.cause }

// faults are several errors that are told together, such as all the unknown
// keys of a specification. The exit code is the first one's.
type faults []error

func (f faults) Error() string {
	parts := make([]string, len(f))
	for i, e := range f {
		parts[i] = e.Error()
	}
	return strings.Join(parts, "; ")
}

// exitCode maps an error to the code that scripts see.
func exitCode(err error) int {
	if f, ok := errors.AsType[faults](err); ok && len(f) > 0 {
		return exitCode(f[0])
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	// A worker's: its daemon tells them apart.
	if e, ok := errors.AsType[interface {
		error
		ExitStatus() int
	}](err); ok {
		return e.ExitStatus()
	}
	if isUsage(err) {
		return exitUsage
	}
	e := api.AsError(err)
	if e == nil {
		return exitFailed
	}
	switch e.Code {
	case api.CodeInvalid:
		return exitUsage
	case api.CodeNotFound:
		return exitNotFound
	case api.CodeUnreachable:
		return exitUnreachable
	case api.CodeTimeout:
		return exitTimeout
	}
	return exitFailed
}

func isUsage(err error) bool {
	_, usage := errors.AsType[*usageError](err)
	_, line := errors.AsType[*argv.Error](err)
	_, file := errors.AsType[*specfile.Error](err)
	_, axes := errors.AsType[*sweep.Error](err)
	return usage || line || file || axes
}

// hint returns what an error says to try.
func hint(err error) string {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*usageError](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*argv.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*specfile.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*sweep.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return e.Hint()
	}
	if e := api.AsError(err); e != nil {
		return e.Hint
	}
	return ""
}

// report writes an error for a person: what went wrong, and what to try.
func (p *program) report(err error) {
	if f, ok := errors.AsType[faults](err); ok {
		for _, e := range f {
			p.report(e)
		}
		return
	}
	message := err.Error()
	if message == "" {
		return
	}
	fmt.Fprintf(p.stderr, "weft: %s\n", table.Clean(message))
	if h := hint(err); h != "" {
		fmt.Fprintf(p.stderr, "try: %s\n", table.Clean(h))
	}
}

var (
	badFlagValue = regexp.MustCompile(`^invalid (?:boolean )?value "(.*)" for (?:flag )?-+([^:]+): .*$`)
	badEnvValue  = regexp.MustCompile(`^could not parse "(.*)" as .* value from environment variable "(.*)" for flag ([^:]+): .*$`)
)

// flagError rewrites what package flag and urfave/cli say of a bad value.
func flagError(flags []cli.Flag, err error) error {
	if m := badFlagValue.FindStringSubmatch(err.Error()); m != nil {
		is, example := wants(flags, m[2])
		return usagef("--"+m[2]+" "+example, "--%s: %q is not %s", m[2], m[1], is)
	}
	if m := badEnvValue.FindStringSubmatch(err.Error()); m != nil {
		is, example := wants(flags, m[3])
		return usagef(m[2]+"="+example, "%s: %q is not %s", m[2], m[1], is)
	}
	return usagef("", "%s", err.Error())
}

// wants says what values a flag takes, and gives one.
func wants(flags []cli.Flag, name string) (is, example string) {
	for _, f := range flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return "a duration", "90s"
		case *cli.IntFlag:
			return "a whole number", "10"
		case *cli.Uint64Flag:
			return "a whole number, 0 or above", "10"
		}
	}
	return "a value it takes", "VALUE"
}
