package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpdateAllocsFromNode stores what nodes say of their allocations, with the evaluations
// of the jobs that it concerns. Reports of several nodes may share one entry.
type UpdateAllocsFromNode struct {
	Reports []*NodeReport
	Evals   []*nomadish.Evaluation
}

// NodeReport is what one node says. Of the allocations only ID and the fields that the
// node decides are read: ClientStatus, ClientDescription, TaskStates, NetworkStatus and
// DeploymentStatus.
type NodeReport struct {
	NodeID string
	Allocs []*nomadish.Allocation
}

// NewNodeReport makes a report of allocations, with nothing but what the node decides.
func NewNodeReport(nodeID string, allocs []*nomadish.Allocation) *NodeReport {
	r := &NodeReport{NodeID: nodeID, Allocs: make([]*nomadish.Allocation, 0, len(allocs))}
	for _, a := range allocs {
		r.Allocs = append(r.Allocs, &nomadish.Allocation{
			ID:                a.ID,
			ClientStatus:      a.ClientStatus,
			ClientDescription: a.ClientDescription,
			TaskStates:        a.TaskStates,
			NetworkStatus:     a.NetworkStatus,
			DeploymentStatus:  a.DeploymentStatus,
		})
	}
	return r
}

// Kind implements Command.
func (*UpdateAllocsFromNode) Kind() Kind { return KindUpdateAllocsFromNode }

// Apply implements Command.
func (c *UpdateAllocsFromNode) Apply(w *state.Writer) (any, error) {
	for _, r := range c.Reports {
		if r == nil {
			continue
		}
		for _, a := range r.Allocs {
			if a == nil {
				continue
			}
			if err := w.UpdateAllocation(r.NodeID, a); err != nil {
				return nil, err
			}
		}
	}
	return nil, putEvals(w, c.Evals)
}
