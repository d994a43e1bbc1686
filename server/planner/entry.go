package planner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// entry is what becomes one log entry.
type entry struct {
	parts []Part
	of    []*submission // of each part
	size  int
}

// add puts an item into the entry's part of a plan.
func (e *entry) add(s *submission, it item) {
	if n := len(e.of); n == 0 || e.of[n-1] != s {
		e.parts = append(e.parts, Part{EvalID: s.plan.EvalID})
		e.of = append(e.of, s)
		s.pending++
	}
	list := it.into(&e.parts[len(e.parts)-1])
	*list = append(*list, it.alloc)
	e.size += it.size
}

// item is an allocation of a plan, what is to be done with it, and the bytes that it takes.
type item struct {
	alloc *nomadish.Allocation
	into  func(*Part) *[]*nomadish.Allocation
	size  int
}

func stopped(p *Part) *[]*nomadish.Allocation   { return &p.Stopped }
func preempted(p *Part) *[]*nomadish.Allocation { return &p.Preempted }
func placed(p *Part) *[]*nomadish.Allocation    { return &p.Placed }

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
	add := func(list []*nomadish.Allocation, into func(*Part) *[]*nomadish.Allocation) {
		for _, a := range list {
			buf = a.AppendCodec(buf[:0])
			all = append(all, item{alloc: a, into: into, size: len(buf)})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		add(r.NodeUpdate[id], stopped)
		add(r.NodePreemptions[id], preempted)
		add(r.NodeAllocation[id], placed)
	}
	return all
}

// pack puts what was accepted of a plan into entries: into the last one while it has room,
// then into new ones. A plan that is all or nothing gets an entry to itself.
func (p *Planner) pack(s *submission, ready []*entry) ([]*entry, error) {
	all := items(s.result)
	whole, total := s.plan.AllAtOnce, 0
	for _, it := range all {
		if it.size > p.cfg.MaxEntrySize {
			return ready, nomadish.Errorf(nomadish.KindTooLarge, "plan of evaluation %s: an allocation of %d bytes, more than %d", s.plan.EvalID, it.size, p.cfg.MaxEntrySize)
		}
		total += it.size
	}
	if whole && total > p.cfg.MaxEntrySize {
		return ready, nomadish.Errorf(nomadish.KindTooLarge, "plan of evaluation %s: %d bytes to commit all at once, more than %d", s.plan.EvalID, total, p.cfg.MaxEntrySize)
	}
	for i, it := range all {
		n := len(ready)
		if n == 0 || whole && i == 0 || !whole && ready[n-1].size+it.size > p.cfg.EntrySize {
			ready = append(ready, &entry{})
			n++
		}
		ready[n-1].add(s, it)
	}
	return ready, nil
}

// commit proposes an entry and answers the plans that it completes. The error is for the
// whole Planner: nobody knows what became of the entry, or the leader is no longer one.
func (p *Planner) commit(ctx context.Context, e *entry) error {
	if ctx.Err() != nil {
		p.settle(e, 0, context.Cause(ctx))
		return nil
	}
	index, err := p.log.CommitPlans(ctx, e.parts)
	p.settle(e, index, err)
	if err != nil && !refused(err) {
		return fmt.Errorf("commit plans: %w", err)
	}
	return nil
}

// refused says that an entry was certainly not carried out, and that the next one may be.
func refused(err error) bool {
	var known *nomadish.Error
	if !errors.As(err, &known) {
		return false
	}
	switch known.Kind {
	case nomadish.KindInvalid, nomadish.KindConflict, nomadish.KindNotFound, nomadish.KindTooLarge, nomadish.KindLimited:
		return true
	}
	return false
}

// settle notes what became of an entry and answers its plans when it was their last.
func (p *Planner) settle(e *entry, index uint64, err error) {
	for _, s := range e.of {
		s.pending--
		if err != nil && s.err == nil {
			s.err = fmt.Errorf("plan of evaluation %s: %w", s.plan.EvalID, err)
		}
		s.result.AllocIndex = max(s.result.AllocIndex, index)
		if s.pending > 0 {
			continue
		}
		if s.err != nil && refused(s.err) {
			p.table.Undo(s.flight, p.cfg.Now().UnixNano())
		}
		close(s.done)
	}
}
