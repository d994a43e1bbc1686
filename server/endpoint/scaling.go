package endpoint

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Limits of what a scaling event says.
const (
	maxScalingMessage = 1024
	maxScalingMeta    = 8 << 10 // as JSON
)

// ScaleStatus says how a job is scaled.
func (e *Endpoint) ScaleStatus(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.JobScaleStatus, uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJobScaling, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	index := r.TableIndex(state.TableJobs, state.TableAllocations, state.TableScalingEvents)
	job, err := r.Job(ws, namespace, id)
	if job, err = found(job, err, "job not found"); err != nil {
		return nil, index, err
	}
	events, err := r.ScalingEvents(ws, namespace, id)
	if err != nil {
		return nil, index, err
	}
	status := &nomadish.JobScaleStatus{
		JobID: id, Namespace: namespace, JobCreateIndex: nomadish.Val(job.CreateIndex),
		JobModifyIndex: nomadish.Val(job.JobModifyIndex), JobStopped: nomadish.Val(job.Stop),
		TaskGroups: map[string]*nomadish.TaskGroupScaleStatus{},
	}
	for _, g := range job.TaskGroups {
		name := nomadish.Val(g.Name)
		status.TaskGroups[name] = &nomadish.TaskGroupScaleStatus{Desired: nomadish.Val(g.Count), Events: events.Groups[name]}
	}
	for a := range r.AllocationsByJob(ws, namespace, id) {
		if g := status.TaskGroups[a.TaskGroup]; g != nil && !a.Terminal() {
			countAllocation(g, a)
		}
	}
	return status, index, nil
}

func countAllocation(g *nomadish.TaskGroupScaleStatus, a *nomadish.Allocation) {
	g.Placed++
	if a.ClientStatus == nomadish.AllocClientRunning {
		g.Running++
	}
	if d := a.DeploymentStatus; d != nil && d.Healthy != nil {
		if *d.Healthy {
			g.Healthy++
		} else {
			g.Unhealthy++
		}
	}
}

// ScaleJob sets the count of a job's group, or leaves a note about it.
func (e *Endpoint) ScaleJob(ctx context.Context, jobID string, req *nomadish.ScalingRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	if err := e.may(ctx, nomadish.PermScaleJob, req.Namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	job, err := r.Job(nil, req.Namespace, jobID)
	if job, err = found(job, err, "job %q not found", jobID); err != nil {
		return nil, 0, err
	}
	if err := checkScaling(job, req); err != nil {
		return nil, 0, err
	}
	if req.Count != nil && r.SchedulerConfig(nil).RejectJobRegistration {
		return nil, 0, nomadish.Errorf(nomadish.KindDenied, "job registration, dispatch, and scale are disabled by the scheduler configuration")
	}
	now := e.cfg.Now().UnixNano()
	command := &fsm.ScaleJob{
		Namespace: req.Namespace, JobID: jobID, Group: req.Target["Group"], JobModifyIndex: req.JobModifyIndex, SubmitTime: now,
		Event: &nomadish.ScalingEvent{Count: req.Count, Error: req.Error, Message: req.Message, Meta: req.Meta, Time: now},
	}
	if req.Count != nil && places(job) {
		command.Eval = e.evaluation(ctx, job, nomadish.EvalTriggerScaling, 0)
	}
	made, index, err := propose[*fsm.RegisterJobResult](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	return registered(made, command.Eval, index), index, nil
}

// checkScaling says what is wrong with a request.
func checkScaling(job *nomadish.Job, req *nomadish.ScalingRequest) error {
	invalid := func(format string, args ...any) error {
		return nomadish.Errorf(nomadish.KindInvalid, format, args...)
	}
	group := job.TaskGroup(req.Target["Group"])
	if group == nil {
		return invalid("task group %q specified for scaling does not exist in job", req.Target["Group"])
	}
	if len(req.Message) > maxScalingMessage {
		return invalid("Message has %d bytes, more than the limit of %d", len(req.Message), maxScalingMessage)
	}
	if meta, err := json.Marshal(req.Meta); err != nil || len(meta) > maxScalingMeta {
		return invalid("Meta has %d bytes, more than the limit of %d", len(meta), maxScalingMeta)
	}
	if req.Count == nil {
		return nil
	}
	count, policy := *req.Count, group.Scaling
	switch t := nomadish.Val(job.Type); {
	case req.Error:
		return invalid("scaling action should not contain count if error is true")
	case t == nomadish.JobTypeSystem || t == nomadish.JobTypeSysBatch:
		return invalid("cannot scale jobs of type %q", t)
	case count < 0:
		return invalid("scaling action count can't be negative")
	case policy != nil && policy.Max != nil && count > *policy.Max:
		return invalid("group count was greater than scaling policy maximum: %d > %d", count, *policy.Max)
	case policy != nil && policy.Min != nil && count < *policy.Min:
		return invalid("group count was less than scaling policy minimum: %d < %d", count, *policy.Min)
	}
	next := job.Copy()
	next.TaskGroup(req.Target["Group"]).Count = nomadish.Ptr(int(count))
	return next.Validate() // all groups together have a limit
}

// ScalingPolicies lists the policies of groups by id, of one job if jobID is not empty, and of
// one type if kind is not.
func (e *Endpoint) ScalingPolicies(ctx context.Context, ws memdb.WatchSet, namespace, jobID, kind string) ([]*nomadish.ScalingPolicyStub, uint64, error) {
	r := e.store.Reader()
	var all []*nomadish.ScalingPolicyStub
	rows := visibleRows(ctx, e, nomadish.PermListScaling, policies(r, ws, namespace), func(p *nomadish.ScalingPolicy) string { return p.Namespace })
	for p := range rows {
		if (jobID == "" || p.Target["Job"] == jobID) && (kind == "" || p.Type == kind) {
			all = append(all, p.Stub())
		}
	}
	slices.SortFunc(all, func(a, b *nomadish.ScalingPolicyStub) int { return strings.Compare(a.ID, b.ID) })
	return all, r.TableIndex(state.TableJobs), nil
}

// ScalingPolicy returns the policy of a group.
func (e *Endpoint) ScalingPolicy(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.ScalingPolicy, uint64, error) {
	r := e.store.Reader()
	for p := range policies(r, ws, namespace) {
		if p.ID == id {
			if err := e.may(ctx, nomadish.PermReadScaling, p.Namespace); err != nil {
				return nil, 0, err
			}
			return p, p.ModifyIndex, nil
		}
	}
	return nil, r.TableIndex(state.TableJobs), nomadish.Errorf(nomadish.KindNotFound, "scaling policy not found")
}

// policies are the scaling policies of all groups, with the indexes of their jobs.
func policies(r state.Reader, ws memdb.WatchSet, namespace string) iter.Seq[*nomadish.ScalingPolicy] {
	return func(yield func(*nomadish.ScalingPolicy) bool) {
		for job := range r.Jobs(ws, namespace) {
			for _, g := range job.TaskGroups {
				if g.Scaling == nil || nomadish.Val(job.Stop) {
					continue
				}
				p := *g.Scaling
				p.Namespace = nomadish.Val(job.Namespace)
				p.CreateIndex, p.ModifyIndex = nomadish.Val(job.CreateIndex), nomadish.Val(job.JobModifyIndex)
				if !yield(&p) {
					return
				}
			}
		}
	}
}
