// Weft trains many small models on one device at once. This file puts its
// parts together: the client's command line, and the daemon and the workers
// that two of its commands run.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"weft/client"
)

// version is set by the linker; see Makefile.
var version string

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := client.App{
		Version: version,
		Worker:  runWorker,
		Serve: func(ctx context.Context, o client.ServeOptions) error {
			return serveDaemon(ctx, o, stderr)
		},
	}
	return client.Run(ctx, app, args, stdin, stdout, stderr)
}
