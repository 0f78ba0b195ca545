package argv

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var tree = Tree{
	Flags: []Flag{{Names: []string{"host", "H"}}, {Names: []string{"output", "o"}},
		{Names: []string{"no-color"}, Bool: true}},
	Commands: []Command{
		{Names: []string{"ls", "ps"}, Flags: []Flag{{Names: []string{"all", "a"}, Bool: true},
			{Names: []string{"quiet", "q"}, Bool: true},
			{Names: []string{"state", "s"}}}},
		{Names: []string{"logs"}, Flags: []Flag{{Names: []string{"follow", "f"}, Bool: true}}},
		{Names: []string{"model"}, Flags: []Flag{{Names: []string{"out", "o"}}}},
		{Names: []string{"priority"}},
		{Names: []string{"worker"}, Raw: true},
	},
}

func TestSort(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"--no-color":                     "--no-color=true",
		"logs 12 -f":                     "logs --follow=true -- 12",
		"logs -f 12 13":                  "logs --follow=true -- 12 13",
		"logs --follow=false 12":         "logs --follow=false -- 12",
		"logs -f=false 12":               "logs --follow=false -- 12",
		"ls -aq":                         "ls --all=true --quiet=true --",
		"ls -aqsrunning":                 "ls --all=true --quiet=true --state=running --",
		"ls -as running":                 "ls --all=true --state=running --",
		"ls -s=running":                  "ls --state=running --",
		"ls --state=a=b":                 "ls --state=a=b --",
		"ls --state= x":                  "ls --state= -- x",
		"ls --state -a":                  "ls --state=-a --",
		"ps -a":                          "ls --all=true --",
		"-o json ls -H unix:///s x":      "--output=json --host=unix:///s ls -- x",
		"ls x -ojson":                    "--output=json ls -- x",
		"model 3 -o file":                "model --out=file -- 3",
		"-o json model 3 -o file":        "--output=json model --out=file -- 3",
		"model 3 --output json -o f":     "--output=json model --out=f -- 3",
		"model 3 -o -":                   "model --out=- -- 3",
		"priority 12 -5":                 "priority -- 12 -5",
		"priority 12 -.5 -1e3":           "priority -- 12 -.5 -1e3",
		"ls -":                           "ls -- -",
		"ls -- -a --state":               "ls -- -a --state",
		"ls -a -- -- x":                  "ls --all=true -- -- x",
		"--no-color -- ls -a":            "--no-color=true ls -- -a",
		"worker cpu -lanes=2 --x -- y":   "worker cpu -lanes=2 --x -- y",
		"-H unix:///s worker cpu -H x":   "--host=unix:///s worker cpu -H x",
		"ls --no-color=false --no-color": "--no-color=false --no-color=true ls --",
	} {
		line, err := tree.Sort(strings.Fields(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := strings.Join(line.Args(), " "); got != want {
			t.Errorf("%q\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestSortRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"lss":               `unknown command "lss" | weft ls`,
		"xyzzy":             `unknown command "xyzzy" | weft help lists the commands`,
		"ls --staet x":      "unknown flag --staet for weft ls | --state",
		"ls --zzz":          "unknown flag --zzz for weft ls | weft help ls",
		"ls -x":             "unknown flag -x for weft ls | weft help ls",
		"ls -ax":            "unknown flag -x for weft ls | weft help ls",
		"ls -state x":       "unknown flag -state | --state",
		"ls --s x":          "unknown flag --s for weft ls | weft help ls",
		"-f logs 12":        "unknown flag -f before the command | put it after the command, as in weft logs -f",
		"--all logs ls":     "unknown flag --all before the command | put it after the command, as in weft ls --all",
		"--follow logs 12":  "unknown flag --follow before the command | put it after the command, as in weft logs --follow",
		"--xyzzy":           "unknown flag --xyzzy | weft help lists the commands",
		"logs --follow=yes": "--follow=yes: --follow is on or off | --follow",
		"logs -fx":          "unknown flag -x for weft logs | weft help logs",
		"ls --state":        "--state needs a value | --state VALUE",
		"ls -as":            "-s needs a value | -s VALUE",
		"ls --=x":           "unknown flag -- for weft ls | weft help ls",
	} {
		_, err := tree.Sort(strings.Fields(in))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", in, err)
		} else if got := e.Message + " | " + e.Hint; got != want {
			t.Errorf("%q\n got %s\nwant %s", in, got, want)
		}
	}
}

// Where flags stand among the arguments makes no difference, and positional
// arguments keep their order.
func TestSortIsIndifferentToPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flags := rapid.SliceOf(rapid.SampledFrom([][]string{{"-a"}, {"--quiet"}, {"-s", "x"}, {"--state=y"},
			{"--state", "-z"},
			{"-aq"}, {"-H", "unix:///s"}, {"--no-color"}, {"-ojson"}})).Draw(t, "flags")
		words := rapid.SliceOf(rapid.SampledFrom([]string{"1", "-5", "x", "-", "a=b", ""})).Draw(t, "words")
		plain := []string{"ls"}
		for _, f := range flags {
			plain = append(plain, f...)
		}
		plain = append(plain, words...)

		mixed := []string{"ls"}
		f, w := flags, words
		for len(f) > 0 || len(w) > 0 {
			if len(w) == 0 || (len(f) > 0 && rapid.Bool().Draw(t, "flag first")) {
				mixed, f = append(mixed, f[0]...), f[1:]
			} else {
				mixed, w = append(mixed, w[0]), w[1:]
			}
		}
		a, errA := tree.Sort(plain)
		b, errB := tree.Sort(mixed)
		if errA != nil || errB != nil {
			t.Fatalf("%q: %v; %q: %v", plain, errA, mixed, errB)
		}
		if !slices.Equal(a.Args(), b.Args()) {
			t.Fatalf("%q gives %q, %q gives %q", plain, a.Args(), mixed, b.Args())
		}
		if !slices.Equal(a.Positionals, words) && len(words) > 0 {
			t.Fatalf("%q became %q", words, a.Positionals)
		}
	})
}

// Any command line is either refused or put into an order that stays as it is
// when sorted again and that package flag cannot misread.
func FuzzReorder(f *testing.F) {
	for _, s := range []string{"logs 12 -f", "-o json ls -aq -- -x", "model 3 -o -", "priority 1 -5",
		"worker a --b", "ls --state", "ls -s=a -H=b", "--", "-- ls --", "ls -\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, " ")
		line, err := tree.Sort(args)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("%q: %v", args, err)
			}
			return
		}
		for _, flag := range append(slices.Clone(line.Globals), line.Flags...) {
			name, _, ok := strings.Cut(flag, "=")
			if !ok || !strings.HasPrefix(name, "--") || len(name) < 4 {
				t.Fatalf("%q: flag %q is not --name=value", args, flag)
			}
		}
		again, err := tree.Sort(line.Args())
		if err != nil || !slices.Equal(again.Args(), line.Args()) {
			t.Fatalf("%q gives %q, which gives %q, %v", args, line.Args(), again.Args(), err)
		}
	})
}

// A verb of two words is found with its flags; its group alone is a verb too.
func TestGroups(t *testing.T) {
	tree := Tree{Flags: []Flag{{Names: []string{"output", "o"}}}, Commands: []Command{
		{Names: []string{"ls"}, Flags: []Flag{{Names: []string{"load"}}}},
		{Names: []string{"bench"}},
		{Names: []string{"bench share"}, Flags: []Flag{{Names: []string{"load"}}}},
	}}
	for in, want := range map[string]string{
		"bench":                          "bench --",
		"bench share":                    "bench share --",
		"bench -o json share a --load x": "--output=json bench share --load=x -- a",
		"-o json bench share share":      "--output=json bench share -- share",
		"bench -- share --load":          "bench share -- --load",
		"bench shrae":                    `unknown command "bench shrae"; weft bench share; bench`,
		"bench xyzzy":                    `unknown command "bench xyzzy"; weft help bench; bench`,
		"bench --load x share":           "unknown flag --load before the command; put it after the command, as in weft bench share --load; bench",
		"bench --lod x share":            "unknown flag --lod for weft bench; weft help bench; bench",
		"share":                          `unknown command "share"; weft help lists the commands; `,
	} {
		line, err := tree.Sort(strings.Fields(in))
		got := strings.Join(line.Args(), " ")
		if e := new(Error); errors.As(err, &e) {
			got = e.Message + "; " + e.Hint + "; " + e.Verb
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
