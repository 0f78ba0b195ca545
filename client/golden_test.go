package client

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// session is a golden file: command lines run one after the other against one
// recorded daemon, with what each wrote and its exit code.
func session(t *testing.T, name string, d *recorded, stdin string, lines ...[]string) {
	t.Helper()
	host := ""
	if d != nil {
		host = d.listen(t)
	}
	var b strings.Builder
	for _, args := range lines {
		b.WriteString("$ weft " + strings.Join(args, " ") + "\n")
		out := weft(t.Context(), host, stdin, args...).String()
		if host != "" {
			out = strings.ReplaceAll(out, strings.TrimPrefix(host, "unix://"), "/run/weft.sock")
		}
		b.WriteString(strings.ReplaceAll(out, runtime.Version(), "GOVERSION") + "\n")
	}
	golden(t, name+".txt", b.String())
}

func line(s string) []string { return strings.Fields(s) }

func TestHelp(t *testing.T) {
	p := &program{app: App{Now: time.Now}}
	p.verbs = p.tree()
	session(t, "help/overview", nil, "", line("help"))
	for _, v := range p.verbs {
		if !v.cmd.Hidden {
			session(t, "help/"+strings.ReplaceAll(v.cmd.Name, " ", "-"), nil, "", line("help "+v.cmd.Name))
		}
	}
}

// Help is the same however it is asked for, also where the rest is wrong.
func TestHelpIsFoundEverywhere(t *testing.T) {
	want := weft(t.Context(), "", "", "help", "logs")
	for _, in := range []string{"logs --help", "logs -h 12", "--help logs", "logs --bogus -h"} {
		if got := weft(t.Context(), "", "", line(in)...); got != want {
			t.Errorf("weft %s:\n%s\nwant\n%s", in, got, want)
		}
	}
	if none, h := weft(t.Context(), "", ""), weft(t.Context(), "", "", "help"); none != h {
		t.Errorf("weft alone:\n%s", none)
	}
}

// Values that a flag cannot take are refused in its own words, also from the
// environment.
func TestBadValues(t *testing.T) {
	t.Setenv("WEFT_SLOTS", "many")
	session(t, "bad-values", nil, "", line("serve"), line("train --seeds x --data digits"),
		line("train --sweep-seed -1 --data digits"),
		line("wait 1 -t soon"), line("serve --slots 3 --watchdog 5"))
}

// Every verb is complete: it has a description, examples that it accepts, and
// a place in the overview.
func TestVerbsAreComplete(t *testing.T) {
	p := &program{app: App{Now: time.Now}}
	p.verbs = p.tree()
	tree := argvTree(p.cliApp())
	for _, v := range p.verbs {
		if v.cmd.Hidden {
			continue
		}
		if v.cmd.Description == "" || v.cmd.Usage == "" || len(v.examples) == 0 || v.cmd.Category == "" {
			t.Errorf("weft %s lacks a description, a usage, an example or a group", v.cmd.Name)
		}
		for _, e := range v.examples {
			if strings.ContainsAny(e.line, "<>$&|") {
				continue // more than one command
			}
			words := line(strings.ReplaceAll(e.line, "'", ""))
			if sorted, err := tree.Sort(words[1:]); err != nil || sorted.Verb != v.cmd.Name {
				t.Errorf("example %q: %v", e.line, err)
			}
		}
	}
}

func TestLs(t *testing.T) {
	session(t, "ls", newRecorded(), "",
		line("ls"), line("ls -a"), line("ls -a -o wide"), line("ls -q"), line("ls -a -q --state failed"),
		line("ls --label sweep=a -a"), line("ls 2 4"), line("ls 99"), line("-o id ls --state queued,paused"),
		line("ls -a --sort -elapsed -o id"), line("ls -a --sort val_accuracy -o id"), line("ls -a --sort name -o id"),
		line("ls --state succeded"), line("ls --sort bogus"), line("ls -q -o json"), line("ls x"), line("ls --label x"),
		line("ls -w"), line("ls -w -o json"), line("ls --label sweep=none"),
		line("ls -a --kind sha256,jpeg"), line("ls -a -k fetch --kind primes -q"), line("ls --kind train --state paused -q"),
		line("ls --kind train -q 4"), line("ls --kind fetch --label sweep=none"), line("ls --kind jepg"), line("ls --kind train,bake"))
	session(t, "ls-json", newRecorded(), "", line("ls --state failed -o json"), line("ls -o jsonl -a --label sweep=a"),
		line("ls -o json --label sweep=none"), line("ls -o json --sort name --state paused"))
	session(t, "ls-empty", &recorded{}, "", line("ls"), line("ls -a"), line("ls -o json"), line("ls -o jsonl"),
		line("ls -q"))
}

func TestShow(t *testing.T) {
	session(t, "show", newRecorded(), "", line("show 1"), line("show 2"), line("show 3"), line("show 4"),
		line("show 5"),
		line("show 99"), line("show"), line("show 1 2"), line("show abc"), line("show 1 -o id"))
	session(t, "show-json", newRecorded(), "", line("show 1 -o json"))
}

func TestActs(t *testing.T) {
	session(t, "acts", newRecorded(), "",
		line("cancel 3 4"), line("cancel 1"), line("cancel 1 6 99"), line("cancel 99"), line("cancel"),
		line("cancel 3 --all"),
		line("pause 4"), line("pause --label sweep=none"), line("resume --all"), line("retry --label sweep=a"),
		line("retry 1 -o json"),
		line("hold --all"), line("release --all -o id"), line("rm --label lr=10"), line("rm 7"), line("rm 3"),
		line("rm 7-8 -o json"),
		line("priority 4 -5"), line("priority 4 high"), line("priority 4"), line("priority 99 1"),
		line("priority 4 3 -o id"),
		line("cancel 1-"), line("cancel 5-3"), line("cancel 0"))
}

func TestLogsModelPredict(t *testing.T) {
	inDir(t, map[string]string{"there.bin": "mine", "new.csv": "a,b\n1,2\n"})
	session(t, "results", newRecorded(), "",
		line("logs 1"), line("logs 1 3"), line("logs 99"), line("logs"), line("logs 1 -o json"),
		line("model 1 -o m.bin"), line("model 1 -o -"), line("model 1 -o m.bin"), line("model 1 -o there.bin --force"),
		line("model 4 -o x.bin"), line("model 1"), line("model 99 -o x.bin"), line("model 1 -o ."),
		line("model 1 -o no/such/x.bin"),
		line("predict 1 --data new.csv"), line("predict 1 --data new.csv -o out.csv"), line("predict 1"))
}

func TestFollowAndWait(t *testing.T) {
	session(t, "follow", newRecorded(), "", line("follow 3 4"), line("follow 1 2"),
		line("follow --label sweep=none"), line("follow 99"),
		line("follow 5 -o id"))
	session(t, "wait", newRecorded(), "", line("wait 1"), line("wait 1 2 7"), line("wait 3 -o table"),
		line("wait 99"), line("wait"),
		line("wait 1 --timeout -1s"), line("wait 6 --timeout 50ms"), line("wait 1 -o json"))
}

func TestDaemonVerbs(t *testing.T) {
	session(t, "daemon", newRecorded(), "", line("version"), line("version -o json"), line("--version"),
		line("ls --version"), line("doctor"),
		line("doctor -o json --no-color"), line("doctor x"), line("serve"), line("worker"), line("completion tcsh"))
}

func TestServeRefuses(t *testing.T) {
	session(t, "serve-errors", nil, "",
		line("serve --memory 1x"), line("serve --memory 0"), line("serve --slots -1"), line("serve --threads two"),
		line("serve --listen :7337"), line("serve --tls-cert c.pem"), line("serve --weight alice"),
		line("serve --weight alice=0"),
		line("serve --log-level warning"), line("serve --watchdog 5"), line("serve --sample-every 1ms"), line("serve --device tpu"), line("serve --device gpu:x,cpu"),
		line("serve --sharing fusd"), line("serve --gpu-memory much"), line("serve now"))
}

func TestCommandLineErrors(t *testing.T) {
	session(t, "errors", nil, "",
		line("lss"), line("xyzzy"), line("ls --staet x"), line("ls -state x"), line("-f logs 1"),
		line("ls -o jsn"), line("ls -o"),
		line("logs --follow=maybe 1"), line("train --seeds x --data digits --mlp 4"), line("help lss"),
		line("help ls show"),
		line("ls -H ftp://x"), line("ls -H http://x"), line("ls -H unix:///no/such/socket"),
		line("version -H unix:///no/such/socket"),
		line("doctor -H unix:///no/such/socket"), line("wait 1 -t soon"))
}

func TestCompletion(t *testing.T) {
	session(t, "completion", newRecorded(), "",
		line("completion bash"), line("completion zsh"), line("completion fish"),
		line("__complete ca"), line("__complete cancel --"), append(line("__complete cancel"), ""),
		append(line("__complete -o"), ""),
		line("__complete -H x ls --state s"), append(line("__complete ls --kind"), ""), line("__complete ls -k train,f"),
		line("__complete ls -a --state failed,c"), append(line("__complete model 1 -o"), ""),
		line("__complete train --data d"),
		append(line("__complete completion"), ""), append(line("__complete train"), ""), line("__complete help p"))
}
