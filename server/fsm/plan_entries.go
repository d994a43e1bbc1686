package fsm

import (
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

// CheckedPlan is a plan, or what the planner left of one, ready to be committed.
type CheckedPlan struct {
	Plan      *nomadish.Plan
	Namespace string // of its job
	JobID     string
	Evals     []*nomadish.Evaluation // to be stored in the same step, for instance of preempted jobs
}

// NewApplyPlans makes commands of plans, so that each is about limit bytes long at most
// before compression (0: PlanEntry). A plan that is longer goes into several: stops first,
// then placements, both by node; each command's part of it is applied whole.
func NewApplyPlans(term uint64, limit int, plans ...CheckedPlan) []*ApplyPlan {
	if limit <= 0 {
		limit = PlanEntry
	}
	b := &planBuilder{term: term, limit: limit}
	for _, p := range plans {
		b.plan(p)
	}
	b.flush()
	return b.done
}

// planBuilder collects parts until a command is full.
type planBuilder struct {
	term      uint64
	limit     int
	done      []*ApplyPlan
	command   *ApplyPlan // being filled; nil: empty
	part      *PlanPart  // of the present plan, in command
	size      int        // of command, about
	metrics   map[string]int
	resources map[string]int
}

func (b *planBuilder) plan(p CheckedPlan) {
	b.part = nil
	for _, node := range slices.Sorted(maps.Keys(p.Plan.NodeUpdate)) {
		for _, a := range p.Plan.NodeUpdate[node] {
			b.stop(p, a)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(p.Plan.NodePreemptions)) {
		for _, a := range p.Plan.NodePreemptions[node] {
			b.stop(p, a)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(p.Plan.NodeAllocation)) {
		for _, a := range p.Plan.NodeAllocation[node] {
			b.place(p, a)
		}
	}
	for _, e := range p.Evals {
		b.open(p, len(codec.Marshal(e)))
		b.part.Evals = append(b.part.Evals, e)
	}
	if d := p.Plan.Deployment; d != nil {
		b.open(p, len(codec.Marshal(d)))
		b.part.Deployment = d
	}
}

// itemOverhead is about what an item of a list costs besides its own encoding.
const itemOverhead = 4

// open makes room for size more bytes of a plan.
func (b *planBuilder) open(p CheckedPlan, size int) {
	size += itemOverhead
	if b.size+size > b.limit {
		b.flush()
	}
	if b.command == nil {
		b.command = &ApplyPlan{Term: b.term}
	}
	if b.part == nil {
		b.part = &PlanPart{EvalID: p.Plan.EvalID, Namespace: p.Namespace, JobID: p.JobID}
		b.command.Parts = append(b.command.Parts, b.part)
		b.metrics, b.resources = map[string]int{}, map[string]int{}
		b.size += len(codec.Marshal(b.part))
	}
	b.size += size
}

// flush ends the command that is being filled.
func (b *planBuilder) flush() {
	if b.command != nil {
		b.done = append(b.done, b.command)
	}
	b.command, b.part, b.size = nil, nil, 0
}

func (b *planBuilder) stop(p CheckedPlan, a *nomadish.Allocation) {
	s := &AllocStop{
		ID:                 a.ID,
		DesiredStatus:      a.DesiredStatus,
		DesiredDescription: a.DesiredDescription,
		FollowupEvalID:     a.FollowupEvalID,
		PreemptedBy:        a.PreemptedByAllocation,
	}
	s.ClientStatus, s.ClientDescription = serverClientStatus(a)
	b.open(p, len(codec.Marshal(s)))
	b.part.Stops = append(b.part.Stops, s)
}

func (b *planBuilder) place(p CheckedPlan, decided *nomadish.Allocation) {
	a := *decided
	metric, resources := a.Metrics, a.AllocatedResources
	strip(&a, p)
	b.open(p, len(codec.Marshal(&a))+2*itemOverhead)
	place := &Placement{Alloc: &a}
	if metric != nil {
		place.Metric = b.share(b.metrics, codec.Marshal(metric), len(b.part.Metrics))
		if place.Metric > len(b.part.Metrics) {
			b.part.Metrics = append(b.part.Metrics, metric)
		}
	}
	if resources != nil {
		place.Resources = b.share(b.resources, codec.Marshal(resources), len(b.part.Resources))
		if place.Resources > len(b.part.Resources) {
			b.part.Resources = append(b.part.Resources, resources)
		}
	}
	b.part.Places = append(b.part.Places, place)
}

// share returns the position, from 1, of an encoding in a list of n different ones. A new
// one gets the position after the last.
func (b *planBuilder) share(known map[string]int, encoding []byte, n int) int {
	if at, ok := known[string(encoding)]; ok {
		return at
	}
	known[string(encoding)] = n + 1
	b.size += len(encoding) + itemOverhead
	return n + 1
}

// strip leaves out of an allocation what Apply knows: the part's fields, what the state
// has, what the node decides, and what is shared.
func strip(a *nomadish.Allocation, p CheckedPlan) {
	a.Namespace, a.JobID, a.Job = "", "", nil
	if a.EvalID == p.Plan.EvalID {
		a.EvalID = ""
	}
	a.NodeName, a.Metrics, a.AllocatedResources = "", nil, nil
	a.TaskStates, a.NetworkStatus = nil, nil
	a.ClientStatus, a.ClientDescription = serverClientStatus(a)
	if a.DesiredStatus == nomadish.AllocDesiredRun {
		a.DesiredStatus = ""
	}
	a.CreateIndex, a.ModifyIndex, a.AllocModifyIndex = 0, 0, 0
	a.CreateTime, a.ModifyTime = 0, 0
}

// serverClientStatus returns the client status that the servers decide, if they did.
func serverClientStatus(a *nomadish.Allocation) (status, description string) {
	switch a.ClientStatus {
	case nomadish.AllocClientLost, nomadish.AllocClientUnknown:
		return a.ClientStatus, a.ClientDescription
	}
	return "", ""
}
