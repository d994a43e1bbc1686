// Package function is a driver for embedders: its tasks are calls of a Go function in the
// agent's own process.
//
//	hello := function.New(func(ctx context.Context, t *drivers.TaskSpec) int {
//		fmt.Println("hello from", t.Task)
//		return 0
//	})
//
// Such a task does not outlive the agent: one that ran when the agent ended is lost. What is to
// be in its logs it writes itself, with package output.
package function

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nomadish/nomadish/drivers"
)

// Func is a task: it runs until it is done or ctx ends, and returns its exit code.
type Func func(ctx context.Context, task *drivers.TaskSpec) int

// Driver calls a function for each task.
type Driver struct {
	run   Func
	mu    sync.Mutex
	tasks map[string]*task
}

type task struct {
	cancel context.CancelFunc
	ended  chan struct{}
	exit   drivers.Exit // set before ended is closed
}

// New returns a driver whose tasks are calls of f.
func New(f Func) *Driver { return &Driver{run: f, tasks: map[string]*task{}} }

// Fingerprint reports the driver as healthy.
func (d *Driver) Fingerprint(context.Context) (drivers.Fingerprint, error) {
	return drivers.Fingerprint{Health: drivers.Healthy}, nil
}

// Schema is nil: the function reads the config block as it likes.
func (d *Driver) Schema() drivers.Schema { return nil }

// Start calls the function in a goroutine that Stop and Remove end and wait for.
func (d *Driver) Start(_ context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := &drivers.Handle{ID: spec.ID}
	if d.tasks[spec.ID] != nil {
		return h, nil
	}
	ctx, cancel := context.WithCancel(context.Background()) // ends with the task, not with Start
	t := &task{cancel: cancel, ended: make(chan struct{})}
	d.tasks[spec.ID] = t
	go func() {
		defer close(t.ended)
		t.exit = d.call(ctx, spec)
		t.exit.Time = time.Now()
	}()
	return h, nil
}

// call turns a panic of the function into a failed task.
func (d *Driver) call(ctx context.Context, spec *drivers.TaskSpec) (exit drivers.Exit) {
	defer func() {
		if p := recover(); p != nil {
			exit = drivers.Exit{Code: 2, Err: fmt.Sprintf("task panicked: %v", p)}
		}
	}()
	return drivers.Exit{Code: d.run(ctx, spec)}
}

func (d *Driver) task(id string) (*task, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tasks[id]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("task %s: %w", id, drivers.ErrTaskLost)
}

// Recover finds a task of this very driver.
func (d *Driver) Recover(_ context.Context, h *drivers.Handle) error {
	_, err := d.task(h.ID)
	return err
}

// Wait returns when the function has returned.
func (d *Driver) Wait(ctx context.Context, h *drivers.Handle) (drivers.Exit, error) {
	t, err := d.task(h.ID)
	if err != nil {
		return drivers.Exit{}, err
	}
	select {
	case <-t.ended:
		return t.exit, nil
	case <-ctx.Done():
		return drivers.Exit{}, ctx.Err()
	}
}

// Stop ends the function's context and waits for it to return, grace or not: a goroutine
// cannot be killed.
func (d *Driver) Stop(ctx context.Context, h *drivers.Handle, _ string, _ time.Duration) error {
	t, err := d.task(h.ID)
	if err != nil {
		return err
	}
	t.cancel()
	_, err = d.Wait(ctx, h)
	return err
}

// Remove ends the task and forgets it.
func (d *Driver) Remove(ctx context.Context, h *drivers.Handle) error {
	err := d.Stop(ctx, h, "", 0)
	if errors.Is(err, drivers.ErrTaskLost) {
		return nil
	}
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.tasks, h.ID)
	}
	return err
}
