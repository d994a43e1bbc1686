package endpoint

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/scheduler"
	"github.com/nomadish/nomadish/server/state"
)

// Scheduler tries out what evaluations would come to.
type Scheduler interface {
	// DryRun says what an evaluation would come to if job were the current version.
	DryRun(r state.Reader, job *nomadish.Job, eval *nomadish.Evaluation) (*scheduler.Outcome, error)
}

// PlanJob says what would happen if a job were registered: it admits the job as registration
// does and asks the scheduler, with the newest state. Nothing is written.
func (e *Endpoint) PlanJob(ctx context.Context, req *nomadish.JobPlanRequest) (*nomadish.JobPlanResponse, uint64, error) {
	if e.elsewhere(req.Job) {
		return nil, 0, nomadish.Errorf(nomadish.KindInternal, "No path to region")
	}
	job, warnings, err := e.admit(req.Job, req.WriteRequest)
	if err := e.maySubmit(ctx, nomadish.PermPlanJob, job); err != nil {
		return nil, 0, err
	}
	if err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	old, err := r.Job(nil, nomadish.Val(job.Namespace), nomadish.Val(job.ID))
	if err != nil && !errors.Is(err, nomadish.ErrNotFound) {
		return nil, 0, err
	}
	next, _, err := r.NextJob(job, r.Index()+1)
	if err != nil {
		return nil, 0, err
	}
	eval := e.evaluation(ctx, next, nomadish.EvalTriggerJobRegister, req.EvalPriority)
	eval.AnnotatePlan = true
	out, err := e.scheduler.DryRun(r, next, eval)
	if err != nil {
		return nil, 0, err
	}
	resp := planned(r, out)
	resp.Warnings = warnings.String()
	if old != nil {
		resp.JobModifyIndex = nomadish.Val(old.JobModifyIndex)
	}
	if p := job.Periodic; p != nil && nomadish.Val(p.Enabled) {
		if resp.NextPeriodicLaunch, err = p.Next(e.cfg.Now()); err != nil {
			return nil, 0, err
		}
	}
	if req.Diff {
		resp.Diff = nomadish.DiffJobs(old, job)
		scheduler.Annotate(resp.Diff, old, job, resp.Annotations.DesiredTGUpdates)
	}
	return resp, r.Index(), nil
}

// planned is the part of the answer that an outcome gives.
func planned(r state.Reader, out *scheduler.Outcome) *nomadish.JobPlanResponse {
	resp := &nomadish.JobPlanResponse{
		Annotations: out.Eval.PlanAnnotations, FailedTGAllocs: out.Eval.FailedTGAllocs,
		CreatedEvals: out.FollowUps, Unplaced: unplaced(out),
	}
	if resp.Annotations == nil { // of a type of job that is not scheduled
		resp.Annotations = &nomadish.PlanAnnotations{DesiredTGUpdates: map[string]*nomadish.DesiredUpdates{}}
	}
	if out.Blocked != nil {
		resp.CreatedEvals = append(resp.CreatedEvals, out.Blocked)
	}
	resp.Placements, resp.PlacementsOmitted = placements(r, out)
	return resp
}

// unplaced counts by group what found no node.
func unplaced(out *scheduler.Outcome) map[string]int {
	counts := map[string]int{}
	for group, n := range out.Eval.QueuedAllocations {
		if n > 0 {
			counts[group] = n
		}
	}
	return counts
}

// placements lists where an outcome puts new allocations.
func placements(r state.Reader, out *scheduler.Outcome) (placed []*nomadish.PlannedPlacement, omitted int) {
	if out.Plan == nil {
		return nil, 0
	}
	for _, allocs := range out.Plan.NodeAllocation {
		for _, a := range allocs {
			if a.CreateIndex != 0 {
				continue // it stays where it is
			}
			p := &nomadish.PlannedPlacement{
				Name: a.Name, TaskGroup: a.TaskGroup, NodeID: a.NodeID, NodeName: a.NodeName, Replaces: a.PreviousAllocation,
			}
			if a.Metrics != nil && len(a.Metrics.ScoreMetaData) > 0 {
				p.Score = a.Metrics.ScoreMetaData[0].NormScore
			}
			if was, err := r.Allocation(nil, a.PreviousAllocation); err == nil {
				p.ReplacesNode = was.NodeID
			}
			placed = append(placed, p)
		}
	}
	slices.SortFunc(placed, comparePlacements)
	if n := len(placed) - nomadish.MaxPlannedPlacements; n > 0 {
		return placed[:nomadish.MaxPlannedPlacements], n
	}
	return placed, 0
}

// comparePlacements orders allocations by group and index.
func comparePlacements(a, b *nomadish.PlannedPlacement) int {
	return cmp.Or(
		strings.Compare(a.TaskGroup, b.TaskGroup), cmp.Compare(len(a.Name), len(b.Name)), strings.Compare(a.Name, b.Name),
	)
}
