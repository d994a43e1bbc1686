package fsm

import (
	"cmp"
	"maps"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpdateNodeDrain begins to empty a node, changes how, or stops it.
type UpdateNodeDrain struct {
	NodeID       string
	Strategy     *nomadish.DrainStrategy // nil: the node is not emptied, or not any more
	MarkEligible bool                    // without a strategy: the scheduler may place on the node again
	Meta         map[string]string       // nil: that of the drain that there is
	AccessorID   string
	Event        *nomadish.NodeEvent // may be nil
	Evals        []*nomadish.Evaluation
}

// Kind implements Command.
func (*UpdateNodeDrain) Kind() Kind { return KindUpdateNodeDrain }

// Apply implements Command.
func (c *UpdateNodeDrain) Apply(w *state.Writer) (any, error) {
	err := changeNode(w, c.NodeID, c.Event, func(n *nomadish.Node) {
		drained := n.DrainStrategy
		if c.Strategy != nil {
			n.SchedulingEligibility = nomadish.NodeIneligible
		} else if c.MarkEligible {
			n.SchedulingEligibility = nomadish.NodeEligible
		}
		n.StatusUpdatedAt = seconds(w)
		if c.Strategy != nil || drained != nil {
			n.LastDrain = c.lastDrain(w, drained != nil, n.LastDrain)
		}
		n.Drain, n.DrainStrategy = c.Strategy != nil, c.Strategy
		if c.Strategy != nil && drained != nil { // the same drain goes on
			s := *c.Strategy
			s.StartedAt = drained.StartedAt
			n.DrainStrategy = &s
		}
	})
	if err != nil {
		return nil, err
	}
	return nil, putEvals(w, c.Evals)
}

// lastDrain is what the node remembers of the drain that begins, goes on or ends; was is what
// it remembers so far.
func (c *UpdateNodeDrain) lastDrain(w *state.Writer, draining bool, was *nomadish.DrainMetadata) *nomadish.DrainMetadata {
	now := time.Unix(0, w.Now()).UTC()
	last := &nomadish.DrainMetadata{StartedAt: now, UpdatedAt: now, Status: nomadish.DrainDraining, AccessorID: c.AccessorID, Meta: c.Meta}
	if draining && was != nil {
		last.StartedAt, last.AccessorID = was.StartedAt, cmp.Or(c.AccessorID, was.AccessorID)
		if c.Meta == nil {
			last.Meta = maps.Clone(was.Meta)
		}
	}
	if c.Strategy == nil {
		last.Status = nomadish.DrainCanceled
	}
	return last
}

// FinishedDrain names a drain that is over: nothing is left on the node that it was to empty.
type FinishedDrain struct {
	NodeID   string
	Strategy *nomadish.DrainStrategy
}

// FinishDrains ends drains. One that was changed or ended meanwhile is passed over.
type FinishDrains struct {
	Drains []FinishedDrain
	Event  *nomadish.NodeEvent // of each of the nodes; may be nil
}

// Kind implements Command.
func (*FinishDrains) Kind() Kind { return KindFinishDrains }

// Apply implements Command.
func (c *FinishDrains) Apply(w *state.Writer) (any, error) {
	for _, d := range c.Drains {
		node, err := w.Node(nil, d.NodeID)
		if err != nil || node.DrainStrategy == nil || !node.DrainStrategy.Equal(d.Strategy) {
			continue
		}
		err = changeNode(w, d.NodeID, c.Event, func(n *nomadish.Node) {
			n.Drain, n.DrainStrategy = false, nil
			last := nomadish.DrainMetadata{StartedAt: d.Strategy.StartedAt}
			if n.LastDrain != nil {
				last = *n.LastDrain
			}
			last.Status, last.UpdatedAt = nomadish.DrainComplete, time.Unix(0, w.Now()).UTC()
			n.LastDrain = &last
		})
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}
