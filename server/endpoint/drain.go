package endpoint

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// maxDrainDeadline bounds the deadline of a drain: times have to stay times.
const maxDrainDeadline = 10 * 365 * 24 * time.Hour

// DrainNode begins to empty a node, changes how, or stops it.
func (e *Endpoint) DrainNode(ctx context.Context, req *nomadish.NodeDrainRequest) (*nomadish.NodeUpdateResponse, uint64, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, req.NodeID)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, 0, err
	}
	if err := nomadish.CheckMeta(req.Meta); err != nil {
		return nil, 0, err
	}
	c := &fsm.UpdateNodeDrain{NodeID: node.ID, MarkEligible: req.MarkEligible, Meta: req.Meta}
	if caller := nomadish.CallerFrom(ctx); caller.Kind != nomadish.CallerNode {
		c.AccessorID = caller.ID
	}
	message := "Node drain strategy set"
	switch spec := req.DrainSpec; {
	case spec == nil && node.DrainStrategy == nil && (!req.MarkEligible || node.SchedulingEligibility == nomadish.NodeEligible):
		return &nomadish.NodeUpdateResponse{}, node.ModifyIndex, nil
	case spec == nil:
		message = "Node drain disabled"
		if node.DrainStrategy == nil {
			message = "Node marked as eligible for scheduling"
		}
		if req.MarkEligible {
			c.Evals = e.nodeEvaluations(ctx, r, node.ID)
		}
	case spec.Deadline > maxDrainDeadline:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "drain deadline %s is longer than %s", spec.Deadline, maxDrainDeadline)
	default:
		if node.DrainStrategy != nil {
			message = "Node drain strategy updated"
		}
		now := e.cfg.Now().UTC()
		c.Strategy = &nomadish.DrainStrategy{Deadline: spec.Deadline, IgnoreSystemJobs: spec.IgnoreSystemJobs, StartedAt: now}
		if spec.Deadline > 0 {
			c.Strategy.ForceDeadline = now.Add(spec.Deadline)
		}
	}
	c.Event = &nomadish.NodeEvent{Message: message, Subsystem: "Drain", Details: drainDetails(req)}
	_, index, err := propose[any](ctx, e, c)
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.NodeUpdateResponse{NodeModifyIndex: index, EvalIDs: ids(c.Evals), EvalCreateIndex: index}, index, nil
}

// drainDetails are what a node's event tells of how it is drained, and why.
func drainDetails(req *nomadish.NodeDrainRequest) map[string]string {
	details := map[string]string{}
	for key, value := range req.Meta {
		details["meta."+key] = value
	}
	if spec := req.DrainSpec; spec != nil {
		switch {
		case spec.Deadline < 0:
			details["deadline"] = "force"
		case spec.Deadline == 0:
			details["deadline"] = "none"
		default:
			details["deadline"] = spec.Deadline.String()
		}
		if spec.IgnoreSystemJobs {
			details["ignore_system_jobs"] = "true"
		}
	}
	if len(details) == 0 {
		return nil
	}
	return details
}
