package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// DeregisterJob stops a job, which makes a version of it, or removes it at once.
type DeregisterJob struct {
	Namespace       string
	JobID           string
	Purge           bool
	NoShutdownDelay bool // its tasks do not wait for their shutdown_delay
	SubmitTime      int64
	Eval            *nomadish.Evaluation
}

// DeregisterJobResult says what DeregisterJob did.
type DeregisterJobResult struct{ JobModifyIndex uint64 }

// Kind implements Command.
func (*DeregisterJob) Kind() Kind { return KindDeregisterJob }

// Apply implements Command.
func (c *DeregisterJob) Apply(w *state.Writer) (any, error) {
	old, err := w.Job(nil, c.Namespace, c.JobID)
	if err != nil {
		return nil, err
	}
	if c.NoShutdownDelay {
		if err := c.dropShutdownDelay(w); err != nil {
			return nil, err
		}
	}
	job := *old
	job.Stop, job.SubmitTime = nomadish.Ptr(true), nomadish.Ptr(c.SubmitTime)
	stored, _, err := w.PutJob(&job)
	if err != nil {
		return nil, err
	}
	if err := putJobEval(w, c.Eval, stored); err != nil {
		return nil, err
	}
	if c.Purge {
		err = w.DeleteJob(c.Namespace, c.JobID)
	}
	return &DeregisterJobResult{JobModifyIndex: nomadish.Val(stored.JobModifyIndex)}, err
}

func (c *DeregisterJob) dropShutdownDelay(w *state.Writer) error {
	var ids []string
	for a := range w.AllocationsByJob(nil, c.Namespace, c.JobID) {
		if !a.Terminal() {
			ids = append(ids, a.ID)
		}
	}
	for _, id := range ids {
		err := w.ChangeAllocation(id, func(a *nomadish.Allocation) {
			a.DesiredTransition.NoShutdownDelay = nomadish.Ptr(true)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
