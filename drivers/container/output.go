//go:build linux

package container

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// plainIO has the shim write a task's output to files, so that nobody has to be there to
// read it.
type plainIO struct{ files cio.Config }

// Config says which files.
func (p plainIO) Config() cio.Config { return p.files }

// Cancel has nothing to end: nothing of ours copies.
func (p plainIO) Cancel() {}

// Wait has nothing to wait for.
func (p plainIO) Wait() {}

// Close has nothing to close.
func (p plainIO) Close() error { return nil }

// spool makes sure that the task's output files are there: the shim appends to a file but
// makes a pipe of what it does not find. stdin, where there is one, is a pipe that nobody ever
// writes: the shim waits for its first writer, and the task for its input.
func spool(spec *drivers.TaskSpec, tty bool, stdin string) (cio.Creator, error) {
	files := cio.Config{
		Stdin: stdin, Stdout: cmp.Or(spec.Stdout, os.DevNull), Stderr: cmp.Or(spec.Stderr, os.DevNull), Terminal: tty,
	}
	if stdin != "" {
		if err := unix.Mkfifo(stdin, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	}
	for _, path := range []string{files.Stdout, files.Stderr} {
		if path == os.DevNull {
			continue
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, fmt.Errorf("output file: %w", err)
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("output file %s is not a regular file", path)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	if tty {
		files.Stderr = "" // a terminal is one stream
	}
	return func(string) (cio.IO, error) { return plainIO{files}, nil }, nil
}
