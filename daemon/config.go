package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weft/daemon/api"
	"weft/gpu"
)

// Config is what weft serve is told. StateDir and Program are required.
type Config struct {
	StateDir    string   // database, jobs' files, lock; made with mode 0700
	Socket      string   // default: weft.sock in StateDir
	Devices     []string // to serve: auto, cpu, gpu, gpu:0; none: auto
	Sharing     gpu.Sharing
	Threads     int    // lanes of the CPU device; 0: one per core
	Slots       int    // jobs resident on a device at most; 0: its default
	MemoryBytes int64  // for jobs on the CPU device; 0: its default
	Program     string // path of weft itself, started again as worker

	GPUMemoryBytes int64 // for jobs on a GPU; 0: all of its memory

	// Listen is a TCP address for other machines, off by default. It wants a
	// certificate and a token, each in a file, and is refused without.
	Listen    string
	CertFile  string // PEM
	KeyFile   string // PEM
	TokenFile string // the bearer token, one line

	Owners      map[string]float64 // shares of device time by user name; default 1 each
	AllowUsers  []string           // who else may use the socket; they read files with the daemon's rights
	SampleEvery time.Duration      // between samples of the devices' sensors; 0: 1 s
	Watchdog    time.Duration      // a loop silent for so long is reported; 0: 30 s
	Version     string             // shown by weft version; "": from the build
	Log         *slog.Logger       // default: slog.Default()

	// Ready is called once, when requests are accepted, with the socket's URL.
	Ready func(url string)
}

const (
	lockName   = "lock"
	storeName  = "weft.db"
	jobsName   = "jobs"
	socketName = "weft.sock"
	// Linux's sockaddr_un holds 108 bytes with the final zero.
	maxSocketPath = 107
)

// complete checks c and fills in defaults.
func (c Config) complete() (Config, error) {
	if c.StateDir == "" {
		return c, errors.New("open state directory: no directory given")
	}
	dir, err := filepath.Abs(c.StateDir)
	if err != nil {
		return c, fmt.Errorf("open state directory: %w", err)
	}
	c.StateDir = dir
	if c.Socket == "" {
		c.Socket = filepath.Join(dir, socketName)
	}
	if c.Socket, err = filepath.Abs(c.Socket); err != nil {
		return c, fmt.Errorf("place socket: %w", err)
	}
	if len(c.Socket) > maxSocketPath {
		return c, &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("socket path %s is longer than %d bytes", c.Socket, maxSocketPath),
			Hint:    "choose a shorter one: weft serve --socket /tmp/weft.sock"}
	}
	if c.Watchdog <= 0 {
		c.Watchdog = 30 * time.Second
	}
	if c.SampleEvery <= 0 {
		c.SampleEvery = sampleEvery
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Ready == nil {
		c.Ready = func(string) {}
	}
	if err := c.checkUsers(); err != nil {
		return c, err
	}
	return c, c.checkListen()
}

// checkUsers refuses a socket that the users allowed could never reach.
func (c Config) checkUsers() error {
	inside, err := filepath.Rel(c.StateDir, c.Socket)
	if len(c.AllowUsers) == 0 || err != nil || inside == ".." || strings.HasPrefix(inside, "../") {
		return nil
	}
	return &api.Error{Code: api.CodeInvalid,
		Message: fmt.Sprintf("other users cannot reach %s: the state directory is closed to them", c.Socket),
		Hint:    "put the socket elsewhere: weft serve --socket /run/weft/weft.sock"}
}

func (c Config) checkListen() error {
	if c.Listen == "" {
		return nil
	}
	if c.CertFile == "" || c.KeyFile == "" || c.TokenFile == "" {
		return &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("listening on %s needs a TLS certificate, its key and a token", c.Listen),
			Hint:    "give --tls-cert, --tls-key and --token-file, or leave --listen out and use the unix socket"}
	}
	return nil
}

// makeStateDir makes the state directory, and takes other users' rights away
// from one that is there.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, jobsName), 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	// #nosec G302 -- a directory
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("protect state directory: %w", err)
	}
	return nil
}

// jobDir is where a job's checkpoint and model lie.
func (c Config) jobDir(id int64) string {
	return filepath.Join(c.StateDir, jobsName, fmt.Sprint(id))
}
