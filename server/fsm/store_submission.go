package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// StoreSubmission stores the text that a job version was made of, where it is too large
// to be part of RegisterJob.
type StoreSubmission struct {
	Namespace  string
	JobID      string
	Version    uint64
	Submission *nomadish.JobSubmission
}

// Kind implements Command.
func (*StoreSubmission) Kind() Kind { return KindStoreSubmission }

// Apply implements Command.
func (c *StoreSubmission) Apply(w *state.Writer) (any, error) {
	if c.Submission == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no source to store")
	}
	return nil, w.PutJobSubmission(c.Namespace, c.JobID, c.Version, c.Submission)
}
