package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// PurgeJobs removes jobs that are dead; garbage collection proposes it. A job that came
// back to life meanwhile stays.
type PurgeJobs struct{ Jobs []JobName }

// JobName names a job.
type JobName struct {
	Namespace string
	ID        string
}

// Kind implements Command.
func (*PurgeJobs) Kind() Kind { return KindPurgeJobs }

// Apply implements Command.
func (c *PurgeJobs) Apply(w *state.Writer) (any, error) {
	for _, name := range c.Jobs {
		job, err := w.Job(nil, name.Namespace, name.ID)
		if err != nil || nomadish.Val(job.Status) != nomadish.JobStatusDead {
			continue
		}
		if err := w.DeleteJob(name.Namespace, name.ID); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
