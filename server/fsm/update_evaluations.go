package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpdateEvaluations stores evaluations, new ones or ones that changed.
type UpdateEvaluations struct{ Evals []*nomadish.Evaluation }

// Kind implements Command.
func (*UpdateEvaluations) Kind() Kind { return KindUpdateEvaluations }

// Apply implements Command.
func (c *UpdateEvaluations) Apply(w *state.Writer) (any, error) {
	return nil, putEvals(w, c.Evals)
}
