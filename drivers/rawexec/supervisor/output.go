//go:build linux

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
)

// pipes are those for a task's output, in the order of its descriptors; nil where none is kept.
type pipes [2]*output.Pipe

// pipes makes the pipes for a task's output.
func (s *server) pipes(l *Launch) (out pipes, err error) {
	for i, o := range []drivers.Output{l.Stdout, l.Stderr} {
		if o == (drivers.Output{}) {
			continue
		}
		if out[i], err = s.logs.Pipe(o); err == nil && l.User != nil {
			err = out[i].Writer.Chown(int(l.User.UID), int(l.User.GID)) // who may open /dev/stdout
		}
		if err != nil {
			return pipes{}, errors.Join(err, out.close())
		}
	}
	return out, nil
}

// files are what a task gets as its output.
func (p pipes) files(null *os.File) []uintptr {
	fds := []uintptr{null.Fd(), null.Fd()}
	for i, pipe := range p {
		if pipe != nil {
			fds[i] = pipe.Writer.Fd()
		}
	}
	return fds
}

func (p pipes) close() error {
	var errs []error
	for _, pipe := range p {
		if pipe != nil {
			errs = append(errs, pipe.Close())
		}
	}
	return errors.Join(errs...)
}

// drain moves what the task has written until now into its log.
func (p pipes) drain(task string) {
	for _, pipe := range p {
		if pipe != nil {
			complain(task, pipe.Drain())
		}
	}
}

// pump moves what a task writes into its log, and what is left of the task when it has ended: the
// supervisor stays until nobody can write any more. Called with s.mu held.
func (s *server) pump(ctx context.Context, task string, all pipes) {
	for _, pipe := range all {
		if pipe == nil {
			continue
		}
		s.open++
		s.pumps.Go(func() {
			complain(task, pipe.Writer.Close())
			complain(task, pipe.Run(ctx))
			s.mu.Lock()
			s.open--
			s.mu.Unlock()
			s.poke()
		})
	}
}

// complain writes an error of a task to the supervisor's log.
func complain(task string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s: %v\n", time.Now().Format(time.RFC3339), task, err)
	}
}
