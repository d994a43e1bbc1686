package fsm

import "github.com/nomadish/nomadish/server/state"

// DeleteEvaluations removes evaluations and allocations that have ended; garbage
// collection proposes it. Those that have not ended stay.
type DeleteEvaluations struct {
	EvalIDs  []string
	AllocIDs []string
}

// Kind implements Command.
func (*DeleteEvaluations) Kind() Kind { return KindDeleteEvaluations }

// Apply implements Command.
func (c *DeleteEvaluations) Apply(w *state.Writer) (any, error) {
	for _, id := range c.AllocIDs {
		if err := w.DeleteAllocation(id); err != nil {
			return nil, err
		}
	}
	for _, id := range c.EvalIDs {
		if err := w.DeleteEvaluation(id); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
