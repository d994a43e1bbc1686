package endpoint

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Nodes lists nodes by id.
func (e *Endpoint) Nodes(_ context.Context, ws memdb.WatchSet, prefix string, opts nomadish.NodeStubOptions) (iter.Seq[*nomadish.NodeListStub], uint64, error) {
	r := e.store.Reader()
	rows, err := r.NodesByPrefix(ws, prefix)
	if err != nil {
		return nil, 0, err
	}
	return mapped(rows, func(n *nomadish.Node) *nomadish.NodeListStub { return n.Stub(opts) }), r.TableIndex(state.TableNodes), nil
}

// Node returns a node.
func (e *Endpoint) Node(_ context.Context, ws memdb.WatchSet, id string) (*nomadish.Node, uint64, error) {
	r := e.store.Reader()
	node, err := r.Node(ws, id)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, r.TableIndex(state.TableNodes), err
	}
	return node, node.ModifyIndex, nil
}

// nodeEvaluations makes an evaluation of every job that runs on a node.
func (e *Endpoint) nodeEvaluations(ctx context.Context, r state.Reader, nodeID string) []*nomadish.Evaluation {
	type name struct{ namespace, id string }
	seen := map[name]bool{}
	var evals []*nomadish.Evaluation
	for a := range r.AllocationsByNode(nil, nodeID) {
		n := name{a.Namespace, a.JobID}
		if a.Terminal() || seen[n] {
			continue
		}
		seen[n] = true
		job, err := r.Job(nil, a.Namespace, a.JobID)
		if err != nil {
			if job, err = r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion); err != nil {
				continue // nothing is known of it that could be evaluated
			}
		}
		eval := e.evaluation(ctx, job, nomadish.EvalTriggerNodeUpdate, 0)
		eval.NodeID = nodeID
		evals = append(evals, eval)
	}
	return evals
}

func ids(evals []*nomadish.Evaluation) []string {
	out := make([]string, len(evals))
	for i, e := range evals {
		out[i] = e.ID
	}
	return out
}

// SetNodeEligibility lets the scheduler place on a node, or not.
func (e *Endpoint) SetNodeEligibility(ctx context.Context, req *nomadish.NodeEligibilityRequest) (*nomadish.NodeUpdateResponse, uint64, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, req.NodeID)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, 0, err
	}
	resp := &nomadish.NodeUpdateResponse{}
	if node.SchedulingEligibility == req.Eligibility {
		return resp, node.ModifyIndex, nil
	}
	message := "Node marked as ineligible for scheduling"
	command := &fsm.UpdateNodeEligibility{NodeID: req.NodeID, Eligibility: req.Eligibility}
	if req.Eligibility == nomadish.NodeEligible {
		message = "Node marked as eligible for scheduling"
		command.Evals = e.nodeEvaluations(ctx, r, req.NodeID)
	}
	command.Event = &nomadish.NodeEvent{Message: message, Subsystem: "Cluster"}
	_, index, err := propose[any](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	resp.NodeModifyIndex, resp.EvalIDs, resp.EvalCreateIndex = index, ids(command.Evals), index
	return resp, index, nil
}

// EvaluateNode makes a new evaluation of every job on a node.
func (e *Endpoint) EvaluateNode(ctx context.Context, id string) (*nomadish.NodeUpdateResponse, uint64, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, id)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, 0, err
	}
	evals := e.nodeEvaluations(ctx, r, id)
	resp := &nomadish.NodeUpdateResponse{NodeModifyIndex: node.ModifyIndex, EvalIDs: ids(evals)}
	if len(evals) == 0 {
		return resp, r.Index(), nil
	}
	_, index, err := propose[any](ctx, e, &fsm.UpdateEvaluations{Evals: evals})
	resp.EvalCreateIndex = index
	return resp, index, err
}

// PurgeNode forgets a node and has its work placed elsewhere.
func (e *Endpoint) PurgeNode(ctx context.Context, id string) (*nomadish.NodeUpdateResponse, uint64, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, id)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, 0, err
	}
	evals := e.nodeEvaluations(ctx, r, node.ID)
	_, index, err := propose[any](ctx, e, &fsm.DeregisterNode{NodeIDs: []string{node.ID}, Evals: evals})
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.NodeUpdateResponse{NodeModifyIndex: index, EvalIDs: ids(evals), EvalCreateIndex: index}, index, nil
}
