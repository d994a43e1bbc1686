//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// pause lies between two looks at a condition.
const pause = 5 * time.Millisecond

// finalError is one that waiting does not mend.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Final marks an error that ends Until.
func Final(err error) error { return &finalError{err} }

// Until calls check until it returns nil. When ctx ends first, the error says what was
// waited for and what check returned last.
func Until(ctx context.Context, what string, check func(context.Context) error) error {
	for {
		err := check(ctx)
		if final := (*finalError)(nil); err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never happened: %s: %w", what, err)
		case <-time.After(pause):
		}
	}
}

// Register stores a job, also when the agent is only just starting, and returns what the
// server says of it.
func (n *Node) Register(ctx context.Context, job *nomadish.Job) (resp *nomadish.JobRegisterResponse, err error) {
	err = Until(ctx, "job "+*job.ID+" is registered", func(ctx context.Context) error {
		resp, err = n.API.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: job})
		if kind := nomadish.KindOf(err); err != nil && (kind == nomadish.KindInvalid || kind == nomadish.KindTooLarge) {
			return Final(err)
		}
		return err
	})
	return resp, err
}

// Allocation returns a job's newest allocation when its client status is one of those.
func (n *Node) Allocation(ctx context.Context, jobID string, status ...string) (found *nomadish.AllocationListStub, err error) {
	err = Until(ctx, fmt.Sprintf("an allocation of %s is %v", jobID, status), func(ctx context.Context) error {
		allocs, _, err := n.API.Jobs().Allocations(ctx, jobID, false, nil)
		if err != nil {
			return err
		}
		if len(allocs) == 0 {
			return errors.New("there is none")
		}
		found = slices.MaxFunc(allocs, func(a, b *nomadish.AllocationListStub) int { return int(a.CreateIndex) - int(b.CreateIndex) })
		if !slices.Contains(status, found.ClientStatus) {
			return fmt.Errorf("%s is %s (%s), events %v", found.ID, found.ClientStatus, found.ClientDescription, Events(found))
		}
		return nil
	})
	return found, err
}

// Events lists what happened to an allocation's tasks, as messages.
func Events(a *nomadish.AllocationListStub) (messages []string) {
	for _, state := range a.TaskStates {
		for _, e := range state.Events {
			messages = append(messages, e.Type+": "+e.DisplayMessage)
		}
	}
	return messages
}

// Stopped stops a job and returns when none of its allocations runs.
func (n *Node) Stopped(ctx context.Context, jobID string, purge bool) error {
	err := Until(ctx, "job "+jobID+" is asked to stop", func(ctx context.Context) error {
		_, err := n.API.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{JobID: jobID, Purge: purge})
		if errors.Is(err, nomadish.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return Until(ctx, "job "+jobID+" has stopped", func(ctx context.Context) error {
		allocs, _, err := n.API.Jobs().Allocations(ctx, jobID, true, nil)
		for _, a := range allocs {
			if a.ClientStatus == nomadish.AllocClientRunning || a.ClientStatus == nomadish.AllocClientPending {
				return fmt.Errorf("allocation %s is %s", a.ID, a.ClientStatus)
			}
		}
		return err
	})
}

// Output returns what a task has written to stdout so far.
func (n *Node) Output(ctx context.Context, allocID, task string) (string, error) {
	var text []byte
	for frame, err := range n.API.Files().Logs(ctx, &nomadish.LogRequest{AllocID: allocID, Task: task, Type: "stdout"}) {
		if err != nil {
			return string(text), err
		}
		text = append(text, frame.Data...)
	}
	return string(text), nil
}
