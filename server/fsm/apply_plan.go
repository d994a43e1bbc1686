package fsm

import (
	"cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// ApplyPlan commits what the planner has found to fit, of one plan or of many. It holds
// only what was decided; NewApplyPlan makes it. A plan of a leader whose term is over is
// refused.
type ApplyPlan struct {
	Term  uint64
	Parts []*PlanPart
}

// PlanPart is what is committed for one evaluation. It is applied whole or not at all.
type PlanPart struct {
	EvalID     string
	Namespace  string // of the placements, with JobID, where they do not say otherwise
	JobID      string
	Stops      []*AllocStop
	Places     []*Placement
	Metrics    []*nomadish.AllocationMetric   // each once, for all placements that share it
	Resources  []*nomadish.AllocatedResources // the same
	Deployment *nomadish.Deployment
	Evals      []*nomadish.Evaluation
}

// Placement is an allocation that is placed, or changed where it is. Fields that the part
// knows, that the state knows or that the node decides are left out of Alloc.
type Placement struct {
	Alloc     *nomadish.Allocation
	Metric    int // position in the part's Metrics, from 1; 0: none
	Resources int // position in the part's Resources, from 1; 0: none
}

// AllocStop is an allocation that is to end.
type AllocStop struct {
	ID                 string
	DesiredStatus      string
	DesiredDescription string
	ClientStatus       string // lost or unknown, or empty: what the node says stays
	ClientDescription  string
	FollowupEvalID     string
	PreemptedBy        string
}

// ApplyPlanResult says which parts were not committed, as the state had changed.
type ApplyPlanResult struct{ Rejected []*RejectedPart }

// RejectedPart is a part of a plan that was not committed.
type RejectedPart struct {
	Part   int // position in ApplyPlan.Parts
	EvalID string
	Reason string
}

// Kind implements Command.
func (*ApplyPlan) Kind() Kind { return KindApplyPlan }

// Apply implements Command. Capacity is not checked again: the planner has done so, and
// within its term nobody else places.
func (c *ApplyPlan) Apply(w *state.Writer) (any, error) {
	if term := w.Term(); c.Term < term {
		return nil, nomadish.Errorf(nomadish.KindConflict, "plan of term %d comes too late: term %d has begun", c.Term, term)
	}
	result := &ApplyPlanResult{}
	for i, p := range c.Parts {
		if p == nil {
			continue
		}
		allocs, err := p.allocations(w)
		if err != nil {
			result.Rejected = append(result.Rejected, &RejectedPart{Part: i, EvalID: p.EvalID, Reason: err.Error()})
			continue
		}
		if err := p.apply(w, allocs); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// allocations completes the part's allocations and checks that they may be stored.
func (p *PlanPart) allocations(w *state.Writer) ([]*nomadish.Allocation, error) {
	allocs := make([]*nomadish.Allocation, 0, len(p.Places))
	for _, place := range p.Places {
		a, err := p.allocation(place)
		if err != nil {
			return nil, err
		}
		if err := w.CheckPlacement(a); err != nil {
			return nil, err
		}
		allocs = append(allocs, a)
	}
	return allocs, nil
}

// allocation returns a placement's allocation with all that was left out of it.
func (p *PlanPart) allocation(place *Placement) (*nomadish.Allocation, error) {
	if place == nil || place.Alloc == nil || place.Metric > len(p.Metrics) || place.Resources > len(p.Resources) ||
		place.Metric < 0 || place.Resources < 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "placement of eval %q is incomplete", p.EvalID)
	}
	a := *place.Alloc
	a.EvalID = cmp.Or(a.EvalID, p.EvalID)
	a.Namespace, a.JobID = cmp.Or(a.Namespace, p.Namespace), cmp.Or(a.JobID, p.JobID)
	if place.Metric > 0 {
		a.Metrics = p.Metrics[place.Metric-1]
	}
	if place.Resources > 0 {
		a.AllocatedResources = p.Resources[place.Resources-1]
	}
	return &a, nil
}

func (p *PlanPart) apply(w *state.Writer, allocs []*nomadish.Allocation) error {
	for _, s := range p.Stops {
		if s == nil {
			continue
		}
		if err := s.apply(w); err != nil {
			return err
		}
	}
	for _, a := range allocs {
		if err := w.PlaceAllocation(a); err != nil {
			return err
		}
	}
	if p.Deployment != nil {
		if err := w.PutDeployment(p.Deployment); err != nil {
			return err
		}
	}
	return putEvals(w, p.Evals)
}

func (s *AllocStop) apply(w *state.Writer) error {
	if _, err := w.Allocation(nil, s.ID); err != nil {
		return nil // it is gone already
	}
	return w.ChangeAllocation(s.ID, func(a *nomadish.Allocation) {
		if s.DesiredStatus != "" {
			a.DesiredStatus = s.DesiredStatus
		}
		if s.DesiredDescription != "" {
			a.DesiredDescription = s.DesiredDescription
		}
		if s.ClientStatus != "" {
			a.ClientStatus, a.ClientDescription = s.ClientStatus, s.ClientDescription
		}
		if s.FollowupEvalID != "" {
			a.FollowupEvalID = s.FollowupEvalID
		}
		if s.PreemptedBy != "" {
			a.PreemptedByAllocation = s.PreemptedBy
		}
	})
}
