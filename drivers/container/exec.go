//go:build linux

package container

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/nomadish/nomadish/drivers"
)

// Exec runs a command inside a task, with the task's user, environment and limits; see
// drivers.Execer. The caller ends a blocked req.Stdin once Exec has returned.
func (r *Runtime) Exec(ctx context.Context, h *drivers.Handle, req *drivers.ExecRequest) (int, error) {
	if len(req.Command) == 0 {
		return 0, errors.New("exec: no command")
	}
	st, err := stateOf(h)
	if err != nil {
		return 0, err
	}
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return 0, err
	}
	code, err := r.exec(ctx, c, st, req)
	if err != nil {
		return 0, fmt.Errorf("task %s: exec: %w", h.ID, err)
	}
	return code, nil
}

func (r *Runtime) exec(ctx context.Context, c *client.Client, st state, req *drivers.ExecRequest) (code int, err error) {
	process, err := r.newExec(ctx, c, st, req)
	if err != nil {
		return 0, err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		_, left := process.Delete(clean, client.WithProcessKill)
		err = errors.Join(err, ignoreNotFound(left))
	}()
	ended, err := process.Wait(ctx) // before Start, or a short command's end is missed
	if err != nil {
		return 0, err
	}
	if err := process.Start(ctx); err != nil {
		return 0, err
	}
	var status client.ExitStatus
	for waiting := true; waiting; {
		select {
		case status = <-ended:
			waiting = false
		case size, ok := <-req.Resize:
			if !ok {
				req.Resize = nil
			} else if err := process.Resize(ctx, uint32(size.Width), uint32(size.Height)); err != nil {
				r.cfg.Logger.Debug("resize a terminal", "err", err) // the command may have ended
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err := status.Error(); err != nil {
		return 0, err
	}
	if req.TTY {
		process.IO().Cancel()
	}
	process.IO().Wait() // all output is with the caller
	return int(status.ExitCode()), nil
}

// newExec makes the process, not yet started.
func (r *Runtime) newExec(ctx context.Context, c *client.Client, st state, req *drivers.ExecRequest) (client.Process, error) {
	ct, err := c.LoadContainer(ctx, st.Container)
	if err != nil {
		return nil, err
	}
	spec, err := ct.Spec(ctx)
	if err != nil {
		return nil, err
	}
	task, err := ct.Task(ctx, nil)
	if err != nil {
		return nil, err
	}
	p := *spec.Process
	p.Args, p.Terminal = req.Command, req.TTY
	if err := os.MkdirAll(r.l.Streams(), 0o700); err != nil {
		return nil, err
	}
	in := &stdin{r: req.Stdin}
	streams := []cio.Opt{cio.WithStreams(in.reader(), orDiscard(req.Stdout), orDiscard(req.Stderr)), cio.WithFIFODir(r.l.Streams())}
	if req.TTY {
		streams = append(streams, cio.WithTerminal)
	}
	process, err := task.Exec(ctx, "exec-"+rand.Text(), &p, cio.NewCreator(streams...))
	if err != nil {
		return nil, err
	}
	in.onEnd(func() {
		// The command has to see the end of its input; one that is gone need not.
		_ = process.CloseIO(context.WithoutCancel(ctx), client.WithStdinCloser)
	})
	return process, nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// stdin passes a reader on and says once when it is at its end.
type stdin struct {
	r     io.Reader
	mu    sync.Mutex
	ended bool
	end   func()
}

func (s *stdin) reader() io.Reader {
	if s.r == nil {
		return nil
	}
	return s
}

func (s *stdin) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil {
		s.mu.Lock()
		s.ended = true
		end := s.end
		s.mu.Unlock()
		if end != nil {
			end()
		}
	}
	return n, err
}

// onEnd calls end when the input is, or was, at its end.
func (s *stdin) onEnd(end func()) {
	s.mu.Lock()
	s.end = end
	ended := s.ended
	s.mu.Unlock()
	if ended {
		end()
	}
}
