package fsm

import "github.com/nomadish/nomadish/server/state"

// TermStart is a leader's first command. From then on plans of earlier terms are refused.
type TermStart struct {
	Term      uint64
	ClusterID string // becomes the cluster's ID if it has none
}

// Kind implements Command.
func (*TermStart) Kind() Kind { return KindTermStart }

// Apply implements Command.
func (c *TermStart) Apply(w *state.Writer) (any, error) {
	return nil, w.BeginTerm(c.Term, c.ClusterID)
}
