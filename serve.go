package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"weft/client"
	"weft/daemon"
	"weft/daemon/api"
	"weft/gpu"
)

// serveDaemon runs the daemon until the first signal, which ends ctx, and has
// it drain; a second one ends it at once.
func serveDaemon(ctx context.Context, o client.ServeOptions, stderr io.Writer) error {
	cfg, err := daemonConfig(o, stderr)
	if err != nil {
		return err
	}
	d, err := daemon.New(ctx, cfg)
	if err != nil {
		return err
	}
	abortOnSecondSignal(d)
	return d.Run(ctx)
}

func daemonConfig(o client.ServeOptions, stderr io.Writer) (daemon.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return daemon.Config{}, fmt.Errorf("read log level: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return daemon.Config{}, fmt.Errorf("find the program to start workers with: %w", err)
	}
	state := cmp.Or(o.StateDir, api.StateDir(os.Getenv))
	return daemon.Config{
		StateDir: state, Socket: cmp.Or(o.Socket, defaultSocket(state)), Program: program, Version: version,
		Devices: o.Devices, Sharing: gpu.Sharing(o.Sharing),
		Threads: o.Threads, Slots: o.Slots, MemoryBytes: o.MemoryBytes, GPUMemoryBytes: o.GPUBytes,
		Listen: o.Listen, CertFile: o.TLSCert, KeyFile: o.TLSKey, TokenFile: o.TokenFile,
		Owners: o.Weights, AllowUsers: o.AllowUsers, Watchdog: o.Watchdog, SampleEvery: o.SampleEvery,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
		// For scripts and people alike, whatever the log's level.
		Ready: func(url string) { fmt.Fprintf(stderr, "weft: ready on %s\n", url) },
	}, nil
}

// defaultSocket is where clients look first.
func defaultSocket(state string) string {
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		return filepath.Join(runtime, "weft.sock")
	}
	return filepath.Join(state, "weft.sock")
}

// abortOnSecondSignal counts the signals, of which the first ends the context
// of the daemon's Run. Its goroutine ends with the process.
func abortOnSecondSignal(d *daemon.Daemon) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		<-signals
		d.Abort()
	}()
}
