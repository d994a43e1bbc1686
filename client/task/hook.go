package task

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Hook prepares one thing that a task needs. Prepare is called before every start, also
// for one that an earlier agent had prepared in part: what is there already stays.
//
// An error that is an InvalidError or that is not marked drivers.Recoverable fails the
// task; other errors fall under its restart policy.
type Hook interface {
	Name() string
	Prepare(ctx context.Context, s *Setup) error
}

// Restorer is a hook that must take up its work again for a task that was started before
// the agent was, whether it still runs or not.
type Restorer interface {
	Restore(ctx context.Context, s *Setup) error
}

// Releaser is a hook that must free what it made when the task is dead, and once more when
// the allocation goes. It is also called for tasks that were never prepared.
type Releaser interface {
	Release(ctx context.Context, s *Setup) error
}

// Attender is a hook that has something to do while the task runs. Attend returns when ctx
// ends, which is before the task is stopped, or when there is nothing left to do.
type Attender interface {
	Attend(ctx context.Context, s *Setup)
}

// Setup is what hooks work on: what is given of the task, and what becomes of it.
type Setup struct {
	Node         *nomadish.Node
	Alloc        *nomadish.Allocation // with Job
	Group        *nomadish.TaskGroup
	Task         *nomadish.Task
	Driver       drivers.Driver
	Capabilities drivers.Capabilities
	Root         string // the allocation's directory
	Attempt      int

	Spec   *drivers.TaskSpec            // what the driver gets: hooks fill it in
	Emit   func(ev *nomadish.TaskEvent) // tells users something
	Notify func(drivers.Notice)         // tells users how a download goes on

	// GroupNetwork returns the network namespace that the tasks of the allocation share, and
	// makes what of it is missing; nil, as a func too, is the host's.
	GroupNetwork func(ctx context.Context) (*GroupNetwork, error)
	// Restart ends the running task and starts it again.
	Restart func(reason string)
	// Signal sends the running task a signal by its name.
	Signal func(ctx context.Context, signal, reason string) error
}

// GroupNetwork is the network namespace that the tasks of an allocation share.
type GroupNetwork struct {
	Mode    string
	Network drivers.Network
	Status  nomadish.AllocNetworkStatus
	Notices []string // what users should know of it
}

// Pipeline is hooks in their order.
type Pipeline []Hook

// Prepare runs all hooks, and stops at the first error, which names the hook.
func (p Pipeline) Prepare(ctx context.Context, s *Setup) error {
	for _, h := range p {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := h.Prepare(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", h.Name(), err)
		}
	}
	return nil
}

// Restore tells all hooks of a task that runs already.
func (p Pipeline) Restore(ctx context.Context, s *Setup) error {
	return each(p, func(h Restorer) error { return h.Restore(ctx, s) })
}

// Attend returns when no hook has anything left to do for a running task.
func (p Pipeline) Attend(ctx context.Context, s *Setup) {
	var busy sync.WaitGroup
	for _, h := range p {
		if able, ok := h.(Attender); ok {
			busy.Go(func() { able.Attend(ctx, s) })
		}
	}
	busy.Wait()
}

// Release frees what all hooks made, the newest first.
func (p Pipeline) Release(ctx context.Context, s *Setup) error {
	reversed := make(Pipeline, 0, len(p))
	for i := len(p) - 1; i >= 0; i-- {
		reversed = append(reversed, p[i])
	}
	return each(reversed, func(h Releaser) error { return h.Release(ctx, s) })
}

// each calls the hooks that have an ability, all of them, and joins their errors.
func each[T any](p Pipeline, call func(T) error) error {
	var errs []error
	for _, h := range p {
		if able, ok := h.(T); ok {
			if err := call(able); err != nil {
				errs = append(errs, fmt.Errorf("hook %s: %w", h.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}
