package task

import (
	"context"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Release frees what the hooks made for the task: its mounts, its control group.
// Run does so when the task is dead; who removes the allocation calls it again.
func (r *Runner) Release(ctx context.Context) error {
	return r.cfg.Hooks.Release(ctx, r.newSetup(r.Record().Attempt))
}

// running returns the handle of the running task, or an error for users.
func (r *Runner) running() (*drivers.Handle, error) {
	record := r.Record()
	if record.Phase != localstate.PhaseRunning && record.Phase != localstate.PhaseStopping || record.Handle == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Task not running")
	}
	return record.Handle, nil
}

// Network returns the network of the task's newest start, nil if that is the host's.
func (r *Runner) Network() *drivers.Network {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.network
}

// Signal sends the running task a signal by its name.
func (r *Runner) Signal(ctx context.Context, signal, reason string) error {
	handle, err := r.running()
	if err != nil {
		return err
	}
	able, ok := r.cfg.Driver.(drivers.Signaler)
	if !ok {
		return nomadish.Errorf(nomadish.KindInvalid, "driver %q can't send signals", r.cfg.Task.Driver)
	}
	r.Emit(SignalingEvent(signal, reason))
	return able.Signal(ctx, handle, signal)
}

// Exec runs a command inside the running task and returns its exit code.
func (r *Runner) Exec(ctx context.Context, req *drivers.ExecRequest) (int, error) {
	handle, err := r.running()
	if err != nil {
		return 0, err
	}
	able, ok := r.cfg.Driver.(drivers.Execer)
	if !ok {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "driver %q can't run commands inside a task", r.cfg.Task.Driver)
	}
	return able.Exec(ctx, handle, req)
}
