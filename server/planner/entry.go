package planner

import (
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// entry is what becomes one log entry.
type entry struct {
	parts []fsm.PlannedPart
	of    []*submission // of each part
	size  int
}

// item is an allocation of a plan, what is to be done with it, and about how many bytes it takes.
type item struct {
	alloc *nomadish.Allocation
	into  func(*fsm.PlannedPart) *[]*nomadish.Allocation
	size  int
}

func stopped(p *fsm.PlannedPart) *[]*nomadish.Allocation   { return &p.Stopped }
func preempted(p *fsm.PlannedPart) *[]*nomadish.Allocation { return &p.Preempted }
func placed(p *fsm.PlannedPart) *[]*nomadish.Allocation    { return &p.Placed }

// stopSize is about what a stop takes: the log holds only what changes.
const stopSize = 128

// items lists what was accepted of a plan, node by node: stops before placements.
func items(r *nomadish.PlanResult) []item {
	nodes := map[string]bool{}
	for _, part := range []map[string][]*nomadish.Allocation{r.NodeUpdate, r.NodePreemptions, r.NodeAllocation} {
		for id := range part {
			nodes[id] = true
		}
	}
	var all []item
	var buf []byte
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		for _, a := range r.NodeUpdate[id] {
			all = append(all, item{alloc: a, into: stopped, size: stopSize})
		}
		for _, a := range r.NodePreemptions[id] {
			all = append(all, item{alloc: a, into: preempted, size: stopSize})
		}
		for _, a := range r.NodeAllocation[id] {
			buf = a.AppendCodec(buf[:0])
			all = append(all, item{alloc: a, into: placed, size: len(buf)})
		}
	}
	return all
}

// pack puts plans into entries: into the last one while it has room, then into new ones. A
// plan that is all or nothing gets one entry to itself; whether that is too large is found
// when it is encoded.
func pack(batch []*submission, limit int) []*entry {
	var entries []*entry
	for _, s := range batch {
		whole := s.plan.AllAtOnce
		var last *entry
		if n := len(entries); n > 0 && !whole {
			last = entries[n-1]
		}
		for _, it := range items(s.result) {
			if last == nil || !whole && last.size+it.size > limit {
				last = &entry{}
				entries = append(entries, last)
			}
			last.add(s, it)
		}
		if whole && last != nil {
			last.size = limit // nothing else joins it
		}
	}
	return entries
}

// add puts an item into the entry's part of a plan.
func (e *entry) add(s *submission, it item) {
	if n := len(e.of); n == 0 || e.of[n-1] != s {
		e.parts = append(e.parts, fsm.PlannedPart{EvalID: s.plan.EvalID})
		e.of = append(e.of, s)
	}
	list := it.into(&e.parts[len(e.parts)-1])
	*list = append(*list, it.alloc)
	e.size += it.size
}
