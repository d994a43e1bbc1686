package endpoint

import (
	"cmp"
	"context"
	"slices"
	"time"

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
	return &nomadish.NodeLease{HeartbeatTTL: e.leases.Renew(node.ID), Index: index}, nil
}

// evaluateReturned has the jobs evaluated that ran on a node which is back.
func (e *Endpoint) evaluateReturned(ctx context.Context, nodeID string) error {
	evals := e.nodeEvaluations(ctx, e.store.Reader(), nodeID)
	if len(evals) == 0 {
		return nil
	}
	_, _, err := propose[any](ctx, e, &fsm.UpdateEvaluations{Evals: evals})
	return err
}

// Heartbeat renews a node's lease, and brings one back that was taken for down.
func (e *Endpoint) Heartbeat(ctx context.Context, nodeID, status string) (*nomadish.NodeLease, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, nodeID)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, err
	}
	index := r.Index()
	if status = cmp.Or(status, nomadish.NodeStatusReady); node.Status != status {
		command := &fsm.UpdateNodeStatus{NodeID: nodeID, Status: status}
		if node.Status == nomadish.NodeStatusDown {
			command.Event = &nomadish.NodeEvent{Message: "Node reregistered by heartbeat", Subsystem: "Cluster"}
		}
		if node.Status == nomadish.NodeStatusDown || status == nomadish.NodeStatusDown {
			command.Evals = e.nodeEvaluations(ctx, r, nodeID)
		}
		if _, index, err = propose[any](ctx, e, command); err != nil {
			return nil, err
		}
	}
	return &nomadish.NodeLease{HeartbeatTTL: e.leases.Renew(nodeID), Index: index}, nil
}

// UpdateAllocations stores what a node says of its allocations, and has the jobs of those
// evaluated that have failed or ended.
func (e *Endpoint) UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) (uint64, error) {
	r := e.store.Reader()
	known := slices.DeleteFunc(slices.Clone(allocs), func(a *nomadish.Allocation) bool {
		if a == nil {
			return true
		}
		row, err := r.Allocation(nil, a.ID)
		return err != nil || row.NodeID != nodeID
	})
	if len(known) == 0 {
		return r.Index(), nil
	}
	return e.reports.add(ctx, fsm.NewNodeReport(nodeID, known), e.followUps(ctx, r, known))
}

// followUps makes an evaluation for each job of which an allocation has ended just now that
// something may have to take the place of.
func (e *Endpoint) followUps(ctx context.Context, r state.Reader, said []*nomadish.Allocation) []*nomadish.Evaluation {
	seen := map[jobName]bool{}
	var evals []*nomadish.Evaluation
	for _, a := range said {
		row, err := r.Allocation(nil, a.ID)
		if err != nil || row.Terminal() || !a.ClientTerminal() || seen[jobName{row.Namespace, row.JobID}] {
			continue
		}
		job, err := r.Job(nil, row.Namespace, row.JobID)
		if err != nil || nomadish.Val(job.Stop) {
			continue
		}
		if a.ClientStatus == nomadish.AllocClientComplete && endsByItself(job) {
			continue // it has done what it was there for
		}
		seen[jobName{row.Namespace, row.JobID}] = true
		evals = append(evals, e.evaluation(ctx, job, nomadish.EvalTriggerRetryFailedAlloc, 0))
	}
	return evals
}

func endsByItself(job *nomadish.Job) bool {
	t := nomadish.Val(job.Type)
	return t == nomadish.JobTypeBatch || t == nomadish.JobTypeSysBatch
}

// Down marks a node as down, because its lease is over, and has its work evaluated.
func (e *Endpoint) Down(ctx context.Context, nodeID string, silent time.Duration) error {
	r := e.store.Reader()
	node, err := r.Node(nil, nodeID)
	if err != nil || node.Status == nomadish.NodeStatusDown {
		return nil //nolint:nilerr // a node that is gone can't go down
	}
	command := &fsm.UpdateNodeStatus{
		NodeID: nodeID, Status: nomadish.NodeStatusDown,
		Event: &nomadish.NodeEvent{
			Message: "Node heartbeat missed", Subsystem: "Cluster",
			Details: map[string]string{"silent_for": silent.String()},
		},
		Evals: e.nodeEvaluations(ctx, r, nodeID),
	}
	_, _, err = propose[any](ctx, e, command)
	return err
}
