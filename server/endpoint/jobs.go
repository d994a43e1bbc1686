package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Jobs lists jobs by namespace and id.
func (e *Endpoint) Jobs(ctx context.Context, ws memdb.WatchSet, namespace, prefix string, meta bool) (iter.Seq[*nomadish.JobListStub], uint64, error) {
	r := e.store.Reader()
	r.WatchJobSummaries(ws) // one channel for all: a list of thousands need not wait on each
	rows := visibleRows(ctx, e, nomadish.PermListJobs, r.JobsByPrefix(ws, namespace, prefix), func(j *nomadish.Job) string { return nomadish.Val(j.Namespace) })
	stubs := mapped(rows, func(j *nomadish.Job) *nomadish.JobListStub {
		summary, err := r.JobSummary(nil, nomadish.Val(j.Namespace), nomadish.Val(j.ID))
		if err != nil {
			summary = nil // a job in a list may do without
		}
		return j.Stub(summary, meta)
	})
	return stubs, r.TableIndex(state.TableJobs, state.TableJobSummaries), nil
}

// Job returns the current version of a job.
func (e *Endpoint) Job(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.Job, uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	job, err := r.Job(ws, namespace, id)
	if job, err = found(job, err, "job not found"); err != nil {
		return nil, r.TableIndex(state.TableJobs), err
	}
	return job, nomadish.Val(job.ModifyIndex), nil
}

// JobSummary returns the counts of a job's allocations.
func (e *Endpoint) JobSummary(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.JobSummary, uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	summary, err := r.JobSummary(ws, namespace, id)
	if summary, err = found(summary, err, "job not found"); err != nil {
		return nil, r.TableIndex(state.TableJobSummaries), err
	}
	return summary, summary.ModifyIndex, nil
}

// JobSubmission returns the text that a job version was made of.
func (e *Endpoint) JobSubmission(ctx context.Context, ws memdb.WatchSet, namespace, id string, version uint64) (*nomadish.JobSubmission, uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	sub, err := r.JobSubmission(ws, namespace, id, version)
	if sub, err = found(sub, err, "job source not found"); err != nil {
		return nil, r.TableIndex(state.TableJobSubmissions), err
	}
	return sub, r.TableIndex(state.TableJobSubmissions), nil
}

// admission is what this cluster knows when it decides whether to take a job.
func (e *Endpoint) admission(r state.Reader) nomadish.Admission {
	return nomadish.Admission{
		NamespaceExists:        func(name string) bool { _, err := r.Namespace(nil, name); return err == nil },
		NodePoolExists:         func(name string) bool { _, err := r.NodePool(nil, name); return err == nil },
		MemoryOversubscription: r.SchedulerConfig(nil).MemoryOversubscriptionEnabled,
		Drivers:                e.cfg.Schemas,
	}
}

// admit returns a copy of a submitted job with all that it leaves out, and what is wrong with it.
func (e *Endpoint) admit(submitted *nomadish.Job, target nomadish.WriteRequest) (job *nomadish.Job, warnings nomadish.Warnings, err error) {
	job = submitted.Copy()
	if nomadish.Val(job.Namespace) == "" && target.Namespace != "" {
		job.Namespace = nomadish.Ptr(target.Namespace)
	}
	if !e.elsewhere(job) {
		job.Region = nomadish.Ptr(e.cfg.Region)
	}
	r := e.store.Reader()
	namespace, err := r.Namespace(nil, cmp.Or(nomadish.Val(job.Namespace), nomadish.DefaultNamespace))
	if err != nil {
		namespace = nil // Validate says so
	} else if nomadish.Val(job.NodePool) == "" {
		job.NodePool = nomadish.Ptr(namespace.DefaultNodePool())
	}
	job.Admit()
	admission := e.admission(r)
	admission.Namespace = namespace
	warnings = append(admission.Warnings(job), job.WithoutEffect(withoutEffect)...)
	if t := nomadish.Val(job.Type); t == nomadish.JobTypeSystem || t == nomadish.JobTypeSysBatch {
		warnings = append(warnings, fmt.Sprintf("Type: jobs of type %q are not placed yet", t))
	}
	return job, warnings, admission.Validate(job)
}

// elsewhere says that a job asks for another region. Job files say "global" where they mean
// the region that they are sent to.
func (e *Endpoint) elsewhere(job *nomadish.Job) bool {
	region := nomadish.Val(job.Region)
	return region != "" && region != nomadish.DefaultRegion && region != e.cfg.Region
}

// RegisterJob stores a job and the evaluation that places it.
func (e *Endpoint) RegisterJob(ctx context.Context, req *nomadish.JobRegisterRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	if e.store.Reader().SchedulerConfig(nil).RejectJobRegistration {
		return nil, 0, nomadish.Errorf(nomadish.KindDenied, "job registration, dispatch, and scale are disabled by the scheduler configuration")
	}
	if e.elsewhere(req.Job) {
		return nil, 0, nomadish.Errorf(nomadish.KindInternal, "No path to region")
	}
	job, warnings, err := e.admit(req.Job, req.WriteRequest)
	if err := e.maySubmit(ctx, nomadish.PermRegisterJob, job); err != nil {
		return nil, 0, err
	}
	if err != nil {
		return nil, 0, err
	}
	job.SubmitTime = nomadish.Ptr(e.cfg.Now().UnixNano())
	command := &fsm.RegisterJob{
		Job: job, EnforceIndex: req.EnforceIndex, JobModifyIndex: req.JobModifyIndex,
		PreserveCounts: req.PreserveCounts, PreserveResources: req.PreserveResources,
	}
	if places(job) {
		command.Eval = e.evaluation(ctx, job, nomadish.EvalTriggerJobRegister, req.EvalPriority)
	}
	made, index, err := propose[*fsm.RegisterJobResult](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	resp := &nomadish.JobRegisterResponse{JobModifyIndex: made.JobModifyIndex, Warnings: warnings.String()}
	if command.Eval != nil {
		resp.EvalID, resp.EvalCreateIndex = command.Eval.ID, index
	}
	if req.Submission == nil || !made.Changed {
		return resp, index, nil
	}
	// The source is for people to look at: a job whose source can't be kept runs without.
	if err := e.storeSubmission(ctx, job, made.Version, req.Submission); err != nil {
		resp.Warnings = append(warnings, "the job's source is not kept: "+err.Error()).String()
	}
	return resp, index, nil
}

// maxSource is how long the source of a job and its variables may be, as by Nomad's default of
// job_max_source_size.
const maxSource = 1 << 20

func (e *Endpoint) storeSubmission(ctx context.Context, job *nomadish.Job, version uint64, sub *nomadish.JobSubmission) error {
	size := len(sub.Source) + len(sub.Variables)
	for name, value := range sub.VariableFlags {
		size += len(name) + len(value)
	}
	if size > maxSource {
		return nomadish.Errorf(nomadish.KindTooLarge, "it takes %d bytes, more than the limit of %d (job_max_source_size)", size, maxSource)
	}
	_, _, err := propose[any](ctx, e, &fsm.StoreSubmission{
		Namespace: nomadish.Val(job.Namespace), JobID: nomadish.Val(job.ID), Version: version, Submission: sub,
	})
	return err
}

// ValidateJob says whether a job is right. It need not be one of this region.
func (e *Endpoint) ValidateJob(ctx context.Context, req *nomadish.JobValidateRequest) (*nomadish.JobValidateResponse, error) {
	job, warnings, err := e.admit(req.Job, req.WriteRequest)
	if err := e.may(ctx, nomadish.PermReadJob, nomadish.Val(job.Namespace)); err != nil {
		return nil, err
	}
	if e.elsewhere(req.Job) {
		warnings = append(warnings, fmt.Sprintf("Region: there is no path from here to region %q", nomadish.Val(req.Job.Region)))
	}
	resp := &nomadish.JobValidateResponse{DriverConfigValidated: true, Warnings: warnings.String()}
	if err == nil {
		return resp, nil
	}
	resp.Error = err.Error()
	var invalid *nomadish.ValidationError
	if !errors.As(err, &invalid) {
		resp.ValidationErrors = []string{err.Error()}
		return resp, nil
	}
	for _, f := range invalid.Faults {
		resp.ValidationErrors = append(resp.ValidationErrors, f.String())
	}
	return resp, nil
}

// ParseJob makes a job of the text of a job file.
func (e *Endpoint) ParseJob(_ context.Context, req *nomadish.JobsParseRequest) (*nomadish.Job, error) {
	job, err := parse(req)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Failed to parse job: %w", err)
	}
	if req.Canonicalize {
		job.Normalize()
	}
	return job, nil
}

// DeregisterJob stops a job, and with Purge forgets it.
func (e *Endpoint) DeregisterJob(ctx context.Context, req *nomadish.JobDeregisterRequest) (*nomadish.JobDeregisterResponse, uint64, error) {
	permission := nomadish.PermDeregisterJob
	if req.Purge {
		permission = nomadish.PermPurgeJob
	}
	if err := e.may(ctx, permission, req.Namespace); err != nil {
		return nil, 0, err
	}
	job, err := e.store.Reader().Job(nil, req.Namespace, req.JobID)
	switch {
	case errors.Is(err, nomadish.ErrNotFound) && e.repeated(ctx):
		return e.deregisteredBefore(ctx, req)
	case errors.Is(err, nomadish.ErrNotFound):
		return e.deregisterUnknown(ctx, req)
	case err != nil:
		return nil, 0, err
	}
	command := &fsm.DeregisterJob{
		Namespace: req.Namespace, JobID: req.JobID, Purge: req.Purge,
		NoShutdownDelay: req.NoShutdownDelay, SubmitTime: e.cfg.Now().UnixNano(),
	}
	if places(job) {
		command.Eval = e.evaluation(ctx, job, nomadish.EvalTriggerJobDeregister, req.EvalPriority)
	}
	made, index, err := propose[*fsm.DeregisterJobResult](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	resp := &nomadish.JobDeregisterResponse{JobModifyIndex: made.JobModifyIndex}
	if command.Eval != nil {
		resp.EvalID, resp.EvalCreateIndex = command.Eval.ID, index
	}
	return resp, index, nil
}

// deregisteredBefore answers as an earlier attempt was answered, which removed the job.
func (e *Endpoint) deregisteredBefore(ctx context.Context, req *nomadish.JobDeregisterRequest) (*nomadish.JobDeregisterResponse, uint64, error) {
	made, index, err := propose[*fsm.DeregisterJobResult](ctx, e, &fsm.DeregisterJob{Namespace: req.Namespace, JobID: req.JobID, Purge: req.Purge})
	if nomadish.KindOf(err) == nomadish.KindConflict { // the job was not there then either
		return e.deregisterUnknown(ctx, req)
	}
	if err != nil {
		return nil, 0, err
	}
	resp := &nomadish.JobDeregisterResponse{JobModifyIndex: made.JobModifyIndex}
	eval := nomadish.NewIDFor(ctx)
	if _, err := e.store.Reader().Evaluation(nil, eval); err == nil {
		resp.EvalID, resp.EvalCreateIndex = eval, index
	}
	return resp, index, nil
}

// repeated says whether an attempt at this request was carried out already.
func (e *Endpoint) repeated(ctx context.Context) bool {
	id := nomadish.FirstCommandID(ctx)
	if id == "" {
		return false
	}
	_, _, done := e.store.Reader().Result(id)
	return done
}

// deregisterUnknown has a job evaluated that is not there: its allocations, if any are left,
// are stopped. That it is not there is no error, so that stopping may be repeated.
func (e *Endpoint) deregisterUnknown(ctx context.Context, req *nomadish.JobDeregisterRequest) (*nomadish.JobDeregisterResponse, uint64, error) {
	if req.Namespace == "*" {
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "namespace %q is all of them: a job is in one", req.Namespace)
	}
	gone := &nomadish.Job{
		ID: &req.JobID, Namespace: &req.Namespace,
		Type: nomadish.Ptr(nomadish.JobTypeService), Priority: nomadish.Ptr(50),
	}
	eval := e.evaluation(ctx, gone, nomadish.EvalTriggerJobDeregister, req.EvalPriority)
	_, index, err := propose[any](ctx, e, &fsm.UpdateEvaluations{Evals: []*nomadish.Evaluation{eval}})
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.JobDeregisterResponse{EvalID: eval.ID, EvalCreateIndex: index, JobModifyIndex: index}, index, nil
}

// EvaluateJob makes a new evaluation of a job.
func (e *Endpoint) EvaluateJob(ctx context.Context, req *nomadish.JobEvaluateRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	if err := e.may(ctx, nomadish.PermEvaluateJob, req.Namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	job, err := r.Job(nil, req.Namespace, req.JobID)
	if job, err = found(job, err, "job not found"); err != nil {
		return nil, 0, err
	}
	switch {
	case job.Periodic != nil:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "can't evaluate periodic job")
	case job.ParameterizedJob != nil:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "can't evaluate parameterized job")
	}
	eval := e.evaluation(ctx, job, nomadish.EvalTriggerJobRegister, 0)
	var command fsm.Command = &fsm.UpdateEvaluations{Evals: []*nomadish.Evaluation{eval}}
	if req.EvalOptions.ForceReschedule {
		transition := &fsm.TransitionAllocs{
			Transition: nomadish.DesiredTransition{ForceReschedule: nomadish.Ptr(true)},
			Evals:      []*nomadish.Evaluation{eval},
		}
		for a := range r.AllocationsByJob(nil, req.Namespace, req.JobID) {
			if a.ClientStatus == nomadish.AllocClientFailed && a.NextAllocation == "" && !a.ServerTerminal() {
				transition.AllocIDs = append(transition.AllocIDs, a.ID)
			}
		}
		command = transition
	}
	_, index, err := propose[any](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.JobRegisterResponse{EvalID: eval.ID, EvalCreateIndex: index, JobModifyIndex: eval.JobModifyIndex}, index, nil
}

// parse reads a job file that came over the API: it may read no files.
func parse(req *nomadish.JobsParseRequest) (*nomadish.Job, error) {
	return jobspec.Parse(jobspec.Config{Path: "input.hcl", Body: []byte(req.JobHCL), VarContent: req.Variables})
}
