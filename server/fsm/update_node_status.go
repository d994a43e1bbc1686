package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpdateNodeStatus sets a node's status, with the evaluations of the jobs that it concerns.
type UpdateNodeStatus struct {
	NodeID      string
	Status      string
	Description string
	Event       *nomadish.NodeEvent // may be nil
	Evals       []*nomadish.Evaluation
}

// Kind implements Command.
func (*UpdateNodeStatus) Kind() Kind { return KindUpdateNodeStatus }

// Apply implements Command.
func (c *UpdateNodeStatus) Apply(w *state.Writer) (any, error) {
	switch c.Status {
	case nomadish.NodeStatusInit, nomadish.NodeStatusReady, nomadish.NodeStatusDown, nomadish.NodeStatusDisconnected:
	default:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "node status %q is none", c.Status)
	}
	err := changeNode(w, c.NodeID, c.Event, func(n *nomadish.Node) {
		n.Status, n.StatusDescription = c.Status, c.Description
		n.StatusUpdatedAt = seconds(w)
	})
	if err != nil {
		return nil, err
	}
	return nil, putEvals(w, c.Evals)
}
