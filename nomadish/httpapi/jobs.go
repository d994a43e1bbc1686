package httpapi

import (
	"context"
	"iter"
	"strconv"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// byName is the order of lists whose backend gives rows by name.
func byName[T any](name func(T) string) order[T] {
	return order[T]{at: func(row T) position { return position{id: name(row)} }}
}

// jobOrder is by id, and before that by namespace where the list has several.
func jobOrder(q Query) order[*nomadish.JobListStub] {
	if q.Namespace == "*" {
		rows := byName(func(j *nomadish.JobListStub) string { return j.Namespace + scopeMark + j.ID })
		rows.scoped = true
		return rows
	}
	return byName(func(j *nomadish.JobListStub) string { return j.ID })
}

func (a *API) jobs(r *Request) (any, error) {
	meta, err := r.Bool("meta")
	if err != nil {
		return nil, err
	}
	return list(r, jobOrder(r.Query), func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.JobListStub], uint64, error) {
		return a.back.Server.Jobs.Jobs(ctx, ws, r.Query.Namespace, r.Query.Prefix, meta)
	})
}

func (a *API) job(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.Job, uint64, error) {
		return a.back.Server.Jobs.Job(ctx, ws, r.Query.Namespace, r.Param("id"))
	})
}

func (a *API) registerJob(r *Request) (any, error) {
	req := &nomadish.JobRegisterRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.register(r, req)
}

// updateJob is registerJob at the job's own path.
func (a *API) updateJob(r *Request) (any, error) {
	req := &nomadish.JobRegisterRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if req.Job != nil && nomadish.Val(req.Job.ID) != r.Param("id") {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Job ID does not match name")
	}
	return a.register(r, req)
}

func (a *API) register(r *Request, req *nomadish.JobRegisterRequest) (any, error) {
	if err := checkJob(req.Job); err != nil {
		return nil, err
	}
	if away, err := a.jobElsewhere(r, req.Job); away != nil || err != nil {
		return away, err
	}
	a.jobTarget(r, req.Job, &req.WriteRequest)
	resp, index, err := a.back.Server.JobWrites.RegisterJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}

func checkJob(job *nomadish.Job) error {
	switch {
	case job == nil:
		return nomadish.Errorf(nomadish.KindInvalid, "Job must be specified")
	case nomadish.Val(job.ID) == "":
		return nomadish.Errorf(nomadish.KindInvalid, "Job ID hasn't been provided")
	}
	return nil
}

// jobTarget fills in where a job goes: what the job says wins over the query, and the
// query over the body's own fields.
func (a *API) jobTarget(r *Request, job *nomadish.Job, target *nomadish.WriteRequest) {
	a.writeTarget(r, target)
	if ns := nomadish.Val(job.Namespace); ns != "" {
		target.Namespace = ns
	}
}

// writeTarget fills in region and namespace of a write.
func (a *API) writeTarget(r *Request, target *nomadish.WriteRequest) {
	if target.Region == "" || r.values.Has("region") {
		target.Region = a.cfg.Region
	}
	if target.Namespace == "" || r.values.Has("namespace") {
		target.Namespace = r.Query.Namespace
	}
}

func (a *API) validateJob(r *Request) (any, error) {
	req := &nomadish.JobValidateRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if req.Job == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Job must be specified")
	}
	if away, err := a.jobElsewhere(r, req.Job); away != nil && err == nil { // else that is a warning
		return away, nil
	}
	a.jobTarget(r, req.Job, &req.WriteRequest)
	return a.back.Server.JobWrites.ValidateJob(r.Context(), req)
}

// sourceMax is the longest job file that is parsed.
const sourceMax = 1 << 20

func (a *API) parseJob(r *Request) (any, error) {
	req := &nomadish.JobsParseRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	switch {
	case req.JobHCL == "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Job spec is empty")
	case len(req.JobHCL)+len(req.Variables) > sourceMax:
		return nil, nomadish.Errorf(nomadish.KindTooLarge, "JobHCL and Variables are %d bytes, at most %d are allowed",
			len(req.JobHCL)+len(req.Variables), sourceMax)
	}
	return a.back.Server.Parser.ParseJob(r.Context(), req)
}

func (a *API) deregisterJob(r *Request) (any, error) {
	req := &nomadish.JobDeregisterRequest{JobID: r.Param("id")}
	a.writeTarget(r, &req.WriteRequest)
	priority, err := r.Int("eval_priority", 0)
	if err != nil {
		return nil, err
	}
	req.EvalPriority = int(priority)
	for name, flag := range map[string]*bool{
		"purge": &req.Purge, "global": &req.Global, "no_shutdown_delay": &req.NoShutdownDelay,
	} {
		if *flag, err = r.Bool(name); err != nil {
			return nil, err
		}
	}
	resp, index, err := a.back.Server.JobWrites.DeregisterJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}

func (a *API) evaluateJob(r *Request) (any, error) {
	req := &nomadish.JobEvaluateRequest{}
	if err := r.DecodeOptional(req); err != nil {
		return nil, err
	}
	if req.JobID != "" && req.JobID != r.Param("id") {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "JobID does not match")
	}
	req.JobID = r.Param("id")
	a.writeTarget(r, &req.WriteRequest)
	resp, index, err := a.back.Server.JobWrites.EvaluateJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}

func (a *API) jobSummary(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.JobSummary, uint64, error) {
		return a.back.Server.Jobs.JobSummary(ctx, ws, r.Query.Namespace, r.Param("id"))
	})
}

func (a *API) jobSubmission(r *Request) (any, error) {
	version, err := strconv.ParseUint(r.Value("version"), 10, 64)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of version: must be a job version", r.Value("version"))
	}
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.JobSubmission, uint64, error) {
		return a.back.Server.Jobs.JobSubmission(ctx, ws, r.Query.Namespace, r.Param("id"), version)
	})
}

func (a *API) jobAllocations(r *Request) (any, error) {
	all, err := r.Bool("all")
	if err != nil {
		return nil, err
	}
	return list(r, allocationOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
		return a.back.Server.Allocations.AllocationsByJob(ctx, ws, r.Query.Namespace, r.Param("id"), all)
	})
}

func (a *API) jobEvaluations(r *Request) (any, error) {
	return list(r, evaluationOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.Evaluation], uint64, error) {
		return a.back.Server.Evaluations.EvaluationsByJob(ctx, ws, r.Query.Namespace, r.Param("id"))
	})
}
