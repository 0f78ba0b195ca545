package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"weft/client/argv"
	"weft/daemon/api"
)

// App is what main supplies: the parts of the program that the client must not
// import.
type App struct {
	// Serve runs the daemon until ctx is cancelled and it has drained.
	Serve func(ctx context.Context, o ServeOptions) error
	// Worker runs a worker process: the hidden command `weft worker`.
	Worker func(ctx context.Context, args []string) error

	Version string // "v1.2.3"; "": unknown
	Commit  string // "": unknown

	Program   string                 // path of weft's binary; default: os.Executable
	Now       func() time.Time       // default: time.Now
	OpenFiles func() (uint64, error) // how many this process may open; default: its resource limit
}

// program is one run of the command line.
type program struct {
	app    App
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	global globals
	verbs  []verb

	// instead, if not nil, is called with a CPU job in place of submitting it.
	instead func(kind api.Kind, spec json.RawMessage, o cpuOptions) error
}

// Run runs the command line args, without the program's name, and returns the
// exit code: 0 done, 1 failed, 2 usage, 3 not found, 4 daemon not reachable,
// 124 timed out, 130 interrupted. Errors are written to stderr.
func Run(ctx context.Context, app App, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if app.Now == nil {
		app.Now = time.Now
	}
	if app.OpenFiles == nil {
		app.OpenFiles = openFiles
	}
	p := &program{app: app, stdin: stdin, stdout: stdout, stderr: stderr}
	p.verbs = p.tree()
	err := p.run(ctx, args)
	if err == nil {
		return exitOK
	}
	if _, told := errors.AsType[*exitError](err); !told && errors.Is(err, context.Canceled) {
		err = &exitError{code: exitInterrupted, cause: err}
	}
	p.report(err)
	return exitCode(err)
}

// run sorts the arguments and hands them to urfave/cli.
func (p *program) run(ctx context.Context, args []string) error {
	app := p.cliApp()
	line, err := argvTree(app).Sort(args)
	if err != nil {
		if e, ok := errors.AsType[*argv.Error](err); ok && wantsHelp(args) {
			return p.help(e.Verb)
		}
		return err
	}
	switch {
	case slices.Contains(line.Globals, "--help=true"):
		return p.help(line.Verb)
	case slices.Contains(line.Globals, "--version=true"):
		_, err := fmt.Fprintf(p.stdout, "weft %s\n", p.ownVersion())
		return err
	}
	// urfave/cli would answer these flags itself, in its own words.
	line.Globals = slices.DeleteFunc(line.Globals, func(flag string) bool {
		return flag == "--help=false" || flag == "--version=false"
	})
	return app.RunContext(ctx, append([]string{app.Name}, line.Args()...))
}

// wantsHelp reports whether --help stands among arguments that are otherwise
// wrong: whoever asks for help need not get the rest right.
func wantsHelp(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if a == "--help" || a == "-h" {
			return true
		}
	}
	return false
}

// cliApp builds the tree with everything turned off by which urfave/cli would
// exit, print or parse in its own way.
func (p *program) cliApp() *cli.App {
	app := &cli.App{
		Name:                      "weft",
		Usage:                     "trains many small models on one device at once",
		Flags:                     settingFlags(),
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		Reader:                    p.stdin,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		Compiled:                  p.app.Now(),
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error,
			_ bool) error {
			return flagError(settingFlags(), err)
		},
		Before: p.readGlobals,
		Action: func(*cli.Context) error { return p.help("") },
	}
	for _, v := range p.verbs {
		cmd := v.cmd
		cmd.HideHelp = true
		cmd.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return flagError(cmd.Flags, err) }
		action := cmd.Action
		cmd.Action = func(c *cli.Context) error {
			if err := v.accepts(p.global); err != nil {
				return err
			}
			return action(c)
		}
		app.Commands = append(app.Commands, cmd)
	}
	return app
}

// argvTree tells argv what flags there are.
func argvTree(app *cli.App) argv.Tree {
	t := argv.Tree{Flags: argvFlags(globalFlags())}
	for _, c := range app.Commands {
		t.Commands = append(t.Commands, argv.Command{Names: c.Names(), Flags: argvFlags(c.Flags),
			Raw: c.SkipFlagParsing})
	}
	return t
}

func argvFlags(flags []cli.Flag) []argv.Flag {
	out := make([]argv.Flag, len(flags))
	for i, f := range flags {
		takes := true
		if d, ok := f.(cli.DocGenerationFlag); ok {
			takes = d.TakesValue()
		}
		out[i] = argv.Flag{Names: f.Names(), Bool: !takes}
	}
	return out
}

// client returns a client of the daemon that -H or the environment names.
func (p *program) client() (*api.Client, error) {
	return api.New(p.global.host, api.Options{UserAgent: "weft/" + p.app.Version})
}

// executable returns the path of weft itself, to start a daemon with.
func (p *program) executable() (string, error) {
	if p.app.Program != "" {
		return p.app.Program, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find weft's own program: %w", err)
	}
	return path, nil
}
