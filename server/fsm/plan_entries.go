package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

// PlannedPart is what of one plan goes into one entry, as whole allocations.
type PlannedPart struct {
	EvalID     string
	Stopped    []*nomadish.Allocation // to stop, with their new status
	Preempted  []*nomadish.Allocation // to evict
	Placed     []*nomadish.Allocation // new, or changed where they are
	Deployment *nomadish.Deployment   // may be nil
	Evals      []*nomadish.Evaluation // to be stored in the same step
}

// NewApplyPlan makes a command of parts of plans. It holds nothing of the allocations but
// what was decided, and what they share once. The allocations stay as they are; the parts
// that they point to are shared.
func NewApplyPlan(term uint64, parts ...PlannedPart) *ApplyPlan {
	c := &ApplyPlan{Term: term, Parts: make([]*PlanPart, 0, len(parts))}
	for _, p := range parts {
		part := &PlanPart{EvalID: p.EvalID, Deployment: p.Deployment, Evals: p.Evals}
		for _, list := range [][]*nomadish.Allocation{p.Stopped, p.Preempted} {
			for _, a := range list {
				part.Stops = append(part.Stops, newAllocStop(a))
			}
		}
		part.place(p.Placed)
		c.Parts = append(c.Parts, part)
	}
	return c
}

func newAllocStop(a *nomadish.Allocation) *AllocStop {
	s := &AllocStop{
		ID:                 a.ID,
		DesiredStatus:      a.DesiredStatus,
		DesiredDescription: a.DesiredDescription,
		FollowupEvalID:     a.FollowupEvalID,
		PreemptedBy:        a.PreemptedByAllocation,
	}
	s.ClientStatus, s.ClientDescription = serverClientStatus(a)
	return s
}

// place adds placements, and each of their metrics and resources once.
func (p *PlanPart) place(placed []*nomadish.Allocation) {
	metrics, resources := map[string]int{}, map[string]int{}
	if len(placed) > 0 {
		p.Namespace, p.JobID = placed[0].Namespace, placed[0].JobID
	}
	for _, a := range placed {
		place := &Placement{Alloc: p.decided(a)}
		if a.Metrics != nil {
			p.Metrics, place.Metric = share(metrics, p.Metrics, a.Metrics)
		}
		if a.AllocatedResources != nil {
			p.Resources, place.Resources = share(resources, p.Resources, a.AllocatedResources)
		}
		p.Places = append(p.Places, place)
	}
}

// share adds v to list unless an equal value is there, and returns its position from 1.
func share[T codec.Appender](known map[string]int, list []T, v T) ([]T, int) {
	encoding := codec.Marshal(v)
	if at, ok := known[string(encoding)]; ok {
		return list, at
	}
	list = append(list, v)
	known[string(encoding)] = len(list)
	return list, len(list)
}

// decided copies an allocation without what Apply knows: the part's fields, what the state
// has, what the node decides, and what is shared.
func (p *PlanPart) decided(from *nomadish.Allocation) *nomadish.Allocation {
	a := *from
	a.Job = nil
	if a.Namespace == p.Namespace && a.JobID == p.JobID {
		a.Namespace, a.JobID = "", ""
	}
	if a.EvalID == p.EvalID {
		a.EvalID = ""
	}
	a.NodeName, a.Metrics, a.AllocatedResources = "", nil, nil
	a.TaskStates, a.NetworkStatus = nil, nil
	a.ClientStatus, a.ClientDescription = serverClientStatus(from)
	if a.DesiredStatus == nomadish.AllocDesiredRun {
		a.DesiredStatus = ""
	}
	a.CreateIndex, a.ModifyIndex, a.AllocModifyIndex = 0, 0, 0
	a.CreateTime, a.ModifyTime = 0, 0
	return &a
}

// serverClientStatus returns the client status that the servers decide, if they did.
func serverClientStatus(a *nomadish.Allocation) (status, description string) {
	switch a.ClientStatus {
	case nomadish.AllocClientLost, nomadish.AllocClientUnknown:
		return a.ClientStatus, a.ClientDescription
	}
	return "", ""
}
