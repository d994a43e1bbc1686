package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/socket"
)

func portForwardCommand() command {
	return command{
		words: "port-forward", args: "JOB [LOCAL:]PORT...", summary: "Reach ports of an allocation at ports of this machine",
		help: `  JOB is a job's ID, of which the newest running allocation is taken, or an allocation: its
  ID or name, or web/0 for number 0 of job web. PORT is a number inside the allocation's
  network, or the label of a port; LOCAL is the port here: by default the same number, or any
  free one for a label or for 0. Connections go through the agent that is asked and end with
  the command. Of a job the next connection takes another allocation once the one before has
  ended.`,
		example: "  nomadish port-forward web 8080:80\n  nomadish port-forward -task db shop/0 5432",
		exits: `  0    never: the command goes on until it is interrupted
  1    failed; standard error says why
  64   the command line is wrong
  130  an interrupt ended the command`,
		run: runPortForward,
	}
}

// forward passes connections to a local port on to a port of an allocation.
type forward struct {
	local, remote string
	listener      net.Listener
}

// forwarder holds what all forwards of a command share.
type forwarder struct {
	*call
	client *api.Client
	word   string // what names the job or allocation
	task   string
	open   chan struct{} // a place for each connection

	mu    sync.Mutex
	alloc *nomadish.Allocation
}

// maxForwarded bounds connections at a time.
const maxForwarded = 256

func runPortForward(ctx context.Context, c *call) error {
	f := &forwarder{call: c, open: make(chan struct{}, maxForwarded)}
	bind := ""
	c.remoteFlags()
	c.flags.StringVar(&f.task, "task", "", "`name` of the task whose network is meant, where each has its own")
	c.flags.StringVar(&bind, "bind", "127.0.0.1", "local `address` to listen on")
	client, err := c.dial(2, -1)
	if err != nil {
		return err
	}
	defer client.Close()
	f.client, f.word = client, c.args[0]
	var forwards []*forward
	for _, arg := range c.args[1:] {
		p, err := readForward(arg)
		if err != nil {
			return c.misused("%w", err)
		}
		forwards = append(forwards, p)
	}
	if err := f.resolve(ctx, nil); err != nil {
		return err
	}
	for _, p := range forwards {
		if p.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(bind, p.local)); err != nil {
			return err
		}
		defer p.listener.Close()
		if err := c.print("%s -> %s port %s\n", p.listener.Addr(), f.alloc.Name, p.remote); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var serving sync.WaitGroup
	for _, p := range forwards {
		serving.Go(func() { cancel(f.serve(ctx, p)) })
	}
	<-ctx.Done()
	for _, p := range forwards {
		p.listener.Close()
	}
	serving.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, net.ErrClosed) && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return &exit{code: ExitDetached}
}

// readForward reads [LOCAL:]PORT.
func readForward(text string) (*forward, error) {
	local, remote, both := strings.Cut(text, ":")
	if !both {
		local, remote = "", text
	}
	if !both {
		if _, err := strconv.ParseUint(remote, 10, 16); err == nil {
			local = remote
		} else {
			local = "0"
		}
	}
	if local == "" {
		local = "0"
	}
	if n, err := strconv.ParseUint(local, 10, 16); err != nil || remote == "" || remote == "0" || strings.Contains(remote, ":") {
		return nil, fmt.Errorf("%q is not [LOCAL:]PORT: local port %d, port %q", text, n, remote)
	}
	return &forward{local: local, remote: remote}, nil
}

// resolve finds the allocation that connections go to; failed is one that does not do any more.
func (f *forwarder) resolve(ctx context.Context, failed *nomadish.Allocation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.alloc != nil && f.alloc != failed {
		return nil // another connection has found it
	}
	a, err := f.target(ctx, f.client, f.word, true)
	if err == nil && a.ClientTerminal() {
		err = fmt.Errorf("allocation %s (%s) does not run: %s", short(a.ID), a.Name, a.ClientStatus)
	}
	if err != nil {
		return err
	}
	f.alloc = a
	return nil
}

func (f *forwarder) current() *nomadish.Allocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.alloc
}

// serve passes on what connects to a local port, until ctx ends.
func (f *forwarder) serve(ctx context.Context, p *forward) error {
	var passing sync.WaitGroup
	defer passing.Wait()
	for {
		select {
		case f.open <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		conn, err := p.listener.Accept()
		if err != nil {
			return err
		}
		passing.Go(func() {
			defer func() { <-f.open }()
			if err := f.pass(ctx, p, conn); err != nil && ctx.Err() == nil {
				fmt.Fprintf(f.Stderr, "%s  %s: %s\n", f.Now().Format(time.TimeOnly), p.listener.Addr(), printable(err.Error()))
			}
		})
	}
}

// pass connects one connection to the allocation.
func (f *forwarder) pass(ctx context.Context, p *forward, local net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer local.Close()
	a := f.current()
	remote, err := f.client.Allocations().PortForward(ctx, a.ID, f.task, p.remote)
	if errors.Is(err, nomadish.ErrNotFound) { // it may have been replaced
		if again := f.resolve(ctx, a); again != nil {
			return errors.Join(err, again)
		}
		remote, err = f.client.Allocations().PortForward(ctx, f.current().ID, f.task, p.remote)
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { local.Close() })
	defer stop()
	return socket.Join(local.(*net.TCPConn), remote)
}
