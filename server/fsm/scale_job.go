package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// ScaleJob sets the count of a job's group, which makes a version of the job, and notes it
// among the group's scaling events. Without a count it only notes the event.
type ScaleJob struct {
	Namespace      string
	JobID          string
	Group          string
	JobModifyIndex uint64 // not 0: refuse unless it is the stored job's
	SubmitTime     int64
	Event          *nomadish.ScalingEvent
	Eval           *nomadish.Evaluation // nil where there is no count, and for jobs that are not evaluated
}

// Kind implements Command.
func (*ScaleJob) Kind() Kind { return KindScaleJob }

// Apply implements Command.
func (c *ScaleJob) Apply(w *state.Writer) (any, error) {
	old, err := w.Job(nil, c.Namespace, c.JobID)
	if err != nil {
		return nil, err
	}
	if at := nomadish.Val(old.JobModifyIndex); c.JobModifyIndex != 0 && c.JobModifyIndex != at {
		return nil, nomadish.Errorf(nomadish.KindConflict, "Enforcing job modify index %d: job exists with conflicting job modify index: %d", c.JobModifyIndex, at)
	}
	group := old.TaskGroup(c.Group)
	if group == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "task group %q specified for scaling does not exist in job", c.Group)
	}
	event := *c.Event
	event.PreviousCount = int64(nomadish.Val(group.Count))
	if c.Eval != nil {
		event.EvalID = &c.Eval.ID
	}
	job := old
	if event.Count != nil {
		next := old.Copy()
		next.SubmitTime = nomadish.Ptr(c.SubmitTime)
		next.TaskGroup(c.Group).Count = nomadish.Ptr(int(*event.Count))
		if job, _, err = w.PutJob(next); err != nil {
			return nil, err
		}
		if err := putJobEval(w, c.Eval, job); err != nil {
			return nil, err
		}
	}
	return &RegisterJobResult{
		JobModifyIndex: nomadish.Val(job.JobModifyIndex), Version: nomadish.Val(job.Version), Changed: job != old,
	}, w.AddScalingEvent(c.Namespace, c.JobID, c.Group, &event)
}
