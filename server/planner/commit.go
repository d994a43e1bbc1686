package planner

import (
	"context"
	"errors"
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// commit proposes the plans of a batch in as few entries as it takes, and answers them. When
// a part of a plan is refused, its other parts are still proposed: each is right by itself,
// and its scheduler looks again. The error is for the whole Planner: nobody knows what became
// of an entry, or the leader is no longer one.
func (p *Planner) commit(ctx context.Context, batch []*submission) error {
	var failure error
	for _, e := range pack(batch, p.cfg.EntrySize) {
		if failure != nil {
			e.note(0, failure)
			continue
		}
		index, answer, err := p.proposer.Propose(ctx, fsm.NewApplyPlan(p.cfg.Term, e.parts...))
		e.note(index, err)
		if result, ok := answer.(*fsm.ApplyPlanResult); ok && err == nil {
			for _, r := range result.Rejected {
				e.of[r.Part].note(index, nomadish.Errorf(nomadish.KindConflict, "%s", r.Reason))
			}
		}
		if err != nil && !refused(err) {
			failure = fmt.Errorf("commit plans: %w", err)
		}
	}
	p.settle(batch)
	return failure
}

// note remembers what became of an entry.
func (e *entry) note(index uint64, err error) {
	for _, s := range e.of {
		s.note(index, err)
	}
}

// note remembers what became of a part of the plan.
func (s *submission) note(index uint64, err error) {
	s.result.AllocIndex = max(s.result.AllocIndex, index)
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("plan of evaluation %s: %w", s.plan.EvalID, err)
	}
}

// settle answers the plans of a batch. What a refused plan had booked is given back; what of
// it was committed all the same comes back with the state's changes.
func (p *Planner) settle(batch []*submission) {
	for _, s := range batch {
		if s.err != nil && refused(s.err) {
			p.table.Undo(s.flight, p.cfg.Now().UnixNano())
		}
		s.finish(nil)
	}
}

// refused says that a command was certainly not carried out, and that the next one may be.
func refused(err error) bool {
	var known *nomadish.Error
	if !errors.As(err, &known) {
		return false
	}
	switch known.Kind {
	case nomadish.KindInvalid, nomadish.KindConflict, nomadish.KindNotFound, nomadish.KindTooLarge, nomadish.KindLimited,
		nomadish.KindNoSpace:
		return true
	}
	return false
}
