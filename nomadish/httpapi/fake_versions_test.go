package httpapi

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

func (c *cluster) PlanJob(_ context.Context, req *nomadish.JobPlanRequest) (*nomadish.JobPlanResponse, uint64, error) {
	resp := &nomadish.JobPlanResponse{JobModifyIndex: 7}
	if req.Diff {
		resp.Diff = nomadish.DiffJobs(nil, req.Job)
	}
	return resp, 11, nil
}

func (c *cluster) RevertJob(_ context.Context, req *nomadish.JobRevertRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	return &nomadish.JobRegisterResponse{EvalID: req.JobID, JobModifyIndex: req.JobVersion}, 12, nil
}

func (c *cluster) StabilizeJob(_ context.Context, req *nomadish.JobStabilityRequest) (*nomadish.JobStabilityResponse, uint64, error) {
	return &nomadish.JobStabilityResponse{JobModifyIndex: req.JobVersion}, 13, nil
}

func (c *cluster) TagJobVersion(_ context.Context, _, tag string, req *nomadish.JobTagRequest) (*nomadish.JobTagResponse, uint64, error) {
	return &nomadish.JobTagResponse{Name: tag, Description: req.Description}, 14, nil
}

func (c *cluster) UntagJobVersion(_ context.Context, _, jobID, tag string) (uint64, error) {
	if tag != "golden" {
		return 0, nomadish.Errorf(nomadish.KindNotFound, "tag %q not found for job %q", tag, jobID)
	}
	return 15, nil
}

func (c *cluster) ScaleStatus(_ context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.JobScaleStatus, uint64, error) {
	return &nomadish.JobScaleStatus{JobID: id, Namespace: namespace}, c.watch(ws), nil
}

func (c *cluster) ScaleJob(_ context.Context, _ string, req *nomadish.ScalingRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	return &nomadish.JobRegisterResponse{JobModifyIndex: uint64(*req.Count)}, 16, nil
}

func (c *cluster) ScalingPolicies(_ context.Context, ws memdb.WatchSet, _, jobID, kind string) ([]*nomadish.ScalingPolicyStub, uint64, error) {
	return []*nomadish.ScalingPolicyStub{{ID: "p1", Type: kind, Target: map[string]string{"Job": jobID}}}, c.watch(ws), nil
}

func (c *cluster) ScalingPolicy(_ context.Context, ws memdb.WatchSet, _, id string) (*nomadish.ScalingPolicy, uint64, error) {
	return &nomadish.ScalingPolicy{ID: id}, c.watch(ws), nil
}

func (c *cluster) ForcePeriodicJob(_ context.Context, req *nomadish.PeriodicForceRequest) (*nomadish.PeriodicForceResponse, uint64, error) {
	return &nomadish.PeriodicForceResponse{EvalID: req.JobID}, 17, nil
}
