package evals

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
	"github.com/nomadish/nomadish/server/scheduler"
	"github.com/nomadish/nomadish/server/state"
)

// DryRun says what an evaluation would come to if job, a version that NextJob has made, were
// the current one. It is what workers do with evaluations, and nothing is committed. Plans in
// flight count while Run runs; otherwise what the state says.
func (e *Evals) DryRun(r state.Reader, job *nomadish.Job, eval *nomadish.Evaluation) (*scheduler.Outcome, error) {
	if s := e.current.Load(); s != nil {
		snap := e.snapshot(planned{reading{r}, job}, s.table.View(), eval)
		snap.Excluded = s.planner.Excluded()
		return scheduler.Schedule(snap, eval)
	}
	table := capacity.New()
	fill(table, r, e.cfg.Now().UnixNano())
	return scheduler.Schedule(e.snapshot(planned{reading{r}, job}, table.View(), eval), eval)
}

// planned reads the state as if a job were stored.
type planned struct {
	reading
	job *nomadish.Job
}

func (p planned) is(namespace, id string) bool {
	return namespace == nomadish.Val(p.job.Namespace) && id == nomadish.Val(p.job.ID)
}

func (p planned) Job(namespace, id string) (*nomadish.Job, error) {
	if p.is(namespace, id) {
		return p.job, nil
	}
	return p.reading.Job(namespace, id)
}

func (p planned) JobVersion(namespace, id string, version uint64) (*nomadish.Job, error) {
	if p.is(namespace, id) && version == nomadish.Val(p.job.Version) {
		return p.job, nil
	}
	return p.reading.JobVersion(namespace, id, version)
}
