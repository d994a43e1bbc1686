//go:build linux

package container

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
)

// logged has the shim write a task's output to its logs, so that nobody has to be there to
// read it.
type logged struct{ streams cio.Config }

// Config says which logs.
func (l logged) Config() cio.Config { return l.streams }

// Cancel has nothing to end: nothing of ours copies.
func (logged) Cancel() {}

// Wait has nothing to wait for.
func (logged) Wait() {}

// Close has nothing to close.
func (logged) Close() error { return nil }

// streams says where a task's output goes. stdin, where there is one, is a pipe that nobody ever
// writes: the shim waits for its first writer, and the task for its input.
func streams(spec *drivers.TaskSpec, tty bool, stdin string) (cio.Creator, error) {
	if stdin != "" {
		if err := unix.Mkfifo(stdin, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	}
	to := cio.Config{Stdin: stdin, Stdout: address(spec.Stdout), Stderr: address(spec.Stderr), Terminal: tty}
	if tty {
		to.Stderr = "" // a terminal is one stream
	}
	return func(string) (cio.IO, error) { return logged{to}, nil }, nil
}

// address is what the shim calls an output.
func address(o drivers.Output) string {
	if o == (drivers.Output{}) {
		return os.DevNull
	}
	return output.Address(o)
}
