package capacity

import (
	"maps"
	"reflect"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// Rejection says why a node's part of a plan can't be carried out.
type Rejection struct {
	NodeID string
	Reason string // the resource that is short, or what is wrong with the node
}

// Flight is a plan whose allocations are booked before they are committed.
type Flight struct {
	booked []booking
}

type booking struct {
	id          string
	before, now *holding
}

// Book checks a plan against what is free now, node by node, and books what fits. Nodes whose
// part doesn't fit come back as rejections, in the order of their ids, and nothing of their
// part is booked; when allAtOnce is set, one rejection means that nothing at all is.
// Stops alone are never rejected.
func (t *Table) Book(plan *nomadish.Plan, now int64) (*Flight, []Rejection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	nodes := map[string]bool{}
	for _, part := range []map[string][]*nomadish.Allocation{plan.NodeUpdate, plan.NodeAllocation, plan.NodePreemptions} {
		for id := range part {
			nodes[id] = true
		}
	}
	var rejected []Rejection
	var fitting []string
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		if reason := t.check(plan, id); reason != "" {
			rejected = append(rejected, Rejection{NodeID: id, Reason: reason})
			continue
		}
		fitting = append(fitting, id)
	}
	if plan.AllAtOnce && len(rejected) > 0 {
		return &Flight{}, rejected
	}
	f := &Flight{}
	for _, id := range fitting {
		for _, a := range slices.Concat(plan.NodeUpdate[id], plan.NodePreemptions[id], plan.NodeAllocation[id]) {
			before := t.held[a.ID]
			if before != nil {
				kept := *before
				before = &kept
			}
			t.put(a, now)
			f.booked = append(f.booked, booking{id: a.ID, before: before, now: t.held[a.ID]})
		}
	}
	return f, rejected
}

// Undo takes back a plan that was not committed. What has changed since stays.
func (t *Table) Undo(f *Flight, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range slices.Backward(f.booked) {
		if t.held[b.id] == b.now {
			t.replace(b.id, b.before, now)
		}
	}
}

// check returns why a node's part of a plan doesn't fit, or "".
func (t *Table) check(plan *nomadish.Plan, nodeID string) string {
	placed := plan.NodeAllocation[nodeID]
	if len(placed) == 0 {
		return ""
	}
	slot, ok := t.draft.slots[nodeID]
	if !ok {
		return "node is gone"
	}
	draft := t.draft.View.Draft(t.draft.now)
	for _, a := range slices.Concat(plan.NodeUpdate[nodeID], plan.NodePreemptions[nodeID]) {
		if h := t.held[a.ID]; h != nil && h.slot == slot && !h.leaving {
			draft.Give(int(slot), h.demand)
		}
	}
	for _, a := range placed {
		if a.ClientTerminal() {
			continue // a note about one that has ended
		}
		want := Granted(a.AllocatedResources)
		held := t.held[a.ID]
		if held != nil && held.slot == slot && (a.AllocatedResources == nil || equal(held.demand, want)) {
			continue // an update in place: it holds already what it needs
		}
		if !t.draft.Ready(int(slot)) {
			return "node is not ready for placements"
		}
		if held != nil && held.slot == slot {
			draft.Give(int(slot), held.demand)
		}
		if short := draft.Fit(int(slot), want); short != "" {
			return short
		}
		draft.Take(int(slot), want)
	}
	return ""
}

func equal(a, b *Demand) bool {
	return a.Amount == b.Amount && slices.Equal(a.CoreIDs, b.CoreIDs) && reflect.DeepEqual(a.Ports, b.Ports)
}
