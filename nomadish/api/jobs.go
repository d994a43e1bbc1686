package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Jobs are the routes of jobs.
type Jobs struct{ c *Client }

// Jobs returns the routes of jobs.
func (c *Client) Jobs() Jobs { return Jobs{c} }

func (j Jobs) path(jobID, rest string) string { return "/v1/job/" + id(jobID) + rest }

// List lists jobs by ID.
func (j Jobs) List(ctx context.Context, q *Query) ([]*nomadish.JobListStub, Meta, error) {
	return get[[]*nomadish.JobListStub](ctx, j.c, "/v1/jobs", q)
}

// Job reads a job's current version.
func (j Jobs) Job(ctx context.Context, jobID string, q *Query) (*nomadish.Job, Meta, error) {
	return get[*nomadish.Job](ctx, j.c, j.path(jobID, ""), q)
}

// Register stores a job, as a new one or as its next version.
func (j Jobs) Register(ctx context.Context, req *nomadish.JobRegisterRequest) (*nomadish.JobRegisterResponse, error) {
	return put[*nomadish.JobRegisterResponse](ctx, j.c, "/v1/jobs", target(req.WriteRequest), req)
}

// Validate says whether a job would be accepted.
func (j Jobs) Validate(ctx context.Context, req *nomadish.JobValidateRequest) (*nomadish.JobValidateResponse, error) {
	return put[*nomadish.JobValidateResponse](ctx, j.c, "/v1/validate/job", target(req.WriteRequest), req)
}

// Parse makes a job of a job file.
func (j Jobs) Parse(ctx context.Context, req *nomadish.JobsParseRequest) (*nomadish.Job, error) {
	return put[*nomadish.Job](ctx, j.c, "/v1/jobs/parse", nil, req)
}

// Deregister stops a job.
func (j Jobs) Deregister(ctx context.Context, req *nomadish.JobDeregisterRequest) (*nomadish.JobDeregisterResponse, error) {
	params := target(req.WriteRequest)
	params.Set("purge", strconv.FormatBool(req.Purge))
	params.Set("global", strconv.FormatBool(req.Global))
	params.Set("no_shutdown_delay", strconv.FormatBool(req.NoShutdownDelay))
	if req.EvalPriority != 0 {
		params.Set("eval_priority", strconv.Itoa(req.EvalPriority))
	}
	var out *nomadish.JobDeregisterResponse
	_, err := j.c.do(ctx, call{method: http.MethodDelete, path: j.path(req.JobID, ""), params: params, out: &out})
	return out, err
}

// Evaluate makes a new evaluation of a job.
func (j Jobs) Evaluate(ctx context.Context, req *nomadish.JobEvaluateRequest) (*nomadish.JobRegisterResponse, error) {
	return put[*nomadish.JobRegisterResponse](ctx, j.c, j.path(req.JobID, "/evaluate"), target(req.WriteRequest), req)
}

// Versions lists a job's versions, newest first.
func (j Jobs) Versions(ctx context.Context, jobID string, q *Query) ([]*nomadish.Job, Meta, error) {
	out, meta, err := get[nomadish.JobVersionsResponse](ctx, j.c, j.path(jobID, "/versions"), q)
	return out.Versions, meta, err
}

// Submission reads the text that a version of a job was made of.
func (j Jobs) Submission(ctx context.Context, jobID string, version uint64, q *Query) (*nomadish.JobSubmission, Meta, error) {
	var out *nomadish.JobSubmission
	meta, err := j.c.do(ctx, call{
		method: http.MethodGet, path: j.path(jobID, "/submission"), query: q, out: &out,
		params: url.Values{"version": {strconv.FormatUint(version, 10)}},
	})
	return out, meta, err
}

// Summary counts a job's allocations.
func (j Jobs) Summary(ctx context.Context, jobID string, q *Query) (*nomadish.JobSummary, Meta, error) {
	return get[*nomadish.JobSummary](ctx, j.c, j.path(jobID, "/summary"), q)
}

// Allocations lists a job's allocations, the oldest first; all includes those of an
// earlier job of that ID.
func (j Jobs) Allocations(ctx context.Context, jobID string, all bool, q *Query) ([]*nomadish.AllocationListStub, Meta, error) {
	var out []*nomadish.AllocationListStub
	meta, err := j.c.do(ctx, call{
		method: http.MethodGet, path: j.path(jobID, "/allocations"), query: q, out: &out,
		params: url.Values{"all": {strconv.FormatBool(all)}},
	})
	return out, meta, err
}

// Evaluations lists a job's evaluations, the oldest first.
func (j Jobs) Evaluations(ctx context.Context, jobID string, q *Query) ([]*nomadish.Evaluation, Meta, error) {
	return get[[]*nomadish.Evaluation](ctx, j.c, j.path(jobID, "/evaluations"), q)
}

// Deployments lists a job's deployments, the oldest first.
func (j Jobs) Deployments(ctx context.Context, jobID string, q *Query) ([]*nomadish.Deployment, Meta, error) {
	return get[[]*nomadish.Deployment](ctx, j.c, j.path(jobID, "/deployments"), q)
}

// Deployment reads a job's newest deployment; nil: it has none.
func (j Jobs) Deployment(ctx context.Context, jobID string, q *Query) (*nomadish.Deployment, Meta, error) {
	return get[*nomadish.Deployment](ctx, j.c, j.path(jobID, "/deployment"), q)
}

// target makes the query string of a write that says where it goes.
func target(w nomadish.WriteRequest) url.Values {
	v := url.Values{}
	if w.Region != "" {
		v.Set("region", w.Region)
	}
	if w.Namespace != "" {
		v.Set("namespace", w.Namespace)
	}
	return v
}
