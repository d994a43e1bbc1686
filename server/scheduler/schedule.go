// Package scheduler answers evaluations: it compares what a job wants with what runs, and
// says what to stop and what to place where.
//
// Schedule is a function of its arguments. It reads no clock, draws no lots and does not
// depend on the order in which nodes or allocations come: the same snapshot and evaluation
// always give the same outcome.
//
//	outcome, err := scheduler.Schedule(snapshot, eval)
//	// commit outcome.FollowUps, then outcome.Plan, then outcome.Eval and outcome.Blocked
package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// State is what the scheduler reads of the cluster's state. What it returns is shared and
// must not be changed. A missing job is an error that is nomadish.ErrNotFound.
type State interface {
	Job(namespace, id string) (*nomadish.Job, error)
	JobVersion(namespace, id string, version uint64) (*nomadish.Job, error)
	AllocationsByJob(namespace, id string) ([]*nomadish.Allocation, error)
	EvaluationsByJob(namespace, id string) ([]*nomadish.Evaluation, error)
}

// Snapshot is the world at one moment.
type Snapshot struct {
	State    State
	Index    uint64 // of State
	Capacity capacity.View
	Config   nomadish.SchedulerConfiguration
	Now      time.Time
	Excluded map[string]bool // nodes to leave alone, by id
}

// Outcome is what an evaluation comes to.
type Outcome struct {
	Plan      *nomadish.Plan         // nil: nothing is to be changed
	Eval      *nomadish.Evaluation   // the evaluation as it ends when the whole plan is committed
	Blocked   *nomadish.Evaluation   // a new evaluation that waits for room, or nil
	FollowUps []*nomadish.Evaluation // new evaluations that wait for a time; allocations of the plan name them
}

// Schedule answers one evaluation.
func Schedule(snap Snapshot, eval *nomadish.Evaluation) (*Outcome, error) {
	switch eval.Type {
	case "service", "batch":
	default:
		return refuse(snap, eval), nil
	}
	job, err := snap.State.Job(eval.Namespace, eval.JobID)
	if errors.Is(err, nomadish.ErrNotFound) {
		job = purged(eval)
	} else if err != nil {
		return nil, fmt.Errorf("evaluation %s: %w", eval.ID, err)
	} else if launches(job) && !eval.AnnotatePlan {
		job = purged(eval) // its launches are jobs of their own; a plan shows what one would do
	}
	allocs, err := snap.State.AllocationsByJob(eval.Namespace, eval.JobID)
	if err != nil {
		return nil, fmt.Errorf("evaluation %s: %w", eval.ID, err)
	}
	evals, err := snap.State.EvaluationsByJob(eval.Namespace, eval.JobID)
	if err != nil {
		return nil, fmt.Errorf("evaluation %s: %w", eval.ID, err)
	}
	s := &session{snap: snap, eval: eval, job: job, placer: newPlacer(snap, eval, job, allocs)}
	s.pending(evals)
	return s.run(allocs), nil
}

// refuse ends an evaluation of a type of job that can't be scheduled yet.
func refuse(snap Snapshot, eval *nomadish.Evaluation) *Outcome {
	end := *eval
	end.Status = nomadish.EvalStatusFailed
	end.StatusDescription = fmt.Sprintf("jobs of type %q are not supported", eval.Type)
	end.SnapshotIndex, end.ModifyTime = snap.Index, snap.Now.UnixNano()
	return &Outcome{Eval: &end}
}

// launches says that a job only launches others: by the clock, or when it is dispatched.
func launches(job *nomadish.Job) bool {
	return job.Periodic != nil || job.ParameterizedJob != nil && !job.Dispatched
}

// purged stands in for a job that is no more: nothing of it is wanted.
func purged(eval *nomadish.Evaluation) *nomadish.Job {
	return &nomadish.Job{
		ID: &eval.JobID, Namespace: &eval.Namespace, Type: &eval.Type, Stop: nomadish.Ptr(true),
	}
}

// session is one call of Schedule.
type session struct {
	*placer
	snap     Snapshot
	eval     *nomadish.Evaluation
	job      *nomadish.Job
	waiting  map[string]bool // evaluations of the job that wait for their time
	rolling  bool            // one of them continues a rolling update
	outcome  *Outcome
	checkers map[*nomadish.TaskGroup]*feasibility
}

func newPlacer(snap Snapshot, eval *nomadish.Evaluation, job *nomadish.Job, allocs []*nomadish.Allocation) *placer {
	p := &placer{
		job: job, eval: eval, config: snap.Config, now: snap.Now.UnixNano(),
		spread:  snap.Config.SchedulerAlgorithm == nomadish.SchedulerSpread,
		seed:    idSeed(eval.ID),
		draft:   snap.Capacity.Draft(snap.Now.UnixNano()),
		field:   newField(&snap.Capacity, job, snap.Excluded),
		taken:   make(map[string]bool, len(allocs)),
		present: map[int]map[string]int{},
		failed:  map[string]*nomadish.AllocationMetric{},
		queued:  map[string]int{},
		plan: &nomadish.Plan{
			EvalID: eval.ID, Priority: eval.Priority, SnapshotIndex: snap.Index,
			NodeUpdate:     map[string][]*nomadish.Allocation{},
			NodeAllocation: map[string][]*nomadish.Allocation{},
			AllAtOnce:      nomadish.Val(job.AllAtOnce),
		},
	}
	for _, a := range allocs {
		p.taken[a.ID] = true
		if slot, ok := p.draft.Find(a.NodeID); ok && !a.Terminal() {
			p.count(slot, a.TaskGroup, 1, nil)
		}
	}
	return p
}

// pending notes the job's other evaluations that wait for a time.
func (s *session) pending(evals []*nomadish.Evaluation) {
	s.waiting = map[string]bool{}
	for _, e := range evals {
		if e.ID == s.eval.ID || e.Status != nomadish.EvalStatusPending || e.WaitUntil.IsZero() {
			continue
		}
		s.waiting[e.ID] = true
		s.rolling = s.rolling || e.TriggeredBy == nomadish.EvalTriggerRollingUpdate
	}
}

func (s *session) run(allocs []*nomadish.Allocation) *Outcome {
	s.outcome = &Outcome{}
	s.checkers = map[*nomadish.TaskGroup]*feasibility{}
	r := &reconciler{
		job: s.job, batch: s.eval.Type == "batch", evalID: s.eval.ID, now: s.snap.Now,
		where: s.where, waits: func(id string) bool { return s.waiting[id] }, older: s.older, fits: s.fits, forced: s.forced,
	}
	all := r.reconcile(allocs)
	for i := range all {
		for _, st := range all[i].stop {
			s.lift(st.alloc, nil)
			s.end(st)
		}
	}
	for i := range all {
		c := &all[i]
		for _, a := range c.inPlace {
			s.updateInPlace(a)
		}
		for _, a := range c.marked {
			s.keep(a)
		}
		s.delay(c)
		if c.group != nil {
			s.placeGroup(c, s.checker(c.group))
		}
	}
	s.roll(all)
	s.finish(all)
	return s.outcome
}

func (s *session) where(nodeID string) whereabouts {
	slot, ok := s.draft.Find(nodeID)
	if !ok || s.draft.Site(slot) == nil {
		return whereabouts{}
	}
	n := s.draft.Site(slot).Node
	return whereabouts{
		alive: s.draft.Alive(slot), disconnected: n.Status == nomadish.NodeStatusDisconnected,
		known: true, since: time.Unix(n.StatusUpdatedAt, 0),
	}
}

// forced says that the deadline of a node's drain has passed. The evaluation may be newer than
// the clock of this leader.
func (s *session) forced(nodeID string) bool {
	slot, ok := s.draft.Find(nodeID)
	if !ok {
		return false
	}
	now := s.snap.Now
	if made := time.Unix(0, s.eval.CreateTime); made.After(now) {
		now = made
	}
	strategy := s.draft.Site(slot).Node.DrainStrategy
	return strategy != nil && strategy.Forced(now)
}

// older returns the version of the job that an allocation runs, or nil when that is of an
// earlier job of the same name, or no longer kept.
func (s *session) older(a *nomadish.Allocation) *nomadish.Job {
	if a.CreateIndex < nomadish.Val(s.job.CreateIndex) {
		return nil
	}
	job, err := s.snap.State.JobVersion(a.Namespace, a.JobID, a.JobVersion)
	if err != nil {
		return nil // then the allocation is replaced, which is always right
	}
	return job
}

// fits says whether the node of an allocation suits the group as it is now.
func (s *session) fits(a *nomadish.Allocation, tg *nomadish.TaskGroup) error {
	slot, ok := s.draft.Find(a.NodeID)
	if !ok {
		return fmt.Errorf("node %s: %w", a.NodeID, nomadish.ErrNotFound)
	}
	if reason := s.checker(tg).reject(s.draft.Site(slot)); reason != "" {
		return errors.New(reason)
	}
	if !matchesAny(s.job.Datacenters, s.draft.Site(slot).Node.Datacenter) {
		return errors.New("datacenter")
	}
	return nil
}

func (s *session) checker(tg *nomadish.TaskGroup) *feasibility {
	f := s.checkers[tg]
	if f == nil {
		f = newFeasibility(s.job, tg)
		s.checkers[tg] = f
	}
	return f
}

func (s *session) updateInPlace(a *nomadish.Allocation) {
	next := *a
	next.JobVersion, next.EvalID = nomadish.Val(s.job.Version), s.eval.ID
	s.keep(&next)
}

// finish writes down how the evaluation ends.
func (s *session) finish(all []changes) {
	end := *s.eval
	end.Status, end.StatusDescription = nomadish.EvalStatusComplete, ""
	end.SnapshotIndex, end.ModifyTime = s.snap.Index, s.now
	end.QueuedAllocations = s.queued
	end.FailedTGAllocs = nil
	if len(s.failed) > 0 {
		end.FailedTGAllocs = s.failed
	}
	if s.eval.AnnotatePlan {
		s.plan.Annotations = &nomadish.PlanAnnotations{DesiredTGUpdates: map[string]*nomadish.DesiredUpdates{}}
		for i := range all {
			if c := &all[i]; c.group != nil {
				s.plan.Annotations.DesiredTGUpdates[nomadish.Val(c.group.Name)] = &c.counts
			}
		}
		end.PlanAnnotations = s.plan.Annotations
	}
	s.outcome.Eval = &end
	if len(s.failed) > 0 {
		s.block(&end)
	}
	if len(s.plan.NodeUpdate)+len(s.plan.NodeAllocation) > 0 {
		s.outcome.Plan = s.plan
	}
	slices.SortFunc(s.outcome.FollowUps, func(a, b *nomadish.Evaluation) int { return a.WaitUntil.Compare(b.WaitUntil) })
}
