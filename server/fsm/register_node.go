package fsm

import (
	"cmp"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// RegisterNode stores a node as it describes itself, and the pool that it is in if it is the
// first there. What operators and servers decided about it (drain, eligibility, events) stays.
type RegisterNode struct{ Node *nomadish.Node }

// Kind implements Command.
func (*RegisterNode) Kind() Kind { return KindRegisterNode }

// Apply implements Command.
func (c *RegisterNode) Apply(w *state.Writer) (any, error) {
	if c.Node == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no node to register")
	}
	n := *c.Node
	n.Status = cmp.Or(n.Status, nomadish.NodeStatusInit)
	n.SchedulingEligibility = cmp.Or(n.SchedulingEligibility, nomadish.NodeEligible)
	n.NodePool = cmp.Or(n.NodePool, nomadish.NodePoolDefault)
	old, err := w.Node(nil, n.ID)
	if err != nil {
		n.Events = []*nomadish.NodeEvent{clusterEvent(w, "Node registered")}
		n.StatusUpdatedAt = seconds(w)
		return nil, putNodeInPool(w, &n)
	}
	if subtle.ConstantTimeCompare([]byte(old.SecretID), []byte(n.SecretID)) != 1 {
		return nil, nomadish.Errorf(nomadish.KindDenied, "node secret ID does not match. Not registering node.")
	}
	n.Drain, n.DrainStrategy, n.LastDrain = old.Drain, old.DrainStrategy, old.LastDrain
	n.SchedulingEligibility = old.SchedulingEligibility
	n.Events, n.StatusUpdatedAt = old.Events, old.StatusUpdatedAt
	if old.Status == nomadish.NodeStatusDown {
		n.Events = append(slices.Clone(old.Events), clusterEvent(w, "Node re-registered"))
	}
	if old.Status != n.Status {
		n.StatusUpdatedAt = seconds(w)
	}
	return nil, putNodeInPool(w, &n)
}

// putNodeInPool stores a node, and its pool if there is none of that name.
func putNodeInPool(w *state.Writer, n *nomadish.Node) error {
	if _, err := w.NodePool(nil, n.NodePool); err != nil {
		if err := w.PutNodePool(&nomadish.NodePool{Name: n.NodePool}); err != nil {
			return err
		}
	}
	return w.PutNode(n)
}

// seconds is the log's time in seconds since 1970, rounded up: what was true before a change
// has an earlier time than the change, also within a second.
func seconds(w *state.Writer) int64 {
	return (w.Now() + int64(time.Second) - 1) / int64(time.Second)
}

// clusterEvent is a node's event that the servers make.
func clusterEvent(w *state.Writer, message string) *nomadish.NodeEvent {
	return &nomadish.NodeEvent{Message: message, Subsystem: "Cluster", Timestamp: time.Unix(0, w.Now()).UTC(), CreateIndex: w.Index()}
}

// changeNode lets change work on a copy of a node; event may be nil.
func changeNode(w *state.Writer, id string, event *nomadish.NodeEvent, change func(n *nomadish.Node)) error {
	old, err := w.Node(nil, id)
	if err != nil {
		return err
	}
	n := *old
	change(&n)
	if event != nil {
		e := *event
		e.CreateIndex = w.Index()
		if e.Timestamp.IsZero() {
			e.Timestamp = time.Unix(0, w.Now()).UTC()
		}
		n.Events = append(slices.Clone(old.Events), &e)
	}
	return w.PutNode(&n)
}
