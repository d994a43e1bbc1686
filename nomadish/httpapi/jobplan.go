package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Planner says what would happen if a job were registered.
type Planner interface {
	// PlanJob returns the index of the state that it saw.
	PlanJob(ctx context.Context, req *nomadish.JobPlanRequest) (*nomadish.JobPlanResponse, uint64, error)
}

// Launches launches jobs that do not run by themselves. The last result is the write's index.
type Launches interface {
	ForcePeriodicJob(ctx context.Context, req *nomadish.PeriodicForceRequest) (*nomadish.PeriodicForceResponse, uint64, error)
}

func (a *API) planJob(r *Request) (any, error) {
	req := &nomadish.JobPlanRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if err := checkJob(req.Job); err != nil {
		return nil, err
	}
	if nomadish.Val(req.Job.ID) != r.Param("id") {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Job ID does not match")
	}
	if away, err := a.jobElsewhere(r, req.Job); away != nil || err != nil {
		return away, err
	}
	a.jobTarget(r, req.Job, &req.WriteRequest)
	resp, index, err := a.back.Server.Planner.PlanJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return resp, nil
}

func (a *API) forcePeriodicJob(r *Request) (any, error) {
	req := &nomadish.PeriodicForceRequest{}
	if err := r.DecodeOptional(req); err != nil {
		return nil, err
	}
	if err := sameJob(r, &req.JobID); err != nil {
		return nil, err
	}
	a.writeTarget(r, &req.WriteRequest)
	resp, index, err := a.back.Server.Launches.ForcePeriodicJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}
