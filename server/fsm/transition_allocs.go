package fsm

import (
	"cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// TransitionAllocs asks the scheduler to move, replace or stop allocations, with the
// evaluations that make it do so. Allocations that are gone are passed over.
type TransitionAllocs struct {
	AllocIDs   []string
	Transition nomadish.DesiredTransition // fields that are nil stay as they are
	Evals      []*nomadish.Evaluation
}

// Kind implements Command.
func (*TransitionAllocs) Kind() Kind { return KindTransitionAllocs }

// Apply implements Command.
func (c *TransitionAllocs) Apply(w *state.Writer) (any, error) {
	for _, id := range c.AllocIDs {
		if _, err := w.Allocation(nil, id); err != nil {
			continue
		}
		err := w.ChangeAllocation(id, func(a *nomadish.Allocation) {
			t, was := &a.DesiredTransition, a.DesiredTransition
			t.Migrate = cmp.Or(c.Transition.Migrate, was.Migrate)
			t.Reschedule = cmp.Or(c.Transition.Reschedule, was.Reschedule)
			t.ForceReschedule = cmp.Or(c.Transition.ForceReschedule, was.ForceReschedule)
			t.NoShutdownDelay = cmp.Or(c.Transition.NoShutdownDelay, was.NoShutdownDelay)
			t.MigrateDisablePlacement = cmp.Or(c.Transition.MigrateDisablePlacement, was.MigrateDisablePlacement)
		})
		if err != nil {
			return nil, err
		}
	}
	return nil, putEvals(w, c.Evals)
}
