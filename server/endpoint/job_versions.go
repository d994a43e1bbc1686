package endpoint

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// JobVersions returns the kept versions of a job, newest first.
func (e *Endpoint) JobVersions(ctx context.Context, ws memdb.WatchSet, namespace, id string) ([]*nomadish.Job, uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	versions, err := r.JobVersions(ws, namespace, id)
	if err == nil && len(versions) == 0 {
		err = nomadish.Errorf(nomadish.KindNotFound, "job versions not found")
	}
	if err != nil {
		return nil, r.TableIndex(state.TableJobVersions), err
	}
	var index uint64
	for _, j := range versions { // an old one changes too: when it proves to be stable
		index = max(index, nomadish.Val(j.ModifyIndex))
	}
	return versions, index, nil
}

// RevertJob makes an earlier version of a job current again, as a new version.
func (e *Endpoint) RevertJob(ctx context.Context, req *nomadish.JobRevertRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	if err := e.may(ctx, nomadish.PermRevertJob, req.Namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	current, err := r.Job(nil, req.Namespace, req.JobID)
	if current, err = found(current, err, "job %q not found", req.JobID); err != nil {
		return nil, 0, err
	}
	now := nomadish.Val(current.Version)
	switch prior := req.EnforcePriorVersion; {
	case req.JobVersion == now:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "can't revert to current version")
	case prior != nil && *prior != now:
		return nil, 0, nomadish.Errorf(nomadish.KindConflict, "Current job has version %d; enforcing version %d", now, *prior)
	}
	old, err := r.JobVersion(nil, req.Namespace, req.JobID, req.JobVersion)
	old, err = found(old, err, "job %q in namespace %q at version %d not found", req.JobID, req.Namespace, req.JobVersion)
	if err != nil {
		return nil, 0, err
	}
	if ns, err := r.Namespace(nil, req.Namespace); err == nil { // its rules may be newer than the version
		if err := ns.Check(old); err != nil {
			return nil, 0, err
		}
	}
	job := old.Copy()
	job.SubmitTime = nomadish.Ptr(e.cfg.Now().UnixNano())
	command := &fsm.RegisterJob{Job: job, EnforceIndex: true, JobModifyIndex: nomadish.Val(current.JobModifyIndex)}
	if sub, err := r.JobSubmission(nil, req.Namespace, req.JobID, req.JobVersion); err == nil {
		command.Submission = sub
	}
	if places(job) {
		command.Eval = e.evaluation(ctx, job, nomadish.EvalTriggerJobRegister, 0)
	}
	made, index, err := propose[*fsm.RegisterJobResult](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	return registered(made, command.Eval, index), index, nil
}

// registered is the answer to whoever has made a version of a job.
func registered(made *fsm.RegisterJobResult, eval *nomadish.Evaluation, index uint64) *nomadish.JobRegisterResponse {
	resp := &nomadish.JobRegisterResponse{JobModifyIndex: made.JobModifyIndex}
	if eval != nil {
		resp.EvalID, resp.EvalCreateIndex = eval.ID, index
	}
	return resp
}

// StabilizeJob says whether a version of a job has proved itself.
func (e *Endpoint) StabilizeJob(ctx context.Context, req *nomadish.JobStabilityRequest) (*nomadish.JobStabilityResponse, uint64, error) {
	if err := e.may(ctx, nomadish.PermStableJob, req.Namespace); err != nil {
		return nil, 0, err
	}
	job, err := e.store.Reader().JobVersion(nil, req.Namespace, req.JobID, req.JobVersion)
	if _, err = found(job, err, "job %q at version %d not found", req.JobID, req.JobVersion); err != nil {
		return nil, 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.StabilizeJob{
		Namespace: req.Namespace, JobID: req.JobID, Version: req.JobVersion, Stable: req.Stable,
	})
	return &nomadish.JobStabilityResponse{JobModifyIndex: index}, index, err
}

// maxTag is the longest name or description of a tag, in bytes.
const (
	maxTagName        = 128
	maxTagDescription = 1024
)

// TagJobVersion names a version of a job.
func (e *Endpoint) TagJobVersion(ctx context.Context, jobID, name string, req *nomadish.JobTagRequest) (*nomadish.JobTagResponse, uint64, error) {
	if err := e.may(ctx, nomadish.PermTagJobVersion, req.Namespace); err != nil {
		return nil, 0, err
	}
	switch {
	case len(name) > maxTagName:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "the tag's name has %d bytes, more than the limit of %d", len(name), maxTagName)
	case len(req.Description) > maxTagDescription:
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "the tag's description has %d bytes, more than the limit of %d", len(req.Description), maxTagDescription)
	}
	r := e.store.Reader()
	job, err := r.Job(nil, req.Namespace, jobID)
	if job, err = found(job, err, "job not found"); err != nil {
		return nil, 0, err
	}
	version := req.Version
	if req.Latest {
		version = nomadish.Val(job.Version)
	}
	if job, err = r.JobVersion(nil, req.Namespace, jobID, version); err != nil {
		_, err = found(job, err, "job %q version %d not found", jobID, version)
		return nil, 0, err
	}
	tag := &nomadish.JobVersionTag{Name: name, Description: req.Description, TaggedTime: e.cfg.Now().UnixNano()}
	_, index, err := propose[any](ctx, e, &fsm.TagJobVersion{Namespace: req.Namespace, JobID: jobID, Version: version, Tag: tag})
	return &nomadish.JobTagResponse{Name: tag.Name, Description: tag.Description, TaggedTime: tag.TaggedTime}, index, err
}

// UntagJobVersion takes a tag away.
func (e *Endpoint) UntagJobVersion(ctx context.Context, namespace, jobID, name string) (uint64, error) {
	if err := e.may(ctx, nomadish.PermTagJobVersion, namespace); err != nil {
		return 0, err
	}
	job, err := e.store.Reader().TaggedVersion(nil, namespace, jobID, name)
	if _, err = found(job, err, "tag %q not found for job %q", name, jobID); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.TagJobVersion{Namespace: namespace, JobID: jobID, Untag: name})
	return index, err
}
