package client

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"weft/client/nearest"
)

// ServeOptions are the flags of weft serve. Zero values mean that the daemon
// chooses: its own state directory and socket, all cores, a share of memory.
type ServeOptions struct {
	StateDir    string             // "": $WEFT_STATE, else as docs say
	Socket      string             // "": $XDG_RUNTIME_DIR/weft.sock, else in StateDir
	Listen      string             // host:port; "": no TCP
	TLSCert     string             // PEM file; needed with Listen
	TLSKey      string             // PEM file; needed with Listen
	TokenFile   string             // needed with Listen
	Devices     []string           // to serve: auto, cpu, gpu, gpu:0; none: auto
	Sharing     string             // how jobs share a device: auto, sequential, streams, fused
	Threads     int                // of the CPU device; 0: all cores
	Slots       int                // jobs resident at once; 0: the daemon's default
	MemoryBytes int64              // for jobs and their data on the CPU; 0: the daemon's default
	GPUBytes    int64              // for jobs and their data on a GPU; 0: all of its memory
	Weights     map[string]float64 // owners' shares; those not named have 1
	AllowUsers  []string           // who may use the socket besides its owner
	SampleEvery time.Duration      // between samples of the devices' sensors
	Watchdog    time.Duration      // 0: the daemon's default
	LogLevel    string             // debug, info, warn or error
}

var (
	logLevels = []string{"debug", "info", "warn", "error"}
	sharings  = []string{"auto", "sequential", "streams", "fused"}
)

// Between these, samples neither cost much nor miss what happens.
const leastSample, mostSample = 100 * time.Millisecond, time.Minute

func (p *program) serveVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "serve", Category: groupDaemon,
			Usage: "run the daemon, in the foreground",
			Description: `Runs the daemon until it is interrupted; then every running job writes a
checkpoint and goes on when the daemon is started again. A second interrupt ends
it at once. A line on the standard error says when it accepts.

Each flag can be given as a variable; the flag wins. TCP is off unless --listen
is given, and then wants a certificate and a token.`,
			Flags: serveFlags(),
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				o, err := readServe(c)
				if err != nil {
					return err
				}
				if p.app.Serve == nil {
					return errors.New("this program was built without the daemon")
				}
				return p.app.Serve(c.Context, o)
			},
		},
		examples: []example{
			{"weft serve", "for yourself"},
			{"weft serve --memory 8GiB --slots 64", "with limits of its own"},
			{"weft serve --device gpu:0,gpu:1", "on two of the GPUs, and not on the CPU"},
			{"weft serve --weight alice=2 --allow-user alice,bob", "for others too, alice with twice the share"},
			{"weft serve --listen :7337 --tls-cert c.pem --tls-key k.pem --token-file t", "over TCP"},
		},
		exits: []exit{{exitFailed, "the daemon could not start, or another one holds the state directory"}},
	}
}

func serveFlags() []cli.Flag {
	str := func(name, env, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, EnvVars: []string{env}, Usage: usage}
	}
	return []cli.Flag{
		str("state-dir", "WEFT_STATE", "`DIRECTORY` of jobs, models and metrics; default ~/.local/state/weft"),
		str("socket", "WEFT_SOCKET", "`PATH` of the socket; default $XDG_RUNTIME_DIR/weft.sock, else in the state directory"),
		str("listen", "WEFT_LISTEN", "`ADDRESS` to listen on over TCP too, as :7337"),
		str("tls-cert", "WEFT_TLS_CERT", "certificate `FILE`, PEM"),
		str("tls-key", "WEFT_TLS_KEY", "key `FILE`, PEM"),
		str("token-file", "WEFT_TOKEN_FILE", "`FILE` with the token that clients must show over TCP"),
		&cli.StringSliceFlag{Name: "device", EnvVars: []string{"WEFT_DEVICE"},
			Usage: "`DEVICES` to serve: auto, cpu, gpu, gpu:0; default auto, the CPU and every GPU; may be repeated"},
		&cli.StringFlag{Name: "sharing", Value: "auto", EnvVars: []string{"WEFT_SHARING"},
			Usage: "`HOW` jobs share a device: auto, sequential, streams, fused; results are the same"},
		&cli.IntFlag{Name: "threads", EnvVars: []string{"WEFT_THREADS"},
			Usage: "CPU `THREADS` to train with; default all cores"},
		&cli.IntFlag{Name: "slots", EnvVars: []string{"WEFT_SLOTS"}, Usage: "`JOBS` on a device at once, at most"},
		str("memory", "WEFT_MEMORY", "`SIZE` for jobs and their data on the CPU, as 64GiB; default a share of the machine's"),
		str("gpu-memory", "WEFT_GPU_MEMORY", "`SIZE` for jobs and their data on a GPU, as 64GiB; default all of its memory"),
		&cli.StringSliceFlag{Name: "weight", EnvVars: []string{"WEFT_WEIGHT"},
			Usage: "`OWNER=N`: the owner's share against others' 1; may be repeated"},
		&cli.StringSliceFlag{Name: "allow-user", EnvVars: []string{"WEFT_ALLOW_USER"},
			Usage: "`USER` who may use the socket too; may be repeated"},
		&cli.DurationFlag{Name: "sample-every", Value: time.Second, EnvVars: []string{"WEFT_SAMPLE_EVERY"},
			Usage: "`DURATION` between samples of the devices' sensors, 100ms to 1m"},
		&cli.DurationFlag{Name: "watchdog", EnvVars: []string{"WEFT_WATCHDOG"},
			Usage: "`DURATION` without a sign of life until the state is dumped; default 30s"},
		&cli.StringFlag{Name: "log-level", Value: "info", EnvVars: []string{"WEFT_LOG_LEVEL"},
			Usage: "`LEVEL`: debug, info, warn or error"},
	}
}

var deviceName = regexp.MustCompile(`^(auto|cpu|gpu(:?[0-9]{1,3})?)$`)

// readServe reads and checks what can be checked without the daemon.
func readServe(c *cli.Context) (ServeOptions, error) {
	o := ServeOptions{
		StateDir: c.String("state-dir"), Socket: c.String("socket"), Listen: c.String("listen"),
		TLSCert: c.String("tls-cert"), TLSKey: c.String("tls-key"), TokenFile: c.String("token-file"),
		Threads: c.Int("threads"), Slots: c.Int("slots"), Watchdog: c.Duration("watchdog"),
		SampleEvery: c.Duration("sample-every"),
		LogLevel:    c.String("log-level"), Sharing: c.String("sharing"),
		Devices:    splitAll(c.StringSlice("device")),
		AllowUsers: splitAll(c.StringSlice("allow-user")),
	}
	var err error
	switch {
	case o.Threads < 0:
		return o, usagef("--threads 2", "--threads %d is negative", o.Threads)
	case o.Slots < 0:
		return o, usagef("--slots 64", "--slots %d is negative", o.Slots)
	case o.Watchdog < 0:
		return o, usagef("--watchdog 30s", "--watchdog %s is negative", o.Watchdog)
	case o.SampleEvery < leastSample || o.SampleEvery > mostSample:
		return o, usagef("--sample-every 1s", "--sample-every %s is not between %s and %s", o.SampleEvery, leastSample, mostSample)
	case o.Listen != "" && (o.TLSCert == "" || o.TLSKey == "" || o.TokenFile == ""):
		return o, usagef("--tls-cert, --tls-key and --token-file; or the unix socket through ssh -L",
			"--listen wants a certificate, its key and a token file")
	case o.Listen == "" && (o.TLSCert != "" || o.TLSKey != "" || o.TokenFile != ""):
		return o, usagef("--listen :7337", "a certificate or token without --listen would do nothing")
	}
	if !slices.Contains(logLevels, o.LogLevel) {
		return o, usagef("--log-level "+firstOf(nearest.Name(o.LogLevel, logLevels), "info"),
			"unknown log level %q", o.LogLevel)
	}
	if !slices.Contains(sharings, o.Sharing) {
		return o, usagef("--sharing "+firstOf(nearest.Name(o.Sharing, sharings), "auto"),
			"unknown way of sharing %q", o.Sharing)
	}
	for _, d := range o.Devices {
		if !deviceName.MatchString(d) {
			return o, usagef("--device auto, cpu, gpu or gpu:0", "unknown device %q", d)
		}
	}
	if o.GPUBytes, err = parseSize("--gpu-memory", c.String("gpu-memory")); err != nil {
		return o, err
	}
	if o.MemoryBytes, err = parseSize("--memory", c.String("memory")); err != nil {
		return o, err
	}
	o.Weights, err = parseWeights(c.StringSlice("weight"))
	return o, err
}

// parseSize reads a size such as 64GiB; 64G is 10⁹ bytes each, as everywhere.
func parseSize(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > 1<<60 {
		return 0, usagef(flag+" 64GiB", "%s: %q is not a size", flag, s)
	}
	return int64(n), nil
}

func parseWeights(pairs []string) (map[string]float64, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	weights := map[string]float64{}
	for _, pair := range splitAll(pairs) {
		owner, value, ok := strings.Cut(pair, "=")
		w, err := strconv.ParseFloat(value, 64)
		if !ok || owner == "" || err != nil || !(w > 0 && w <= 1e6) {
			return nil, usagef("--weight alice=2", "--weight %q is not owner=number above 0", pair)
		}
		weights[owner] = w
	}
	return weights, nil
}

// splitAll splits values at commas, for flags whose values hold none.
func splitAll(values []string) []string {
	var out []string
	for _, v := range values {
		for _, part := range strings.Split(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}
