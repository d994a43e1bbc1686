package evals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/broker"
	"github.com/nomadish/nomadish/server/capacity"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/scheduler"
	"github.com/nomadish/nomadish/server/state"
)

// What users read in the status description of evaluations that this package ends or makes.
const (
	descSuperseded = "another evaluation of the same job stands in for this one"
	descConflicts  = "created due to placement conflicts"
	descAttempts   = "maximum attempts reached: plans were rejected again and again"
	descDeliveries = "evaluation reached its delivery limit"
	descRetry      = "created to try a failed evaluation anew"
)

// jobTypes are the types of evaluations that workers take.
var jobTypes = []string{"service", "batch", "system", "sysbatch"}

// work takes one evaluation after the other until idle ends, and finishes the one that it is
// at unless ctx ends too.
func (s *session) work(ctx, idle context.Context, types []string) {
	for {
		d, err := s.broker.Dequeue(idle, types...)
		if err != nil {
			return
		}
		finish := s.broker.Ack
		if err := s.answer(ctx, d); err != nil {
			if ctx.Err() != nil {
				return
			}
			s.cfg.Logger.Warn("evaluation given back", "eval_id", d.Eval.ID, "job_id", d.Eval.JobID, "err", err)
			finish = s.broker.Nack
		}
		err = finish(d.Eval.ID, d.Token)
		if err != nil {
			s.cfg.Logger.Debug("evaluation is no longer ours", "eval_id", d.Eval.ID, "err", err)
		}
	}
}

// answer schedules until the whole answer is committed.
func (s *session) answer(ctx context.Context, d *broker.Delivery) error {
	index := d.Index
	for attempt := 0; attempt < s.cfg.MaxAttempts; attempt++ {
		if err := s.applied.wait(ctx, index); err != nil {
			return err
		}
		if err := s.broker.Extend(d.Eval.ID, d.Token); err != nil {
			return err
		}
		out, err := s.schedule(d.Eval)
		if err != nil {
			return err
		}
		result, err := s.submit(ctx, d, out)
		if err != nil {
			return err
		}
		if result.RefreshIndex == 0 {
			return s.end(ctx, out)
		}
		index = max(index, result.RefreshIndex, result.AllocIndex)
		if result.AllocIndex > 0 {
			attempt = -1 // progress: a part of it was committed
		}
	}
	return s.putOff(ctx, d.Eval)
}

// schedule asks the scheduler with the newest state.
func (s *session) schedule(eval *nomadish.Evaluation) (*scheduler.Outcome, error) {
	started := time.Now()
	// The view first: an allocation that ended in between then still counts in the view,
	// which costs a little room. The other way round its room would be given away twice. The
	// view's index is what counts, so that room that comes up now is seen as newer.
	view := s.table.View()
	snap := s.snapshot(reading{s.store.Reader()}, view, eval)
	snap.Excluded = s.planner.Excluded()
	out, err := scheduler.Schedule(snap, eval)
	if err == nil {
		stampTimes(out, time.Since(started))
	}
	return out, err
}

// read is what the scheduler reads, and the state behind it.
type read interface {
	scheduler.State
	reader() state.Reader
}

// snapshot is the world as the scheduler sees it.
func (e *Evals) snapshot(r read, view capacity.View, eval *nomadish.Evaluation) scheduler.Snapshot {
	return scheduler.Snapshot{
		State: r, Index: view.Index(), Capacity: view, Config: schedulerConfig(r, eval), Now: e.cfg.Now(),
	}
}

// stampTimes notes how long the scheduler took, for each allocation its share.
func stampTimes(out *scheduler.Outcome, took time.Duration) {
	if out.Plan == nil {
		return
	}
	var fresh []*nomadish.AllocationMetric
	for _, list := range out.Plan.NodeAllocation {
		for _, a := range list {
			if a.CreateIndex == 0 && a.Metrics != nil {
				fresh = append(fresh, a.Metrics)
			}
		}
	}
	for _, m := range fresh {
		m.AllocationTime = took / time.Duration(len(fresh))
	}
}

// schedulerConfig is the cluster's configuration with what the job's node pool sets itself.
func schedulerConfig(r read, eval *nomadish.Evaluation) nomadish.SchedulerConfiguration {
	config := *r.reader().SchedulerConfig(nil)
	job, err := r.Job(eval.Namespace, eval.JobID)
	if err != nil {
		return config
	}
	pool, err := r.reader().NodePool(nil, nomadish.Val(job.NodePool))
	if err != nil || pool.SchedulerConfiguration == nil {
		return config
	}
	if own := pool.SchedulerConfiguration; own.SchedulerAlgorithm != "" {
		config.SchedulerAlgorithm = own.SchedulerAlgorithm
	}
	if own := pool.SchedulerConfiguration.MemoryOversubscriptionEnabled; own != nil {
		config.MemoryOversubscriptionEnabled = *own
	}
	return config
}

// submit commits follow-ups, which the plan's allocations name, and then the plan.
func (s *session) submit(ctx context.Context, d *broker.Delivery, out *scheduler.Outcome) (*nomadish.PlanResult, error) {
	if len(out.FollowUps) > 0 {
		if _, err := s.update(ctx, out.FollowUps...); err != nil {
			return nil, err
		}
	}
	if out.Plan == nil {
		return &nomadish.PlanResult{}, nil
	}
	out.Plan.EvalToken = d.Token
	result, err := s.planner.Submit(ctx, out.Plan)
	if err == nil {
		return result, nil
	}
	s.unblockAll() // what the plan had booked is free again, and no change of the state tells so
	var known *nomadish.Error
	if errors.As(err, &known) && known.Kind == nomadish.KindConflict {
		// The state has moved on: look again.
		s.cfg.Logger.Debug("plan refused", "eval_id", d.Eval.ID, "err", err)
		return &nomadish.PlanResult{RefreshIndex: s.store.Reader().Index()}, nil
	}
	return nil, err
}

// end stores how the evaluation ended, the blocked evaluation that it leaves, and the end of
// the one that an earlier look at the job had left.
func (s *session) end(ctx context.Context, out *scheduler.Outcome) error {
	evals := []*nomadish.Evaluation{out.Eval}
	if out.Blocked != nil {
		evals = append(evals, out.Blocked)
	} else if old := s.blocked.Supersede(out.Eval.Namespace, out.Eval.JobID, out.Eval.SnapshotIndex); old != nil && old.ID != out.Eval.ID {
		evals = append(evals, cancelled(old))
	}
	_, err := s.update(ctx, evals...)
	return err
}

// putOff ends an evaluation whose plans are rejected again and again, and makes one that
// tries later.
func (s *session) putOff(ctx context.Context, eval *nomadish.Evaluation) error {
	end := *eval
	end.Status, end.StatusDescription = nomadish.EvalStatusFailed, descAttempts
	next := s.next(eval, nomadish.EvalTriggerMaxPlans, descConflicts)
	end.NextEval = next.ID
	_, err := s.update(ctx, &end, next)
	return err
}

// next makes an evaluation that continues another after a while.
func (s *session) next(eval *nomadish.Evaluation, trigger, description string) *nomadish.Evaluation {
	return &nomadish.Evaluation{
		ID: nomadish.NewID(), Priority: eval.Priority, Type: eval.Type, TriggeredBy: trigger,
		Namespace: eval.Namespace, JobID: eval.JobID, JobModifyIndex: eval.JobModifyIndex,
		Status: nomadish.EvalStatusPending, StatusDescription: description,
		PreviousEval: eval.ID, WaitUntil: s.cfg.Now().Add(s.cfg.RetryFailed),
	}
}

func cancelled(eval *nomadish.Evaluation) *nomadish.Evaluation {
	end := *eval
	end.Status, end.StatusDescription = nomadish.EvalStatusCancelled, descSuperseded
	return &end
}

// maxUpdates is how many evaluations are written in one log entry.
const maxUpdates = 256

// update stores evaluations.
func (s *session) update(ctx context.Context, evals ...*nomadish.Evaluation) (index uint64, err error) {
	for some := range slices.Chunk(evals, maxUpdates) {
		if index, _, err = s.proposer.Propose(ctx, &fsm.UpdateEvaluations{Evals: some}); err != nil {
			return 0, fmt.Errorf("update evaluations: %w", err)
		}
	}
	return index, nil
}

// reap cancels evaluations that others stand in for.
func (s *session) reap(ctx context.Context) error {
	var left []*nomadish.Evaluation
	for {
		changed := s.broker.Changed()
		for _, eval := range s.broker.Superseded() {
			left = append(left, cancelled(eval))
		}
		if len(left) > 0 {
			if _, err := s.update(ctx, left...); err == nil {
				left = nil
				continue
			} else if ctx.Err() == nil {
				s.cfg.Logger.Warn("cancel evaluations", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// reapFailed ends evaluations that were delivered too often, and tries them anew later.
func (s *session) reapFailed(ctx context.Context) error {
	for {
		d, err := s.broker.Dequeue(ctx, broker.Failed)
		if err != nil {
			return nil
		}
		end := *d.Eval
		end.Status, end.StatusDescription = nomadish.EvalStatusFailed, descDeliveries
		next := s.next(d.Eval, nomadish.EvalTriggerFailedFollowUp, descRetry)
		end.NextEval = next.ID
		finish := s.broker.Ack
		if _, err = s.update(ctx, &end, next); err != nil {
			s.cfg.Logger.Warn("end failed evaluation", "eval_id", end.ID, "err", err)
			finish = s.broker.Nack
		}
		failed := err != nil
		if err = finish(end.ID, d.Token); err != nil {
			s.cfg.Logger.Debug("evaluation is no longer ours", "eval_id", end.ID, "err", err)
		}
		if failed { // it comes back at once, and a full disk refuses for long
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reapAgain):
			}
		}
	}
}

// reapAgain is the time after which an evaluation is ended again where that failed.
const reapAgain = time.Second

// reading lets the scheduler read the state.
type reading struct{ r state.Reader }

func (s reading) reader() state.Reader { return s.r }

func (s reading) Job(namespace, id string) (*nomadish.Job, error) { return s.r.Job(nil, namespace, id) }

func (s reading) JobVersion(namespace, id string, version uint64) (*nomadish.Job, error) {
	return s.r.JobVersion(nil, namespace, id, version)
}

func (s reading) AllocationsByJob(namespace, id string) ([]*nomadish.Allocation, error) {
	return slices.Collect(s.r.AllocationsByJob(nil, namespace, id)), nil
}

func (s reading) EvaluationsByJob(namespace, id string) ([]*nomadish.Evaluation, error) {
	return slices.Collect(s.r.EvaluationsByJob(nil, namespace, id)), nil
}
