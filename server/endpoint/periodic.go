package endpoint

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// ForcePeriodicJob launches a periodic job now, also while an earlier launch of it still runs.
func (e *Endpoint) ForcePeriodicJob(ctx context.Context, req *nomadish.PeriodicForceRequest) (*nomadish.PeriodicForceResponse, uint64, error) {
	if err := e.may(ctx, nomadish.PermForcePeriodicJob, req.Namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	parent, err := r.Job(nil, req.Namespace, req.JobID)
	if parent, err = found(parent, err, "job not found"); err != nil {
		return nil, 0, err
	}
	switch {
	case parent.Periodic == nil:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "can't force launch non-periodic job")
	case nomadish.Val(parent.Stop):
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "can't force launch stopped job")
	case r.SchedulerConfig(nil).RejectJobRegistration:
		return nil, 0, nomadish.Errorf(nomadish.KindDenied, "job registration, dispatch, and scale are disabled by the scheduler configuration")
	}
	child := parent.Launch(e.cfg.Now())
	child.SubmitTime = nomadish.Ptr(e.cfg.Now().UnixNano())
	eval := e.evaluation(ctx, child, nomadish.EvalTriggerPeriodicJob, 0)
	_, index, err := propose[*fsm.RegisterJobResult](ctx, e, &fsm.RegisterJob{Job: child, Eval: eval})
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.PeriodicForceResponse{EvalID: eval.ID, EvalCreateIndex: index}, index, nil
}
