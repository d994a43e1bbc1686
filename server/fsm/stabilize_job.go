package fsm

import "github.com/nomadish/nomadish/server/state"

// StabilizeJob says whether a version of a job has proved itself.
type StabilizeJob struct {
	Namespace string
	JobID     string
	Version   uint64
	Stable    bool
}

// Kind implements Command.
func (*StabilizeJob) Kind() Kind { return KindStabilizeJob }

// Apply implements Command.
func (c *StabilizeJob) Apply(w *state.Writer) (any, error) {
	return nil, w.SetJobStable(c.Namespace, c.JobID, c.Version, c.Stable)
}
