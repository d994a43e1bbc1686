package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Plan says what would happen if a job were registered.
func (j Jobs) Plan(ctx context.Context, req *nomadish.JobPlanRequest) (*nomadish.JobPlanResponse, error) {
	return put[*nomadish.JobPlanResponse](ctx, j.c, j.path(nomadish.Val(req.Job.ID), "/plan"), target(req.WriteRequest), req)
}

// VersionDiffs lists a job's versions, newest first, with how each differs from the one before
// it; or, if base names a tag or the number of a version, how all of them differ from that one.
func (j Jobs) VersionDiffs(ctx context.Context, jobID, base string, q *Query) (*nomadish.JobVersionsResponse, Meta, error) {
	params := url.Values{"diffs": {"true"}}
	if _, err := strconv.ParseUint(base, 10, 64); err == nil {
		params.Set("diff_version", base)
	} else if base != "" {
		params.Set("diff_tag", base)
	}
	var out *nomadish.JobVersionsResponse
	meta, err := j.c.do(ctx, call{method: http.MethodGet, path: j.path(jobID, "/versions"), query: q, params: params, out: &out})
	return out, meta, err
}

// Revert makes an earlier version of a job current again, as a new version.
func (j Jobs) Revert(ctx context.Context, req *nomadish.JobRevertRequest) (*nomadish.JobRegisterResponse, error) {
	return put[*nomadish.JobRegisterResponse](ctx, j.c, j.path(req.JobID, "/revert"), target(req.WriteRequest), req)
}

// Stabilize says whether a version of a job has proved itself.
func (j Jobs) Stabilize(ctx context.Context, req *nomadish.JobStabilityRequest) (*nomadish.JobStabilityResponse, error) {
	return put[*nomadish.JobStabilityResponse](ctx, j.c, j.path(req.JobID, "/stable"), target(req.WriteRequest), req)
}

// Tag names a version of a job.
func (j Jobs) Tag(ctx context.Context, jobID, tag string, req *nomadish.JobTagRequest) (*nomadish.JobTagResponse, error) {
	return put[*nomadish.JobTagResponse](ctx, j.c, j.path(jobID, "/versions/"+id(tag)+"/tag"), target(req.WriteRequest), req)
}

// Untag takes a tag away.
func (j Jobs) Untag(ctx context.Context, jobID, tag string, w nomadish.WriteRequest) error {
	_, err := j.c.do(ctx, call{method: http.MethodDelete, path: j.path(jobID, "/versions/"+id(tag)+"/tag"), params: target(w)})
	return err
}

// ScaleStatus says how a job is scaled.
func (j Jobs) ScaleStatus(ctx context.Context, jobID string, q *Query) (*nomadish.JobScaleStatus, Meta, error) {
	return get[*nomadish.JobScaleStatus](ctx, j.c, j.path(jobID, "/scale"), q)
}

// Scale sets the count of a job's group, or leaves a note about it.
func (j Jobs) Scale(ctx context.Context, jobID string, req *nomadish.ScalingRequest) (*nomadish.JobRegisterResponse, error) {
	return put[*nomadish.JobRegisterResponse](ctx, j.c, j.path(jobID, "/scale"), target(req.WriteRequest), req)
}

// ScalingPolicies lists the scaling policies of groups by ID; the query's parameters may be job
// and type.
func (j Jobs) ScalingPolicies(ctx context.Context, q *Query) ([]*nomadish.ScalingPolicyStub, Meta, error) {
	return get[[]*nomadish.ScalingPolicyStub](ctx, j.c, "/v1/scaling/policies", q)
}

// ScalingPolicy reads a group's scaling policy.
func (j Jobs) ScalingPolicy(ctx context.Context, policyID string, q *Query) (*nomadish.ScalingPolicy, Meta, error) {
	return get[*nomadish.ScalingPolicy](ctx, j.c, "/v1/scaling/policy/"+id(policyID), q)
}

// ForcePeriodic launches a periodic job now.
func (j Jobs) ForcePeriodic(ctx context.Context, req *nomadish.PeriodicForceRequest) (*nomadish.PeriodicForceResponse, error) {
	return put[*nomadish.PeriodicForceResponse](ctx, j.c, j.path(req.JobID, "/periodic/force"), target(req.WriteRequest), req)
}
