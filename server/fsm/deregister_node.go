package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// DeregisterNode removes nodes, with the evaluations of the jobs that it concerns. Their
// allocations stay until those evaluations or garbage collection deal with them.
type DeregisterNode struct {
	NodeIDs []string
	// UnlessReady keeps nodes that are ready or initializing: garbage collection sets it.
	UnlessReady bool
	Evals       []*nomadish.Evaluation
}

// Kind implements Command.
func (*DeregisterNode) Kind() Kind { return KindDeregisterNode }

// Apply implements Command.
func (c *DeregisterNode) Apply(w *state.Writer) (any, error) {
	for _, id := range c.NodeIDs {
		n, err := w.Node(nil, id)
		if err != nil || c.UnlessReady && n.Status != nomadish.NodeStatusDown {
			continue
		}
		if err := w.DeleteNode(id); err != nil {
			return nil, err
		}
	}
	return nil, putEvals(w, c.Evals)
}
