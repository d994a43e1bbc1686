package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpdateNodeEligibility says whether the scheduler may place on a node.
type UpdateNodeEligibility struct {
	NodeID      string
	Eligibility string
	Event       *nomadish.NodeEvent // may be nil
	Evals       []*nomadish.Evaluation
}

// Kind implements Command.
func (*UpdateNodeEligibility) Kind() Kind { return KindUpdateNodeEligibility }

// Apply implements Command.
func (c *UpdateNodeEligibility) Apply(w *state.Writer) (any, error) {
	if c.Eligibility != nomadish.NodeEligible && c.Eligibility != nomadish.NodeIneligible {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "node eligibility %q is neither %q nor %q",
			c.Eligibility, nomadish.NodeEligible, nomadish.NodeIneligible)
	}
	node, err := w.Node(nil, c.NodeID)
	if err != nil {
		return nil, err
	}
	if node.DrainStrategy != nil && c.Eligibility == nomadish.NodeEligible {
		return nil, nomadish.Errorf(nomadish.KindConflict, "can not set node's scheduling eligibility to eligible while it is draining")
	}
	err = changeNode(w, c.NodeID, c.Event, func(n *nomadish.Node) {
		n.SchedulingEligibility = c.Eligibility
		n.StatusUpdatedAt = seconds(w)
	})
	if err != nil {
		return nil, err
	}
	return nil, putEvals(w, c.Evals)
}
