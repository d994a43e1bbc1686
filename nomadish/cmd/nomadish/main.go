// Command nomadish is the orchestrator: agent and command line in one program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/nomadish/nomadish/nomadish/cli"
)

// version is set when a release is built.
var version = "dev"

func main() {
	if handled, code := subProgram(os.Args); handled {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Program{
		Version: version, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv, Environ: os.Environ(),
		Drivers: standardDrivers, Schemas: schemas, Providers: providers(),
	}, os.Args[1:])
	stop()
	os.Exit(code)
}
