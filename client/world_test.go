package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
	"github.com/nomadish/nomadish/nomadish"
)

// world is a machine's processes: what runs in it goes on when a client is dropped. As a
// driver it keeps to the contract and counts what is asked of it.
type world struct {
	mu      sync.Mutex
	procs   map[string]*proc
	starts  map[string]int // by task ID: how often a process was made
	reaped  []string
	startFn func(*drivers.TaskSpec) error
}

// proc is one process.
type proc struct {
	spec    *drivers.TaskSpec
	ended   chan struct{}
	exit    drivers.Exit
	lost    bool
	removed bool
}

func newWorld() *world { return &world{procs: map[string]*proc{}, starts: map[string]int{}} }

func (w *world) Fingerprint(context.Context) (drivers.Fingerprint, error) {
	return drivers.Fingerprint{Health: drivers.Healthy, Attributes: map[string]string{"driver.world.version": "1"}}, nil
}

func (w *world) Schema() drivers.Schema {
	return drivers.Schema{
		"exits":  {Type: nomadish.ConfigNumber, Doc: "Ends at once with this code."},
		"prints": {Type: nomadish.ConfigString, Doc: "Is written at the start."},
	}
}

func (w *world) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	handle := &drivers.Handle{ID: spec.ID, Driver: "world"}
	if p := w.procs[spec.ID]; p != nil && !p.removed {
		return handle, nil
	}
	if w.startFn != nil {
		if err := w.startFn(spec); err != nil {
			return nil, err
		}
	}
	p := &proc{spec: spec, ended: make(chan struct{})}
	w.procs[spec.ID] = p
	w.starts[spec.ID]++
	if text, ok := spec.Config["prints"].(string); ok {
		if err := p.print(text); err != nil {
			return nil, err
		}
	}
	if code, ok := spec.Config["exits"].(float64); ok {
		p.end(drivers.Exit{Code: int(code)})
	}
	return handle, nil
}

func (p *proc) print(text string) error {
	log, err := output.Open(p.spec.Stdout)
	if err != nil {
		return err
	}
	_, err = io.WriteString(log, text)
	return errors.Join(err, log.Close())
}

func (p *proc) end(x drivers.Exit) {
	select {
	case <-p.ended:
	default:
		x.Time = time.Now()
		p.exit = x
		close(p.ended)
	}
}

func (w *world) find(h *drivers.Handle) (*proc, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.procs[h.ID]; p != nil && !p.removed && !p.lost {
		return p, nil
	}
	return nil, fmt.Errorf("%s: %w", h.ID, drivers.ErrTaskLost)
}

func (w *world) Recover(_ context.Context, h *drivers.Handle) error {
	_, err := w.find(h)
	return err
}

func (w *world) Wait(ctx context.Context, h *drivers.Handle) (drivers.Exit, error) {
	p, err := w.find(h)
	if err != nil {
		return drivers.Exit{}, err
	}
	select {
	case <-ctx.Done():
		return drivers.Exit{}, ctx.Err()
	case <-p.ended:
		return p.exit, nil
	}
}

func (w *world) Stop(_ context.Context, h *drivers.Handle, _ string, _ time.Duration) error {
	p, err := w.find(h)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.end(drivers.Exit{Code: 143, Signal: 15})
	return nil
}

func (w *world) Remove(_ context.Context, h *drivers.Handle) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.procs[h.ID]; p != nil {
		p.end(drivers.Exit{Code: 137, Signal: 9})
		p.removed = true
	}
	return nil
}

func (w *world) Signal(context.Context, *drivers.Handle, string) error { return nil }

func (w *world) Reap(_ context.Context, keep map[string]bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, p := range w.procs {
		if !keep[id] && !p.removed {
			p.end(drivers.Exit{Code: 137, Signal: 9})
			p.removed = true
			w.reaped = append(w.reaped, id)
		}
	}
	return nil
}

// kill ends a process from outside.
func (w *world) kill(id string, x drivers.Exit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.procs[id].end(x)
}

// running returns the IDs of the processes that run.
func (w *world) running() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for id, p := range w.procs {
		select {
		case <-p.ended:
		default:
			out = append(out, id)
		}
	}
	return out
}

// left counts what a driver still holds, running or not.
func (w *world) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, p := range w.procs {
		if !p.removed {
			n++
		}
	}
	return n
}
