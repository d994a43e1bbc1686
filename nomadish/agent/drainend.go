package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// DrainAtEnd says how the client node is emptied before its agent ends.
type DrainAtEnd struct {
	Spec nomadish.DrainSpec // a deadline of 0 is an hour
	// When says whether it is, by the cause with which the context of Run ended.
	When func(cause error) bool
}

// Times of emptying a node before its agent ends.
const (
	drainDeadline = time.Hour              // where none is set
	drainGrace    = time.Minute            // after the deadline, for tasks to end
	drainAsk      = 10 * time.Second       // for servers to take the request
	drainLook     = 100 * time.Millisecond // between looks at what still runs
)

// DrainFile is the block drain_on_shutdown of a client.
type DrainFile struct {
	Deadline         *string `hcl:"deadline,optional"`
	Force            *bool   `hcl:"force,optional"`
	IgnoreSystemJobs *bool   `hcl:"ignore_system_jobs,optional"`
}

// drain reads how the client's node is emptied at the end.
func (f *File) drain(r *reading) *DrainAtEnd {
	d := f.Client.DrainOnShutdown
	if d == nil {
		return nil
	}
	out := &DrainAtEnd{
		Spec: nomadish.DrainSpec{
			Deadline: r.duration("client.drain_on_shutdown.deadline", d.Deadline), IgnoreSystemJobs: nomadish.Val(d.IgnoreSystemJobs),
		},
		When: leaveOn(nomadish.Val(f.LeaveOnInterrupt), nomadish.Val(f.LeaveOnTerminate)),
	}
	if nomadish.Val(d.Force) {
		out.Spec.Deadline = -1 // at once
	}
	return out
}

// farewells are what is to be done before the agent ends, for the cause that ends it.
func (a *Agent) farewells(cause error) []func(context.Context) error {
	var all []func(context.Context) error
	if d := a.cfg.DrainAtEnd; d != nil && a.client != nil && d.When(cause) {
		all = append(all, a.drain)
	}
	switch {
	case a.pool == nil:
	case a.cfg.Pool.Leave != nil && a.cfg.Pool.Leave(cause):
		all = append(all, a.leave)
	default:
		all = append(all, a.handOver)
	}
	return all
}

// drain empties the client's node, and returns when nothing runs on it that is to leave it, or when
// that takes too long.
func (a *Agent) drain(ctx context.Context) error {
	spec := a.cfg.DrainAtEnd.Spec
	spec.Deadline = cmp.Or(spec.Deadline, drainDeadline)
	ctx, cancel := context.WithTimeout(ctx, max(spec.Deadline, 0)+drainGrace)
	defer cancel()
	a.cfg.Logger.Info("the node is emptied before its agent ends", "deadline", spec.Deadline)
	if err := a.askDrain(ctx, &spec); err != nil {
		return fmt.Errorf("drain_on_shutdown: %w", err)
	}
	for !a.client.Emptied(spec.IgnoreSystemJobs) {
		if lifecycle.Sleep(ctx, drainLook) != nil {
			return errors.New("drain_on_shutdown: some allocations did not end in time")
		}
	}
	return nil
}

func (a *Agent) askDrain(ctx context.Context, spec *nomadish.DrainSpec) error {
	ctx, cancel := context.WithTimeout(ctx, drainAsk)
	defer cancel()
	req := &nomadish.NodeDrainRequest{NodeID: a.client.NodeID(), DrainSpec: spec, Meta: map[string]string{"message": "shutting down"}}
	for {
		err := a.link.Drain(ctx, req)
		if err == nil || lifecycle.Sleep(ctx, time.Second) != nil {
			return err
		}
	}
}
