//go:build linux

package container

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/process"
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
	passed := &relay{}
	command, err := r.newExec(ctx, c, st, req, passed)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, endExec(ctx, command, true))
			return
		}
		// The shim waits 2 s for output that what the command left running may hold open: the
		// caller need not.
		r.frees.Go(func() {
			if err := endExec(ctx, command, false); err != nil {
				r.cfg.Logger.Warn("free a command", "container", st.Container, "err", err)
			}
		})
	}()
	ended, err := command.Wait(ctx) // before Start, or a short command's end is missed
	if err != nil {
		return 0, err
	}
	if err := startExec(ctx, command); err != nil {
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
			} else if err := command.Resize(ctx, uint32(size.Width), uint32(size.Height)); err != nil {
				r.cfg.Logger.Debug("resize a terminal", "err", err) // the command may have ended
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err := status.Error(); err != nil {
		return 0, err
	}
	return int(status.ExitCode()), passed.rest(ctx, command.IO())
}

// startExec starts a command. A caller that goes away meanwhile does not interrupt that: the process
// could run then, and nobody would know it to end it and what it has started.
func startExec(ctx context.Context, command client.Process) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return command.Start(ctx)
}

// After a command's end its output has ended too when none came for so many ticks: what the
// command left running may hold it open.
const (
	quietTick  = 100 * time.Millisecond
	quietTicks = 3
)

// relay passes on what a command writes, and knows whether there is any.
type relay struct {
	pieces atomic.Int64 // that came so far
	passed atomic.Int64 // of them with the caller
}

// to returns a writer for the caller's; nil: nobody's.
func (r *relay) to(w io.Writer) io.Writer {
	if w == nil {
		w = io.Discard
	}
	return &relayWriter{r, w}
}

type relayWriter struct {
	*relay
	w io.Writer
}

func (r *relayWriter) Write(b []byte) (int, error) {
	r.pieces.Add(1)
	defer r.passed.Add(1)
	return r.w.Write(b)
}

// rest returns when all output is with the caller, however slow it is.
func (r *relay) rest(ctx context.Context, streams cio.IO) error {
	all := make(chan struct{})
	go func() { defer close(all); streams.Wait() }()
	defer func() { streams.Cancel(); <-all }()
	tick := time.NewTicker(quietTick)
	defer tick.Stop()
	seen := r.pieces.Load()
	for still := 0; still < quietTicks; {
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		still++
		if now := r.pieces.Load(); now != seen || now != r.passed.Load() {
			seen, still = now, 0
		}
	}
	return nil
}

// endExec frees a command; whole kills all that it has started too.
func endExec(ctx context.Context, p client.Process, whole bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var err error
	if whole {
		err = killExec(ctx, int(p.Pid()))
	}
	_, left := p.Delete(ctx, client.WithProcessKill)
	if left != nil { // or it has closed them; a command that went with its shim is not found
		left = errors.Join(ignoreNotFound(left), closeStreams(p.IO()))
	}
	return errors.Join(err, left)
}

// closeStreams ends a command's streams and removes their files.
func closeStreams(streams cio.IO) error {
	streams.Cancel()
	streams.Wait()
	return streams.Close()
}

// killExec ends a command by its process, and all that it has started: runc makes each
// command lead a session.
func killExec(ctx context.Context, pid int) error {
	if leader, ok := process.Find(pid); ok {
		return leader.KillSession(ctx)
	}
	return nil
}

// execPrefix begins the IDs of commands in a container.
const execPrefix = "exec-"

// endExecs ends the commands in a container that an earlier agent was asked for: their callers
// have gone with it.
func (r *Runtime) endExecs(ctx context.Context, task client.Task) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	all, err := task.Pids(ctx)
	if err != nil {
		return ignoreNotFound(err)
	}
	var errs []error
	for _, p := range all {
		var known options.ProcessDetails
		if p.Info == nil || typeurl.UnmarshalTo(p.Info, &known) != nil || !strings.HasPrefix(known.ExecID, execPrefix) {
			continue // not one that runc was asked for
		}
		errs = append(errs, endLoaded(ctx, task, known.ExecID, int(p.Pid)))
		streams, err := filepath.Glob(filepath.Join(r.l.Streams(), "*", known.ExecID+"-*"))
		errs = append(errs, err)
		for _, s := range streams {
			errs = append(errs, os.RemoveAll(filepath.Dir(s)))
		}
	}
	return errors.Join(errs...)
}

// endLoaded ends and frees a command that is known by its ID.
func endLoaded(ctx context.Context, task client.Task, id string, pid int) error {
	command, err := task.LoadProcess(ctx, id, nil)
	if err != nil {
		return ignoreNotFound(err)
	}
	ended, err := command.Wait(ctx)
	if err != nil {
		return ignoreNotFound(err)
	}
	if err := killExec(ctx, pid); err != nil {
		return err
	}
	<-ended // or ctx
	_, err = command.Delete(ctx)
	return ignoreNotFound(err)
}

// newExec makes the process, not yet started.
func (r *Runtime) newExec(ctx context.Context, c *client.Client, st state, req *drivers.ExecRequest, out *relay) (client.Process, error) {
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
	if named := func(v string) bool { return strings.HasPrefix(v, "TERM=") }; req.TTY && !slices.ContainsFunc(p.Env, named) {
		p.Env = append(slices.Clone(p.Env), "TERM=xterm")
	}
	if size, ok := drivers.FirstSize(ctx, req); ok {
		p.ConsoleSize = &specs.Box{Width: uint(size.Width), Height: uint(size.Height)}
	}
	if err := os.MkdirAll(r.l.Streams(), 0o700); err != nil {
		return nil, err
	}
	in := &stdin{r: req.Stdin}
	streams := []cio.Opt{cio.WithStreams(in.reader(), out.to(req.Stdout), out.to(req.Stderr)), cio.WithFIFODir(r.l.Streams())}
	if req.TTY {
		streams = append(streams, cio.WithTerminal)
	}
	command, err := task.Exec(ctx, execPrefix+rand.Text(), &p, cio.NewCreator(streams...))
	if err != nil {
		return nil, err
	}
	in.onEnd(func() {
		// The command has to see the end of its input; one that is gone need not.
		_ = command.CloseIO(context.WithoutCancel(ctx), client.WithStdinCloser)
	})
	return command, nil
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
