// Package argv sorts a command line into the order that urfave/cli needs:
// flags may stand before and after positional arguments, and those of the
// whole program before and after the verb. It is pure; start at [Tree.Sort].
// It imports only the nearest-name search.
package argv

import (
	"fmt"
	"slices"
	"strings"

	"weft/client/nearest"
)

// Flag is one flag as its command declares it.
type Flag struct {
	Names []string // without dashes; the first is the one used in messages
	Bool  bool     // takes no value, or =true or =false
}

// Command is one verb. A verb of two words, such as "bench share", has its
// group, the command "bench", before it.
type Command struct {
	Names []string
	Flags []Flag
	Raw   bool // everything after the verb is positional, dashes or not
}

// Tree is a program: its own flags, which every verb accepts too, and its
// verbs. A verb's flag hides the program's flag of the same name after it.
type Tree struct {
	Flags    []Flag
	Commands []Command
}

// Line is a command line in order. Flags are written --name=value.
type Line struct {
	Globals     []string
	Verb        string // "" when there is none
	Flags       []string
	Positionals []string
	Raw         bool // the verb takes its arguments as they are
}

// Args returns the line as urfave/cli takes it.
func (l Line) Args() []string {
	args := slices.Clone(l.Globals)
	if l.Verb == "" {
		return args
	}
	args = append(append(args, l.Verb), l.Flags...)
	if l.Raw {
		return append(args, l.Positionals...)
	}
	return append(append(args, "--"), l.Positionals...)
}

// Error is a command line that means nothing.
type Error struct {
	Message string
	Hint    string // what to write instead, "" if unknown
	Verb    string // the verb it was said to, "" before one
}

func (e *Error) Error() string { return e.Message }

// sorter walks a command line once.
type sorter struct {
	tree Tree
	verb *Command
	line Line
	rest []string
}

// Sort puts args, without the program's name, in order. Everything after --
// is positional, and so is a dash alone and anything that looks like a
// negative number and is no flag of the verb. Errors are [*Error].
func (t Tree) Sort(args []string) (Line, error) {
	s := &sorter{tree: t, rest: args}
	for len(s.rest) > 0 {
		arg := s.rest[0]
		s.rest = s.rest[1:]
		var err error
		switch {
		case arg == "--":
			err = s.afterDashes()
		case strings.HasPrefix(arg, "--"):
			err = s.long(arg)
		case len(arg) > 1 && arg[0] == '-' && !s.number(arg):
			err = s.short(arg)
		default:
			err = s.word(arg)
		}
		if err != nil {
			return Line{}, err
		}
	}
	return s.line, nil
}

// afterDashes takes the rest as it is; before a verb it still names one.
func (s *sorter) afterDashes() error {
	for len(s.rest) > 0 {
		arg := s.rest[0]
		s.rest = s.rest[1:]
		if err := s.word(arg); err != nil {
			return err
		}
	}
	return nil
}

// word takes a positional argument, the first of which is the verb; after a
// group the second still belongs to it.
func (s *sorter) word(arg string) error {
	grouped := s.verb != nil && s.tree.group(s.verb)
	if s.verb != nil && !grouped {
		s.line.Positionals = append(s.line.Positionals, arg)
		return nil
	}
	if grouped {
		arg = s.line.Verb + " " + arg
	}
	for i, c := range s.tree.Commands {
		if slices.Contains(c.Names, arg) {
			s.verb = &s.tree.Commands[i]
			s.line.Verb = c.Names[0]
			if s.line.Raw = c.Raw; c.Raw {
				s.line.Positionals = append(s.line.Positionals, s.rest...)
				s.rest = nil
			}
			return nil
		}
	}
	var names []string
	for _, c := range s.tree.Commands {
		if strings.Contains(c.Names[0], " ") == grouped {
			names = append(names, c.Names...)
		}
	}
	e := &Error{Message: fmt.Sprintf("unknown command %q", arg), Hint: "weft help lists the commands"}
	if grouped {
		e.Verb, e.Hint = s.line.Verb, "weft help "+s.line.Verb
	}
	if n := nearest.Name(arg, names); n != "" {
		e.Hint = "weft " + n
	}
	return e
}

// group reports whether a command is the first word of others.
func (t Tree) group(c *Command) bool {
	return slices.ContainsFunc(t.Commands, func(o Command) bool { return o.in(c.Names[0]) })
}

// in reports whether a command is a verb of a group.
func (c *Command) in(group string) bool { return strings.HasPrefix(c.Names[0], group+" ") }

// long takes --name, --name=value or --name value.
func (s *sorter) long(arg string) error {
	name, value, attached := strings.Cut(arg[2:], "=")
	f, global := s.find(name)
	if f == nil || len(name) < 2 {
		return s.unknown("--" + name)
	}
	return s.take(f, global, "--"+name, value, attached)
}

// short takes -x, -xvalue, -x=value, -x value, and bundles like -aq.
func (s *sorter) short(arg string) error {
	if name, _, _ := strings.Cut(arg[1:], "="); len(name) > 1 {
		if f, _ := s.find(name); f != nil {
			return &Error{Message: "unknown flag -" + name, Hint: "--" + name, Verb: s.line.Verb}
		}
	}
	for i := 1; i < len(arg); i++ {
		name, rest := arg[i:i+1], arg[i+1:]
		f, global := s.find(name)
		if f == nil {
			if i == 1 {
				return s.unknown(arg)
			}
			return s.unknown("-" + name)
		}
		value, attached := strings.CutPrefix(rest, "=")
		if attached || (!f.Bool && rest != "") {
			return s.take(f, global, "-"+name, value, true)
		}
		if err := s.take(f, global, "-"+name, "", false); err != nil {
			return err
		}
	}
	return nil
}

// take writes a flag down, with the next argument as its value where it needs
// one and none is attached.
func (s *sorter) take(f *Flag, global bool, as, value string, attached bool) error {
	switch {
	case f.Bool && !attached:
		value = "true"
	case f.Bool && value != "true" && value != "false":
		return &Error{Message: fmt.Sprintf("%s=%s: %s is on or off", as, value, as), Hint: as, Verb: s.line.Verb}
	case !attached && len(s.rest) == 0:
		return &Error{Message: as + " needs a value", Hint: as + " VALUE", Verb: s.line.Verb}
	case !attached:
		value, s.rest = s.rest[0], s.rest[1:]
	}
	arg := "--" + f.Names[0] + "=" + value
	if global {
		s.line.Globals = append(s.line.Globals, arg)
	} else {
		s.line.Flags = append(s.line.Flags, arg)
	}
	return nil
}

// find looks a name up, the verb's flags first.
func (s *sorter) find(name string) (f *Flag, global bool) {
	if s.verb != nil {
		if f := lookup(s.verb.Flags, name); f != nil {
			return f, false
		}
	}
	return lookup(s.tree.Flags, name), true
}

func lookup(flags []Flag, name string) *Flag {
	for i := range flags {
		if slices.Contains(flags[i].Names, name) {
			return &flags[i]
		}
	}
	return nil
}

// unknown says what was probably meant: a flag of the verb, or of another one
// where it was written before the verb.
func (s *sorter) unknown(flag string) error {
	e := &Error{Message: "unknown flag " + flag, Verb: s.line.Verb}
	if s.verb != nil && s.tree.group(s.verb) { // the flag's verb has not come yet
		if c := s.owner(strings.TrimLeft(flag, "-")); c != nil {
			return misplaced(e, c, flag)
		}
	}
	var names []string
	add := func(flags []Flag) {
		for _, f := range flags {
			for _, n := range f.Names {
				if len(n) > 1 {
					names = append(names, n)
				}
			}
		}
	}
	if s.verb != nil {
		add(s.verb.Flags)
		e.Message += " for weft " + s.line.Verb
	}
	add(s.tree.Flags)
	if n := nearest.Name(strings.TrimLeft(flag, "-"), names); n != "" {
		e.Hint = "--" + n
		return e
	}
	if s.verb != nil {
		e.Hint = "weft help " + s.line.Verb
		return e
	}
	e.Hint = "weft help lists the commands"
	if c := s.owner(strings.TrimLeft(flag, "-")); c != nil {
		return misplaced(e, c, flag)
	}
	return e
}

func misplaced(e *Error, c *Command, flag string) *Error {
	e.Message += " before the command"
	e.Hint = "put it after the command, as in weft " + c.Names[0] + " " + flag
	return e
}

// owner finds a command that has the flag: the one that is named next, if it
// is one of them.
func (s *sorter) owner(flag string) *Command {
	var first *Command
	for i := range s.tree.Commands {
		c := &s.tree.Commands[i]
		if lookup(c.Flags, flag) == nil || (s.verb != nil && !c.in(s.line.Verb)) {
			continue
		}
		if slices.ContainsFunc(s.rest, func(arg string) bool { return slices.Contains(c.Names, arg) }) {
			return c
		}
		if first == nil {
			first = c
		}
	}
	return first
}

// number reports whether an argument that begins with a dash is a negative
// number and not a flag, such as -0 where the verb has one.
func (s *sorter) number(arg string) bool {
	if f, _ := s.find(arg[1:2]); f != nil {
		return false
	}
	digit := func(i int) bool { return i < len(arg) && arg[i] >= '0' && arg[i] <= '9' }
	return digit(1) || (arg[1] == '.' && digit(2))
}
