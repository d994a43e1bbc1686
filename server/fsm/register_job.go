package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// RegisterJob stores a job, as a new one or as the next version of one, and the
// evaluation that will place it. An unchanged specification keeps its version.
type RegisterJob struct {
	Job        *nomadish.Job // admitted, with SubmitTime
	Eval       *nomadish.Evaluation
	Submission *nomadish.JobSubmission // may be nil

	EnforceIndex      bool   // refuse unless the stored job's JobModifyIndex is the one below
	JobModifyIndex    uint64 // 0: the job must not exist
	PreserveCounts    bool   // keep the group counts of the stored version
	PreserveResources bool   // keep the task resources of the stored version
}

// RegisterJobResult says what RegisterJob did.
type RegisterJobResult struct {
	JobModifyIndex uint64
	Version        uint64
	Changed        bool // a version was made
}

// Kind implements Command.
func (*RegisterJob) Kind() Kind { return KindRegisterJob }

// Apply implements Command.
func (c *RegisterJob) Apply(w *state.Writer) (any, error) {
	if c.Job == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no job to register")
	}
	namespace, id := nomadish.Val(c.Job.Namespace), nomadish.Val(c.Job.ID)
	old, err := w.Job(nil, namespace, id)
	if err != nil {
		old = nil
	}
	if err := c.checkIndex(old); err != nil {
		return nil, err
	}
	job, changed, err := w.PutJob(c.preserve(old))
	if err != nil {
		return nil, err
	}
	if c.Submission != nil && changed {
		if err := w.PutJobSubmission(namespace, id, nomadish.Val(job.Version), c.Submission); err != nil {
			return nil, err
		}
	}
	if err := putJobEval(w, c.Eval, job); err != nil {
		return nil, err
	}
	return &RegisterJobResult{
		JobModifyIndex: nomadish.Val(job.JobModifyIndex),
		Version:        nomadish.Val(job.Version),
		Changed:        changed,
	}, nil
}

// checkIndex compares and sets. Clients match the start of these messages.
func (c *RegisterJob) checkIndex(old *nomadish.Job) error {
	const prefix = "Enforcing job modify index"
	switch {
	case !c.EnforceIndex:
		return nil
	case old == nil && c.JobModifyIndex != 0:
		return nomadish.Errorf(nomadish.KindConflict, "%s %d: job does not exist", prefix, c.JobModifyIndex)
	case old != nil && c.JobModifyIndex == 0:
		return nomadish.Errorf(nomadish.KindConflict, "%s 0: job already exists", prefix)
	case old != nil && nomadish.Val(old.JobModifyIndex) != c.JobModifyIndex:
		return nomadish.Errorf(nomadish.KindConflict, "%s %d: job exists with conflicting job modify index: %d",
			prefix, c.JobModifyIndex, nomadish.Val(old.JobModifyIndex))
	}
	return nil
}

// preserve returns the job with what is to stay as in the stored version.
func (c *RegisterJob) preserve(old *nomadish.Job) *nomadish.Job {
	if old == nil || !c.PreserveCounts && !c.PreserveResources {
		return c.Job
	}
	for _, g := range c.Job.TaskGroups {
		for _, was := range old.TaskGroups {
			if nomadish.Val(g.Name) == nomadish.Val(was.Name) {
				c.preserveGroup(g, was)
			}
		}
	}
	return c.Job
}

func (c *RegisterJob) preserveGroup(g, was *nomadish.TaskGroup) {
	if c.PreserveCounts {
		g.Count = was.Count
	}
	if !c.PreserveResources {
		return
	}
	for _, t := range g.Tasks {
		for _, wasTask := range was.Tasks {
			if t.Name == wasTask.Name {
				t.Resources = wasTask.Resources
			}
		}
	}
}

// putJobEval stores an evaluation of a job as it is now; nil is none.
func putJobEval(w *state.Writer, eval *nomadish.Evaluation, job *nomadish.Job) error {
	if eval == nil {
		return nil
	}
	e := *eval
	e.JobModifyIndex = nomadish.Val(job.JobModifyIndex)
	return w.PutEvaluation(&e)
}

// putEvals stores evaluations.
func putEvals(w *state.Writer, evals []*nomadish.Evaluation) error {
	for _, e := range evals {
		if e == nil {
			continue
		}
		if err := w.PutEvaluation(e); err != nil {
			return err
		}
	}
	return nil
}
