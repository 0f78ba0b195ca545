package client

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

// fetchTask is what a job of kind fetch does, as the daemon reads it. Zero values
// are the daemon's defaults. Times are in seconds.
type fetchTask struct {
	URLs            []string          `json:"urls,omitempty"`
	Lists           []string          `json:"lists,omitempty"`
	To              string            `json:"to,omitempty"`
	Discard         bool              `json:"discard,omitempty"`
	Name            string            `json:"name,omitempty"`
	Existing        string            `json:"existing,omitempty"`
	Method          string            `json:"method,omitempty"`
	Headers         map[string]string `json:"headers,omitempty"`
	UserAgent       string            `json:"user_agent,omitempty"`
	Rate            float64           `json:"rate,omitempty"`
	Burst           int               `json:"burst,omitempty"`
	HostRate        float64           `json:"host_rate,omitempty"`
	Concurrency     int               `json:"concurrency,omitempty"`
	HostConcurrency int               `json:"host_concurrency,omitempty"`
	ConnectTimeout  float64           `json:"connect_timeout,omitempty"`
	IdleTimeout     float64           `json:"idle_timeout,omitempty"`
	TotalTimeout    float64           `json:"total_timeout,omitempty"`
	MaxBytes        int64             `json:"max_bytes,omitempty"`
	MaxRedirects    int               `json:"max_redirects,omitempty"`
	KeepPartial     bool              `json:"keep_partial,omitempty"`
	AllowPrivate    bool              `json:"allow_private,omitempty"`
}

func (p *program) cpuFetchVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "cpu fetch", Category: groupSubmit, ArgsUsage: "[URL…]",
			Usage: "fetch URLs into a directory, within a rate",
			Description: `Fetches URLs, given or from lists of one a line (URL, or URL<TAB>NAME), to files
that appear whole. Servers that ask to wait (Retry-After) are waited for, hosts
that fail again and again are left alone for a while, downloads that broke off
go on where they were. Addresses that are not on the public internet are refused
unless --allow-private, after redirects and name lookups too.`,
			Flags: cpuFlags(
				&cli.StringFlag{Name: "to", Usage: "`DIRECTORY` for the files; default this one"},
				&cli.BoolFlag{Name: "discard", Usage: "read and count, and write no files"},
				&cli.StringSliceFlag{Name: "list", Usage: "`FILE` with a URL a line, - for the standard input; may be repeated"},
				&cli.StringFlag{Name: "as", Usage: "`TEMPLATE` of names: {base} (default), {stem}, {ext}, {path}, {host}, {query}, {index}"},
				&cli.StringFlag{Name: "existing", Usage: "`HOW` to treat a file that is there already: skip (default), update or overwrite"},
				&cli.Float64Flag{Name: "rate", Usage: "`N` requests a second at most, all hosts together"},
				&cli.IntFlag{Name: "burst", Usage: "`N` requests of --rate at once after a pause"},
				&cli.Float64Flag{Name: "host-rate", Usage: "`N` requests a second to each host"},
				&cli.IntFlag{Name: "concurrency", Usage: "`N` in flight; default 64"},
				&cli.IntFlag{Name: "host-concurrency", Usage: "`N` in flight to each host; default 16"},
				&cli.StringSliceFlag{Name: "header", Usage: "send `HEADER`, as Accept: text/html; may be repeated"},
				&cli.StringFlag{Name: "user-agent", Usage: "`TEXT` to be known by; default weft"},
				&cli.BoolFlag{Name: "head", Usage: "ask for headers only"},
				&cli.DurationFlag{Name: "connect-timeout", Usage: "`DURATION` to connect in; default 10s"},
				&cli.DurationFlag{Name: "idle-timeout", Usage: "`DURATION` without a byte; default 30s"},
				&cli.DurationFlag{Name: "total-timeout", Usage: "`DURATION` of one attempt; default 1h"},
				&cli.StringFlag{Name: "max-size", Usage: "`SIZE` of one file at most, as 100MiB"},
				&cli.IntFlag{Name: "max-redirects", Usage: "`N` redirects at most; default 10, -1: none"},
				&cli.BoolFlag{Name: "keep-partial", Usage: "keep what came of files that failed, to go on from"},
				&cli.BoolFlag{Name: "allow-private", Usage: "also addresses that are not on the public internet"},
			),
			Action: func(c *cli.Context) error {
				o, err := p.readCPU(c)
				if err != nil {
					return err
				}
				t, err := p.readFetch(c)
				if err != nil {
					return err
				}
				return p.submitCPU(c.Context, api.KindFetch, t, false, o)
			},
		},
		examples: []example{
			{"weft cpu fetch --list urls.txt --to pages --rate 20 -f", "20 requests a second, watched until it ends"},
			{"weft cpu fetch https://example.com/a.bin --wait", "one file, here"},
			{"weft cpu fetch --list urls.txt --to mirror --as '{host}/{path}' --existing update", "a tree, kept up to date"},
		},
		exits: cpuExits,
	}
}

func (p *program) readFetch(c *cli.Context) (fetchTask, error) {
	t := fetchTask{URLs: c.Args().Slice(), Discard: c.Bool("discard"), Name: c.String("as"), Existing: c.String("existing"),
		UserAgent: c.String("user-agent"), Rate: c.Float64("rate"), Burst: c.Int("burst"), HostRate: c.Float64("host-rate"),
		Concurrency: c.Int("concurrency"), HostConcurrency: c.Int("host-concurrency"),
		ConnectTimeout: c.Duration("connect-timeout").Seconds(), IdleTimeout: c.Duration("idle-timeout").Seconds(),
		TotalTimeout: c.Duration("total-timeout").Seconds(), MaxRedirects: c.Int("max-redirects"),
		KeepPartial: c.Bool("keep-partial"), AllowPrivate: c.Bool("allow-private")}
	if c.IsSet("max-redirects") && t.MaxRedirects == 0 {
		t.MaxRedirects = -1
	}
	if c.Bool("head") {
		t.Method = "HEAD"
	}
	var err error
	if t.MaxBytes, err = parseSize("--max-size", c.String("max-size")); err != nil {
		return t, err
	}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return t, usagef(`--header "Accept: text/html"`, "--header %q has no colon", h)
		}
		if t.Headers == nil {
			t.Headers = map[string]string{}
		}
		t.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	for _, list := range c.StringSlice("list") {
		if err := p.addList(&t, list); err != nil {
			return t, err
		}
	}
	if len(t.URLs)+len(t.Lists) == 0 {
		return t, usagef("weft cpu fetch URL…, or --list FILE", "weft cpu fetch needs URLs")
	}
	if t.Discard || c.Bool("head") {
		if c.IsSet("to") {
			return t, usagef("leave --to out", "--discard and --head write no files")
		}
		return t, nil
	}
	t.To, err = absolute(firstOf(c.String("to"), "."))
	return t, err
}

// addList adds a list: a file's name, for the daemon to read, or the lines of the
// standard input.
func (p *program) addList(t *fetchTask, list string) error {
	if list != "-" {
		path, err := absolute(list)
		t.Lists = append(t.Lists, path)
		return err
	}
	lines, err := readNames(p.stdin, false)
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	for _, line := range lines {
		if text := strings.TrimSuffix(string(line), "\r"); text != "" && !strings.HasPrefix(text, "#") {
			t.URLs = append(t.URLs, text)
		}
	}
	return nil
}
