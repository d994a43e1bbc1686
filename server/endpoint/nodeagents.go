package endpoint

import (
	"context"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// RegisterNode stores what a node says of itself.
func (e *Endpoint) RegisterNode(ctx context.Context, node *nomadish.Node) (*nomadish.NodeLease, error) {
	if _, err := nomadish.ParseID(node.ID); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "node: ID: %w", err)
	}
	if node.SecretID == "" || node.Name == "" || node.Datacenter == "" || node.NodeResources == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "node %s: SecretID, Name, Datacenter and NodeResources must be set", node.ID)
	}
	if node.NodePool == nomadish.NodePoolAll {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "node %s: NodePool: %q holds all nodes, and none alone", node.ID, node.NodePool)
	} else if node.NodePool != "" {
		if err := nomadish.CheckNodePoolName(node.NodePool); err != nil {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "node %s: %w", node.ID, err)
		}
	}
	registered := *node
	registered.Status = nomadish.NodeStatusReady
	before, err := e.store.Reader().Node(nil, node.ID)
	back := err != nil || before.Status != nomadish.NodeStatusReady
	_, index, err := propose[any](ctx, e, &fsm.RegisterNode{Node: &registered})
	if err != nil {
		return nil, err
	}
	if back {
		if err := e.evaluateReturned(ctx, node.ID); err != nil {
			return nil, err
		}
	}
	return e.lease(node.ID, index), nil
}

// UpdateAllocations stores what a node says of its allocations, and has the jobs of those
// evaluated that have failed or ended.
func (e *Endpoint) UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) (uint64, error) {
	r := e.store.Reader()
	if node, err := r.Node(nil, nodeID); err == nil && gone(node.Status) {
		// Who reports is there. Otherwise what it says would be given up again until its next heartbeat.
		if err := e.Up(ctx, nodeID); err != nil {
			return 0, err
		}
		e.leases.Renew(nodeID)
		r = e.store.Reader()
	}
	known := reported(r, nodeID, allocs)
	if len(known) < len(allocs) && e.cfg.Sync != nil {
		// What this server does not know may be news to it: a leader that is none any more must not
		// take a report and drop it.
		if err := e.cfg.Sync(ctx); err != nil {
			return 0, err
		}
		r = e.store.Reader()
		known = reported(r, nodeID, allocs)
	}
	if len(known) == 0 {
		return r.Index(), nil
	}
	return e.reports.add(ctx, fsm.NewNodeReport(nodeID, known), e.followUps(ctx, r, known))
}

// reported leaves out of a node's report what is not on it.
func reported(r state.Reader, nodeID string, allocs []*nomadish.Allocation) []*nomadish.Allocation {
	return slices.DeleteFunc(slices.Clone(allocs), func(a *nomadish.Allocation) bool {
		if a == nil {
			return true
		}
		row, err := r.Allocation(nil, a.ID)
		return err != nil || row.NodeID != nodeID
	})
}

// followUps makes an evaluation for each job of which an allocation has ended just now that
// something may have to take the place of, or is back beside what has taken its place.
func (e *Endpoint) followUps(ctx context.Context, r state.Reader, said []*nomadish.Allocation) []*nomadish.Evaluation {
	seen := map[jobName]bool{}
	var evals []*nomadish.Evaluation
	for _, a := range said {
		row, err := r.Allocation(nil, a.ID)
		if err != nil || row.Terminal() || seen[jobName{row.Namespace, row.JobID}] {
			continue
		}
		trigger := nomadish.EvalTriggerRetryFailedAlloc
		if row.ClientStatus == nomadish.AllocClientUnknown && a.ClientStatus != nomadish.AllocClientUnknown {
			trigger = nomadish.EvalTriggerReconnect
		} else if !a.ClientTerminal() {
			continue
		}
		job, err := r.Job(nil, row.Namespace, row.JobID)
		if err != nil || nomadish.Val(job.Stop) {
			continue
		}
		if trigger != nomadish.EvalTriggerReconnect && a.ClientStatus == nomadish.AllocClientComplete && endsByItself(job) {
			continue // it has done what it was there for
		}
		seen[jobName{row.Namespace, row.JobID}] = true
		evals = append(evals, e.evaluation(ctx, job, trigger, 0))
	}
	return evals
}

func endsByItself(job *nomadish.Job) bool {
	t := nomadish.Val(job.Type)
	return t == nomadish.JobTypeBatch || t == nomadish.JobTypeSysBatch
}
