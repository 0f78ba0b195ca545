package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/daemon/watchdog"
)

const (
	drainTimeout    = 60 * time.Second // for devices to write checkpoints
	shutdownTimeout = 5 * time.Second  // for requests under way
)

// A Daemon holds a state directory, devices and a socket from New until Run
// returns or Close is called.
type Daemon struct {
	cfg     Config
	log     *slog.Logger
	lock    *os.File
	store   *store.Store
	hw      hardware
	owner   *owner
	samples *sampler
	meter   *meter
	hub     *hub
	http    []*endpoint
	dog     *watchdog.Watchdog

	aborted chan struct{} // closed by Abort
	abort   sync.Once
	closing sync.Once
	loops   sync.WaitGroup // owner, pumps, sampler, listeners and watchdog
	endDog  context.CancelFunc
}

// An endpoint is a listener and its server.
type endpoint struct {
	listener net.Listener
	tls      *tls.Config // nil on the unix socket
	server   *http.Server
	url      string
}

// New takes the state directory, opens the store and the devices and listens;
// jobs that ran when the last daemon ended are queued again. Nothing runs and
// nobody is answered before Run. Errors that a user can do something about
// are [*api.Error].
func New(ctx context.Context, cfg Config) (*Daemon, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, func() (hardware, error) { return openHardware(ctx, cfg) })
}

// open is New with any hardware, which it opens after the state directory is
// known to be free.
func open(ctx context.Context, cfg Config, devices func() (hardware, error)) (d *Daemon, err error) {
	d = &Daemon{cfg: cfg, log: cfg.Log, aborted: make(chan struct{})}
	defer func() {
		if err != nil {
			d.release()
			d = nil
		}
	}()
	if err = makeStateDir(cfg.StateDir); err != nil {
		return
	}
	if d.lock, err = lockDir(cfg.StateDir); err != nil {
		return
	}
	if d.store, err = store.Open(ctx, filepath.Join(cfg.StateDir, storeName)); err != nil {
		return
	}
	if err = d.cleanRemoved(ctx); err != nil {
		return
	}
	last, err := d.store.LastEvent(ctx)
	if err != nil {
		return d, fmt.Errorf("read last event: %w", err)
	}
	d.hub = newHub(last)
	meter := newMeter()
	d.meter = meter
	d.store.OnCommit(meter.Committed)
	d.dog = watchdog.New(watchdog.Config{
		Limit: cfg.Watchdog, Dir: filepath.Join(cfg.StateDir, "watchdog"), Log: cfg.Log,
		OnTrip: func(r watchdog.Report) { meter.Tripped(r.Loop) },
	})
	var token string
	if d.http, token, err = d.listen(ctx); err != nil {
		return
	}
	if d.hw, err = devices(); err != nil {
		return
	}
	d.owner = newOwner(cfg, d.store, d.hub, meter, d.hw)
	d.owner.loop = d.dog.Loop("owner")
	if err = d.owner.restore(ctx); err != nil {
		return
	}
	d.samples = newSampler(cfg, d.store, d.hw.sensors, d.owner.seats)
	d.owner.drawn = d.samples.drawn
	d.meter.watch(d.owner, d.samples, d.hub, d.dog, version(cfg))
	d.serveWith(&server{
		cfg: cfg, log: cfg.Log, owner: d.owner, store: d.store, hub: d.hub, board: d.owner.board,
		meter: meter, scrape: meter.Handler(cfg.Log), gate: newGate(cfg.AllowUsers, token), dog: d.dog, gpus: d.hw.gpus, samples: d.samples,
		started: time.Now(), node: nodeName(),
	})
	return d, nil
}

func nodeName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

func (d *Daemon) listen(ctx context.Context) (eps []*endpoint, token string, err error) {
	l, err := listenUnix(ctx, d.cfg.Socket, len(d.cfg.AllowUsers) > 0)
	if err != nil {
		return nil, "", err
	}
	eps = append(eps, &endpoint{listener: l, url: "unix://" + d.cfg.Socket})
	if d.cfg.Listen == "" {
		return eps, "", nil
	}
	l, conf, token, err := listenTCP(ctx, d.cfg)
	if err != nil {
		return eps, "", err
	}
	return append(eps, &endpoint{listener: l, tls: conf, url: "https://" + l.Addr().String()}), token, nil
}

func (d *Daemon) serveWith(s *server) {
	for _, ep := range d.http {
		ep.server = s.newHTTPServer(ep.tls != nil)
		ep.listener = watchedListener{ep.listener, d.dog.Loop("accept " + ep.url)}
		if ep.tls != nil {
			ep.listener = tls.NewListener(ep.listener, ep.tls)
		}
	}
}

// cleanRemoved finishes what weft rm began before a crash: the files of a job
// that the store still knows come back, others go.
func (d *Daemon) cleanRemoved(ctx context.Context) error {
	dir := filepath.Join(d.cfg.StateDir, jobsName)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read jobs' directory: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), removedSuffix)
		if !ok {
			continue
		}
		id, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			continue
		}
		if err := d.finishRemoval(ctx, id, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Daemon) finishRemoval(ctx context.Context, id int64, path string) error {
	_, err := d.store.Job(ctx, id)
	var known *api.Error
	switch {
	case err == nil:
		err = os.Rename(path+removedSuffix, path)
	case errors.As(err, &known) && known.Code == api.CodeNotFound:
		err = os.RemoveAll(path + removedSuffix)
	default:
	}
	if err != nil {
		return fmt.Errorf("clean up after job %d: %w", id, err)
	}
	return nil
}

// Run serves until ctx ends, then drains: nothing more starts, jobs write
// their checkpoints and are queued again, and everything is closed. A second
// signal is for [Daemon.Abort].
func (d *Daemon) Run(ctx context.Context) error {
	defer d.Close()
	failed := make(chan error, len(d.http))
	d.start(failed)
	url := d.http[0].url
	d.log.Info("serving", "socket", url, "state", d.cfg.StateDir, "pid", os.Getpid())
	notify := startNotify(d.log, d.dog)
	d.cfg.Ready(url)
	var err error
	select {
	case <-ctx.Done():
	case <-d.aborted:
	case err = <-failed:
		d.log.Error("listener failed", "error", err)
	}
	notify.stopping()
	d.drain()
	return errors.Join(err, d.shutdown())
}

// start sets everything going that Run waits for.
func (d *Daemon) start(failed chan<- error) {
	ctx, stop := context.WithCancel(context.Background())
	d.endDog = stop
	d.loops.Go(func() { d.dog.Run(ctx) })
	d.loops.Go(d.owner.run)
	d.loops.Go(func() { d.samples.run(ctx, d.dog.Loop("samples")) })
	d.loops.Go(func() { d.samples.keep(ctx) })
	d.loops.Go(func() { d.meter.watchDisk(ctx, d.cfg.StateDir) })
	for _, s := range d.owner.seats {
		loop := d.dog.Loop("device " + s.info.ID)
		d.loops.Go(func() { d.owner.pump(s, loop) })
	}
	for _, ep := range d.http {
		d.loops.Go(func() {
			if err := ep.server.Serve(ep.listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", ep.url, err)
			}
		})
	}
}

// drain ends all jobs' residencies, in order unless aborted.
func (d *Daemon) drain() {
	d.log.Info("stopping: jobs write their checkpoints; a second signal ends it at once")
	ctx, stop := context.WithTimeout(context.Background(), drainTimeout)
	defer stop()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		d.owner.drain(ctx)
	}()
	select {
	case <-closed:
	case <-d.aborted:
		d.owner.abort()
		for _, dev := range d.hw.devices {
			dev.Kill()
		}
		stop()
		<-closed
	}
}

// Abort makes Run return without waiting for jobs: their workers are killed,
// and they go on from their last checkpoints at the next start.
func (d *Daemon) Abort() { d.abort.Do(func() { close(d.aborted) }) }

// shutdown ends the listeners, streams first.
func (d *Daemon) shutdown() error {
	d.hub.close()
	ctx, stop := context.WithTimeout(context.Background(), shutdownTimeout)
	defer stop()
	var g errgroup.Group
	for _, ep := range d.http {
		g.Go(func() error {
			if err := ep.server.Shutdown(ctx); err != nil {
				_ = ep.server.Close() // what does not end in time is cut off
			}
			return nil
		})
	}
	return g.Wait()
}

// Close releases everything that New took. Run does it, too.
func (d *Daemon) Close() error {
	d.closing.Do(d.release)
	return nil
}

// release gives everything back, in the reverse order of open; parts that
// open did not come to are nil.
func (d *Daemon) release() {
	if d.owner != nil {
		d.owner.abort()
	}
	for _, dev := range d.hw.devices {
		dev.Kill()
	}
	if d.hw.loader != nil {
		ctx, stop := context.WithTimeout(context.Background(), shutdownTimeout)
		defer stop()
		d.warn("close loader", d.hw.loader.Close(ctx))
	}
	for _, ep := range d.http {
		if ep.server != nil {
			_ = ep.server.Close()
		}
		_ = ep.listener.Close() // closed twice if the server did
	}
	if d.endDog != nil {
		d.endDog()
	}
	d.loops.Wait()
	if d.owner != nil {
		d.owner.loads.Wait()
	}
	if d.store != nil {
		d.warn("close store", d.store.Close())
	}
	if len(d.http) > 0 {
		d.warn("remove socket", os.Remove(d.cfg.Socket))
	}
	if d.lock != nil {
		_ = d.lock.Close() // gives the lock back
	}
}

func (d *Daemon) warn(what string, err error) {
	if err != nil {
		d.log.Warn(what, "error", err)
	}
}
