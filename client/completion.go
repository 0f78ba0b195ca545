package client

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/bench/load"
	"weft/bench/peers"
	poolbench "weft/bench/pools"
	"weft/client/table"
	"weft/daemon/api"
)

func (p *program) completionVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "completion", Category: groupDaemon, ArgsUsage: "bash|zsh|fish",
			Usage: "a script that completes verbs, flags, values and job ids",
			Description: `Prints a script for the shell. It completes verbs and flags, the values of
flags that have a few, and the ids of jobs that the verb can be used on.`,
			Action: func(c *cli.Context) error {
				if err := exactly(c, 1); err != nil {
					return err
				}
				script, ok := completionScripts[c.Args().First()]
				if !ok {
					return usagef("weft completion bash", "no completion for %q; there are bash, zsh and fish",
						c.Args().First())
				}
				_, err := io.WriteString(p.stdout, script)
				return err
			},
		},
		examples: []example{
			{"source <(weft completion bash)", "this shell; in ~/.bashrc every one"},
			{"weft completion zsh > ~/.zfunc/_weft", "zsh, with ~/.zfunc in fpath"},
			{"weft completion fish > ~/.config/fish/completions/weft.fish", "fish"},
		},
	}
}

// completionScripts ask `weft __complete WORDS…`, whose last word is the one
// under the cursor, for lines of a candidate, a tab and a description.
var completionScripts = map[string]string{
	"bash": `# bash completion for weft
_weft() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("${line%%$'\t'*}")
	done < <(weft __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _weft weft
`,
	"zsh": `#compdef weft
# zsh completion for weft
_weft() {
	local line tab=$'\t'
	local -a candidates
	while IFS= read -r line; do
		candidates+=("${${line%%$tab*}//:/\\:}:${line#*$tab}")
	done < <(weft __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (( ${#candidates} )); then
		_describe weft candidates
	else
		_files
	fi
}
if [ "$funcstack[1]" = _weft ]; then
	_weft "$@"
else
	compdef _weft weft
fi
`,
	"fish": `# fish completion for weft
function __weft_complete
	set -l words (commandline -opc) (commandline -ct)
	weft __complete $words[2..-1] 2>/dev/null
end
complete -c weft -a '(__weft_complete)'
`,
}

// candidate is one completion.
type candidate struct{ word, what string }

// completeVerb is what the scripts call.
func (p *program) completeVerb() verb {
	return verb{cmd: &cli.Command{Name: "__complete", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if len(words) == 0 {
				words = []string{""}
			}
			var b strings.Builder
			for _, cand := range p.complete(c.Context, words) {
				fmt.Fprintf(&b, "%s\t%s\n", cand.word, table.Clean(cand.what))
			}
			_, err := io.WriteString(p.stdout, b.String())
			return err
		}}}
}

// complete returns the candidates for the last of words, best first.
func (p *program) complete(ctx context.Context, words []string) []candidate {
	cur := words[len(words)-1]
	v, pending := p.parseWords(words[:len(words)-1])
	var all []candidate
	switch {
	case pending != "":
		all = flagValues(v, pending)
		if i := strings.LastIndexByte(cur, ','); i >= 0 && slices.Contains(severalValues, pending) {
			for k := range all {
				all[k].word = cur[:i+1] + all[k].word
			}
		}
	case strings.HasPrefix(cur, "-"):
		all = p.flagNames(v)
	case v == nil:
		for _, v := range p.verbs {
			if !v.cmd.Hidden && v.group() == "" {
				all = append(all, candidate{v.cmd.Name, v.cmd.Usage})
			}
		}
	default:
		all = p.arguments(ctx, v)
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return !strings.HasPrefix(c.word, cur) })
}

// parseWords finds the verb, and the flag whose value comes next, if any.
func (p *program) parseWords(words []string) (v *verb, pending string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if !strings.HasPrefix(w, "-") || w == "-" {
			if v == nil {
				v = p.find(w)
			} else if second := p.find(v.cmd.Name + " " + w); second != nil {
				v = second
			}
			continue
		}
		name := strings.TrimLeft(w, "-")
		if strings.Contains(w, "=") || !takesValue(flagsOf(v), name) {
			continue
		}
		if i == len(words)-1 {
			return v, name
		}
		i++ // its value
		if name == "host" || name == "H" {
			p.global.host = words[i] // whose jobs are meant
		}
	}
	return v, ""
}

func (p *program) find(name string) *verb {
	for i := range p.verbs {
		if p.verbs[i].cmd.HasName(name) {
			return &p.verbs[i]
		}
	}
	return nil
}

func flagsOf(v *verb) []cli.Flag {
	if v == nil {
		return globalFlags()
	}
	return append(slices.Clone(v.cmd.Flags), globalFlags()...)
}

func takesValue(flags []cli.Flag, name string) bool {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			d, ok := f.(cli.DocGenerationFlag)
			return ok && d.TakesValue()
		}
	}
	return false
}

func (p *program) flagNames(v *verb) []candidate {
	var out []candidate
	for _, f := range flagsOf(v) {
		d, ok := f.(cli.DocGenerationFlag)
		if vis, isVis := f.(cli.VisibleFlag); !ok || (isVis && !vis.IsVisible()) {
			continue
		}
		_, usage := unquote(d.GetUsage())
		out = append(out, candidate{"--" + f.Names()[0], usage})
	}
	return out
}

// severalValues are flags that take several values with commas between them.
var severalValues = []string{"state", "s", "kind", "k"}

// flagValues returns the values of flags that have a few; none lets the shell
// complete file names.
func flagValues(v *verb, name string) []candidate {
	values := map[string][]string{
		"output": outputs, "o": outputs, "sort": append(sortNames()[:len(orders)], metricNames...),
		"device": {"auto", "cpu", "gpu", "gpu:0"}, "optimizer": {"adamw", "adam", "sgd", "rmsprop"},
		"loss":      {"cross_entropy", "mse", "bce_with_logits", "huber"},
		"log-level": logLevels, "state": stateNames(), "s": stateNames(), "kind": kindNames(), "k": kindNames(),
		"by": append(slices.Clone(usageBys), "label="), "since": {"24h", "7d", "30d"}, "until": {"24h", "7d"},
		"pool": pools, "subsampling": {"4:2:0", "4:4:4"}, "encoder": {"auto", "avx512", "libturbojpeg", "jpegn", "image/jpeg"},
		"existing": existingOf(v),
		"load":     load.Names(), "arms": shareArms, "baseline": shareArms,
		"isolation": isolations,
		"peers":     append([]string{peersAuto, peersNone}, peers.Names()...),
		"benchmark": {benchmarkShare, benchmarkPools},
	}
	if v != nil && v.cmd.Name == "bench pools" {
		values["arms"], values["peers"] = poolKinds(), append([]string{peersAuto, peersNone}, poolbench.PeerNames()...)
	}
	if v != nil && v.cmd.Name == "train" {
		sets := []string{"digits", "iris", "wine", "breast-cancer", "diabetes", "moons", "spirals", "blobs", "teacher"}
		values["data"], values["d"] = sets, sets
	}
	if v != nil && name == "o" && takesValue(v.cmd.Flags, "o") {
		return nil // a file
	}
	var out []candidate
	for _, s := range values[name] {
		out = append(out, candidate{s, ""})
	}
	return out
}

// existingOf are the values of --existing, which kinds have different ones of.
func existingOf(v *verb) []string {
	if v != nil && v.cmd.Name == "cpu jpeg" {
		return []string{"skip", "refuse"}
	}
	return []string{"skip", "update", "overwrite"}
}

func stateNames() []string { return namesOf(api.States) }

// completeStates says which jobs a verb can be used on.
var completeStates = map[string][]api.State{
	"cancel": activeStates, "pause": {api.Queued, api.Running}, "resume": {api.Paused}, "retry": finalStates,
	"hold": {api.Queued}, "release": {api.Queued, api.Paused}, "rm": finalStates, "priority": activeStates,
	"follow": activeStates, "wait": activeStates, "model": {api.Succeeded}, "predict": {api.Succeeded},
	"show": nil, "logs": nil, "ls": nil, "results": nil,
}

// completeWithin is how long a shell may hang on a daemon.
const completeWithin = 500 * time.Millisecond

// arguments completes a positional argument: a shell, a verb, or a job.
func (p *program) arguments(ctx context.Context, v *verb) []candidate {
	switch v.cmd.Name {
	case "completion":
		return []candidate{{"bash", ""}, {"zsh", ""}, {"fish", ""}}
	case "help":
		return p.complete(ctx, []string{""})
	case "bench pools":
		return casesNamed()
	}
	var verbs []candidate
	for _, second := range p.verbs {
		if word, ok := strings.CutPrefix(second.cmd.Name, v.cmd.Name+" "); ok {
			verbs = append(verbs, candidate{word, second.cmd.Usage})
		}
	}
	if verbs != nil {
		return verbs
	}
	states, jobs := completeStates[v.cmd.Name]
	if !jobs {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	c, err := p.client()
	if err != nil {
		return nil
	}
	defer c.Close()
	list, err := c.Jobs(ctx, api.Filter{States: states})
	if err != nil {
		return nil // a completion has nowhere to say why
	}
	slices.Reverse(list) // the newest first
	out := make([]candidate, len(list))
	for i := range list {
		out[i] = candidate{strconv.FormatInt(list[i].ID, 10),
			strings.TrimSpace(list[i].Name + " " + string(list[i].State))}
	}
	return out
}
