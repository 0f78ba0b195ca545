package client

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"weft/client/nearest"
)

// The output formats of -o.
const (
	outTable = "table"
	outWide  = "wide"
	outJSON  = "json"
	outJSONL = "jsonl"
	outID    = "id"
)

var outputs = []string{outTable, outWide, outJSON, outJSONL, outID}

// globals are the flags of every command.
type globals struct {
	host     string // "": the default
	output   string
	chosen   bool // -o was given
	colour   bool
	terminal bool // stdout is one
	width    int  // of the terminal; 0 when it is not one
	height   int
}

// globalFlags are accepted anywhere on the command line.
func globalFlags() []cli.Flag {
	return append(settingFlags(),
		&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "what the command does, with examples"},
		&cli.BoolFlag{Name: "version", Hidden: true})
}

// settingFlags are the global flags that a verb runs under.
func settingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "host", Aliases: []string{"H"}, EnvVars: []string{"WEFT_HOST"},
			Usage: "the daemon: `ADDRESS` unix:///path or https://name:port"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: outTable,
			Usage: "`FORMAT`: table, wide, json, jsonl or id"},
		&cli.BoolFlag{Name: "no-color", Usage: "no colours; so does the variable NO_COLOR"},
	}
}

// readGlobals runs before every verb.
func (p *program) readGlobals(c *cli.Context) error {
	g := globals{host: c.String("host"), output: c.String("output"), chosen: c.IsSet("output")}
	if !slices.Contains(outputs, g.output) {
		return usagef("-o "+firstOf(nearest.Name(g.output, outputs), outTable),
			"unknown output format %q; there are %s", g.output, strings.Join(outputs, ", "))
	}
	g.terminal = isTerminal(p.stdout)
	if g.terminal {
		g.width, g.height = size(p.stdout)
	}
	g.colour = g.terminal && !c.Bool("no-color") && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	p.global = g
	return nil
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// size returns a terminal's columns and lines: the environment's where it has
// them, the terminal's own, else 80 by 24.
func size(w any) (width, height int) {
	width, height = 80, 24
	if f, ok := w.(*os.File); ok {
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 0 {
			width, height = int(ws.Col), int(ws.Row)
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		width = n
	}
	return width, height
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
