package client

import (
	"context"
	"slices"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/nomadish"
)

// Restart restarts a task of an allocation, all that run, or all.
func (c *Client) Restart(_ context.Context, allocID string, req *nomadish.AllocRestartRequest) error {
	const reason = "User requested restart"
	if req.AllTasks {
		e, err := c.find(allocID)
		if err != nil {
			return err
		}
		return e.runner.RestartAll(reason)
	}
	tasks, err := c.tasks(allocID, req.TaskName)
	if err != nil {
		return err
	}
	return anyOf(tasks, func(t *task.Runner) error { return t.Restart(reason) })
}

// Signal sends a signal to a task of an allocation, or to all that run.
func (c *Client) Signal(ctx context.Context, allocID string, req *nomadish.AllocSignalRequest) error {
	tasks, err := c.tasks(allocID, req.Task)
	if err != nil {
		return err
	}
	return anyOf(tasks, func(t *task.Runner) error { return t.Signal(ctx, req.Signal, "User requested signal") })
}

// anyOf calls do for the tasks that run; when none does, the first refusal is returned.
func anyOf(tasks []*task.Runner, do func(*task.Runner) error) error {
	running := slices.DeleteFunc(slices.Clone(tasks), func(t *task.Runner) bool {
		return t.Record().Phase != localstate.PhaseRunning
	})
	if len(running) == 0 {
		running = tasks[:min(1, len(tasks))]
	}
	for _, t := range running {
		if err := do(t); err != nil {
			return err
		}
	}
	return nil
}

// Exec runs a command inside a running task and returns its exit code.
func (c *Client) Exec(ctx context.Context, allocID string, req *nomadish.ExecRequest) (int, error) {
	if c.cfg.DisableExec {
		return 0, nomadish.Errorf(nomadish.KindDenied, "Permission denied: this node's agent has disable_remote_exec")
	}
	tasks, err := c.tasks(allocID, req.Task)
	if err != nil {
		return 0, err
	}
	if len(tasks) != 1 {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "task must be named: the allocation has %d", len(tasks))
	}
	return tasks[0].Exec(ctx, req)
}
