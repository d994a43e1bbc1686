package httpapi

import (
	"context"
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Scaling scales jobs. The index of writes is the write's.
type Scaling interface {
	ScaleStatus(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.JobScaleStatus, uint64, error)
	// ScalingPolicies lists the policies of groups by id, of one job if that is not empty.
	ScalingPolicies(ctx context.Context, ws memdb.WatchSet, namespace, jobID, kind string) ([]*nomadish.ScalingPolicyStub, uint64, error)
	ScalingPolicy(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.ScalingPolicy, uint64, error)
	ScaleJob(ctx context.Context, jobID string, req *nomadish.ScalingRequest) (*nomadish.JobRegisterResponse, uint64, error)
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

func (a *API) scalingPolicies(r *Request) (any, error) {
	rows := byName(func(p *nomadish.ScalingPolicyStub) string { return p.ID })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ScalingPolicyStub], uint64, error) {
		all, index, err := a.back.Server.Scaling.ScalingPolicies(ctx, ws, r.Query.Namespace, r.Value("job"), r.Value("type"))
		return slices.Values(all), index, err
	})
}

func (a *API) scalingPolicy(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.ScalingPolicy, uint64, error) {
		return a.back.Server.Scaling.ScalingPolicy(ctx, ws, r.Query.Namespace, r.Param("id"))
	})
}
