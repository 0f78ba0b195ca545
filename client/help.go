package client

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"weft/client/nearest"
)

// help writes the overview, or what one verb does.
func (p *program) help(name string) error {
	if name == "" {
		return p.overview(p.stdout)
	}
	var names []string
	for _, v := range p.verbs {
		if v.cmd.Name == name {
			return v.write(p.stdout)
		}
		if !v.cmd.Hidden {
			names = append(names, v.cmd.Name)
		}
	}
	h := "weft help lists the commands"
	if n := nearest.Name(name, names); n != "" {
		h = "weft help " + n
	}
	return usagef(h, "unknown command %q", name)
}

func (p *program) helpVerb() verb {
	return verb{cmd: &cli.Command{Name: "help", Hidden: true, ArgsUsage: "[COMMAND]",
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 && !p.isGroup(c.Args().First()) {
				return exactly(c, 1)
			}
			return p.help(strings.Join(c.Args().Slice(), " "))
		}}}
}

// isGroup reports whether name is the first word of verbs.
func (p *program) isGroup(name string) bool {
	return slices.ContainsFunc(p.verbs, func(v verb) bool { return v.group() == name && name != "" })
}

func (p *program) overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString("weft trains many small models on one device at once.\n\nusage: weft COMMAND [flags] [arguments]\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "\n%s\n", g)
		for _, v := range p.verbs {
			if v.cmd.Category == g && v.group() == "" {
				fmt.Fprintf(&b, "  %-11s %s\n", v.cmd.Name, v.cmd.Usage)
			}
		}
	}
	b.WriteString("\nFlags of every command, before or after it\n")
	writeFlags(&b, globalFlags())
	b.WriteString(`
weft COMMAND --help has examples and exit codes. First steps:

  weft demo                                 needs nothing: its own daemon, ten models, a table
  weft serve &                              the daemon
  weft train --data digits --mlp 64,64 -f   one model, watched until it ends
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// write writes one verb's help.
func (v verb) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: weft %s", v.cmd.Name)
	if len(v.cmd.Flags) > 0 {
		b.WriteString(" [flags]")
	}
	if v.cmd.ArgsUsage != "" {
		b.WriteString(" " + v.cmd.ArgsUsage)
	}
	fmt.Fprintf(&b, "\n\n%s\n", strings.TrimSpace(firstOf(v.cmd.Description, v.cmd.Usage)))
	if len(v.examples) > 0 {
		b.WriteString("\nExamples\n")
		for _, e := range v.examples {
			if len(e.line) <= 44 {
				fmt.Fprintf(&b, "  %-44s  %s\n", e.line, e.does)
			} else {
				fmt.Fprintf(&b, "  %s\n  %-44s  %s\n", e.line, "", e.does)
			}
		}
	}
	if len(v.cmd.Flags) > 0 {
		b.WriteString("\nFlags\n")
		writeFlags(&b, v.cmd.Flags)
	}
	b.WriteString("\nFlags of every command\n")
	writeFlags(&b, globalFlags())
	if len(v.outputs) > 0 {
		fmt.Fprintf(&b, "\nOutput formats: %s\n", strings.Join(v.outputs, ", "))
	}
	b.WriteString("\nExit codes\n")
	exits := append([]exit{{exitOK, "done"}, {exitUsage, "the command line or specification is wrong"}}, v.exits...)
	slices.SortFunc(exits, func(a, b exit) int { return a.code - b.code })
	for _, e := range exits {
		fmt.Fprintf(&b, "  %-3d  %s\n", e.code, e.when)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFlags writes one line a flag, descriptions aligned.
func writeFlags(b *strings.Builder, flags []cli.Flag) {
	const column = 30
	for _, f := range flags {
		d, ok := f.(cli.DocGenerationFlag)
		if v, isVisible := f.(cli.VisibleFlag); !ok || (isVisible && !v.IsVisible()) {
			continue
		}
		placeholder, usage := unquote(d.GetUsage())
		left := "      --" + f.Names()[0]
		for _, n := range f.Names()[1:] {
			if len(n) == 1 {
				left = "  -" + n + ", --" + f.Names()[0]
			}
		}
		if d.TakesValue() {
			left += " " + firstOf(placeholder, "VALUE")
		}
		if env := d.GetEnvVars(); len(env) > 0 {
			usage += " ($" + strings.Join(env, ", $") + ")"
		}
		if len(left) >= column {
			fmt.Fprintf(b, "%s\n%-*s%s\n", left, column, "", usage)
		} else {
			fmt.Fprintf(b, "%-*s%s\n", column, left, usage)
		}
	}
}

// unquote takes the `PLACEHOLDER` out of a flag's usage.
func unquote(usage string) (placeholder, rest string) {
	before, after, ok := strings.Cut(usage, "`")
	if !ok {
		return "", usage
	}
	name, after, ok := strings.Cut(after, "`")
	if !ok {
		return "", usage
	}
	return name, strings.TrimPrefix(before+name+after, name+": ")
}
