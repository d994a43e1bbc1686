package endpoint

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// lease gives a node another lease.
func (e *Endpoint) lease(nodeID string, index uint64) *nomadish.NodeLease {
	return &nomadish.NodeLease{HeartbeatTTL: e.leases.Renew(nodeID), Index: index, Servers: e.cfg.Servers()}
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

// Heartbeat renews a node's lease, and brings one back that was taken for down. Any server takes
// it: where the node's status has to change, the leader does so when it is told of the heartbeat.
func (e *Endpoint) Heartbeat(ctx context.Context, nodeID, status string) (*nomadish.NodeLease, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, nodeID)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, err
	}
	if !e.leases.InTouch() {
		return nil, nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	}
	index := r.Index()
	if status = cmp.Or(status, nomadish.NodeStatusReady); node.Status != status {
		changed, err := e.setNodeStatus(ctx, r, node, status)
		elsewhere := err != nil && nomadish.KindOf(err) == nomadish.KindNoLeader && status == nomadish.NodeStatusReady
		if err != nil && !elsewhere {
			return nil, err
		}
		index = max(index, changed)
	}
	lease := e.lease(nodeID, index)
	lease.Move = e.leases.Elsewhere(nodeID)
	return lease, nil
}

// Up brings a node back that another server had a heartbeat of, or that has a session again.
func (e *Endpoint) Up(ctx context.Context, nodeID string) error {
	r := e.store.Reader()
	node, err := r.Node(nil, nodeID)
	if err != nil || node.Status == nomadish.NodeStatusReady {
		return nil //nolint:nilerr // a node that is gone registers anew
	}
	_, err = e.setNodeStatus(ctx, r, node, nomadish.NodeStatusReady)
	return err
}

// gone says that a node does not run its allocations, as far as is known.
func gone(status string) bool {
	return status == nomadish.NodeStatusDown || status == nomadish.NodeStatusDisconnected
}

func (e *Endpoint) setNodeStatus(ctx context.Context, r state.Reader, node *nomadish.Node, status string) (uint64, error) {
	command := &fsm.UpdateNodeStatus{NodeID: node.ID, Status: status}
	if gone(node.Status) && !gone(status) {
		command.Event = &nomadish.NodeEvent{Message: "Node reregistered by heartbeat", Subsystem: "Cluster"}
	}
	if gone(node.Status) || gone(status) {
		command.Evals = e.nodeEvaluations(ctx, r, node.ID)
	}
	_, index, err := propose[any](ctx, e, command)
	if err == nil && gone(node.Status) && !gone(status) {
		e.evictions.back()
	}
	return index, err
}

// Down marks a node as down and has its work evaluated, or as disconnected as long as something
// that runs on it may do without the servers. Then it returns for how long.
func (e *Endpoint) Down(ctx context.Context, v *nomadish.NodeVerdict) (time.Duration, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, v.NodeID)
	if err != nil || node.Status == nomadish.NodeStatusDown {
		return 0, nil //nolint:nilerr // a node that is gone can't go down
	}
	now := e.cfg.Now()
	since := now
	if node.Status == nomadish.NodeStatusDisconnected {
		since = time.Unix(node.StatusUpdatedAt, 0)
	}
	left := lostAfter(r, node.ID) - now.Sub(since)
	command := &fsm.UpdateNodeStatus{NodeID: node.ID, Status: nomadish.NodeStatusDown, Event: downEvent(v)}
	if left > 0 {
		command.Status = nomadish.NodeStatusDisconnected
	}
	if node.Status == command.Status {
		return left, nil
	}
	command.Evals = e.nodeEvaluations(ctx, r, node.ID)
	if _, _, err = propose[any](ctx, e, command); err != nil {
		return 0, err
	}
	e.evictions.gone(v.Cause, command.Status)
	e.cfg.Logger.Info("a node is gone", "node", node.ID, "name", node.Name, "status", command.Status,
		"cause", v.Cause, "silent", v.Silent, "asked_by", v.Witnesses, "together", v.Together)
	return max(left, 0), nil
}

// lostAfter is the longest time that something on a node may be without the servers.
func lostAfter(r state.Reader, nodeID string) time.Duration {
	longest := time.Duration(0)
	for a := range r.AllocationsByNode(nil, nodeID) {
		if a.Terminal() || a.ClientStatus == nomadish.AllocClientPending {
			continue
		}
		job, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion)
		if err != nil {
			continue // of a job that is gone nothing is kept
		}
		if tg := job.TaskGroup(a.TaskGroup); tg != nil {
			longest = max(longest, tg.LostAfter())
		}
	}
	return longest
}

// downEvent tells why a node is taken for down.
func downEvent(v *nomadish.NodeVerdict) *nomadish.NodeEvent {
	event := &nomadish.NodeEvent{
		Message: "Node heartbeat missed", Subsystem: "Cluster",
		Details: map[string]string{"cause": v.Cause, "silent_for": v.Silent.Round(time.Millisecond).String()},
	}
	if v.Cause == nomadish.NodeGoneSilent {
		event.Message = "Node's machine answers nobody"
		event.Details["asked_by"] = strings.Join(v.Witnesses, " ")
	}
	if v.Together > 1 {
		event.Details["silent_together"] = strconv.Itoa(v.Together)
	}
	return event
}
