package httpapi

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Planner says what would happen if a job were registered.
type Planner interface {
	// PlanJob returns the index of the state that it saw.
	PlanJob(ctx context.Context, req *nomadish.JobPlanRequest) (*nomadish.JobPlanResponse, uint64, error)
}

// Scaling scales jobs. The index of writes is the write's.
type Scaling interface {
	ScaleStatus(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.JobScaleStatus, uint64, error)
	ScaleJob(ctx context.Context, jobID string, req *nomadish.ScalingRequest) (*nomadish.JobRegisterResponse, uint64, error)
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
	a.jobTarget(r, req.Job, &req.WriteRequest)
	resp, index, err := a.back.Server.Planner.PlanJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return resp, nil
}

func (a *API) scaleStatus(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.JobScaleStatus, uint64, error) {
		return a.back.Server.Scaling.ScaleStatus(ctx, ws, r.Query.Namespace, r.Param("id"))
	})
}

func (a *API) scaleJob(r *Request) (any, error) {
	req := &nomadish.ScalingRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	switch job := req.Target["Job"]; {
	case job != "" && job != r.Param("id"):
		return nil, nomadish.Errorf(nomadish.KindInvalid, "job ID in payload did not match URL")
	case req.Target["Group"] == "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "missing task group name for scaling action")
	}
	a.writeTarget(r, &req.WriteRequest)
	resp, index, err := a.back.Server.Scaling.ScaleJob(r.Context(), r.Param("id"), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}
