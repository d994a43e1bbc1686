package endpoint

import (
	"context"
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// stubs lists allocations as lists show them.
func stubs(r state.Reader, rows iter.Seq[*nomadish.Allocation], opts nomadish.AllocStubOptions) iter.Seq[*nomadish.AllocationListStub] {
	return mapped(rows, func(a *nomadish.Allocation) *nomadish.AllocationListStub {
		kind := ""
		if job, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion); err == nil {
			kind = nomadish.Val(job.Type)
		}
		return a.Stub(kind, opts)
	})
}

// whole fills in an allocation's job.
func whole(r state.Reader, a *nomadish.Allocation) *nomadish.Allocation {
	full := *a
	if job, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion); err == nil {
		full.Job = job
	}
	return &full
}

// allocNamespace is what lists of allocations are filtered by.
func allocNamespace(a *nomadish.Allocation) string { return a.Namespace }

// Allocations lists the allocations of a namespace by id.
func (e *Endpoint) Allocations(ctx context.Context, ws memdb.WatchSet, namespace, prefix string, opts nomadish.AllocStubOptions) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
	r := e.store.Reader()
	rows, err := r.AllocationsByPrefix(ws, namespace, prefix)
	if err != nil {
		return nil, 0, err
	}
	rows = visibleRows(ctx, e, nomadish.PermReadJob, rows, allocNamespace)
	return stubs(r, rows, opts), r.TableIndex(state.TableAllocations), nil
}

// AllocationsByJob lists a job's allocations: with all also those of an earlier job of the
// same name.
func (e *Endpoint) AllocationsByJob(ctx context.Context, ws memdb.WatchSet, namespace, jobID string, all bool) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	rows := r.AllocationsByJob(ws, namespace, jobID)
	if job, err := r.Job(ws, namespace, jobID); err == nil && !all {
		rows = where(rows, func(a *nomadish.Allocation) bool { return a.CreateIndex >= nomadish.Val(job.CreateIndex) })
	}
	return stubs(r, rows, nomadish.AllocStubOptions{}), r.TableIndex(state.TableAllocations), nil
}

// AllocationsByEvaluation lists what an evaluation placed.
func (e *Endpoint) AllocationsByEvaluation(ctx context.Context, ws memdb.WatchSet, evalID string) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
	r := e.store.Reader()
	if eval, err := r.Evaluation(ws, evalID); err == nil {
		if err := e.may(ctx, nomadish.PermReadJob, eval.Namespace); err != nil {
			return nil, 0, err
		}
	}
	rows := visibleRows(ctx, e, nomadish.PermReadJob, r.AllocationsByEval(ws, evalID), allocNamespace)
	return stubs(r, rows, nomadish.AllocStubOptions{}), r.TableIndex(state.TableAllocations), nil
}

// AllocationsByNode returns a node's allocations with their jobs.
func (e *Endpoint) AllocationsByNode(ctx context.Context, ws memdb.WatchSet, nodeID string) ([]*nomadish.Allocation, uint64, error) {
	r := e.store.Reader()
	shown := visibleRows(ctx, e, nomadish.PermReadJob, r.AllocationsByNode(ws, nodeID), allocNamespace)
	rows := mapped(shown, func(a *nomadish.Allocation) *nomadish.Allocation { return whole(r, a) })
	return slices.Collect(rows), r.TableIndex(state.TableAllocations), nil
}

// Allocation returns an allocation with its job.
func (e *Endpoint) Allocation(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.Allocation, uint64, error) {
	r := e.store.Reader()
	a, err := r.Allocation(ws, id)
	if a, err = found(a, err, "alloc not found"); err != nil {
		return nil, r.TableIndex(state.TableAllocations), err
	}
	if err := e.may(ctx, nomadish.PermReadJob, a.Namespace); err != nil {
		return nil, 0, err
	}
	return whole(r, a), a.ModifyIndex, nil
}

// StopAllocation has an allocation stopped and replaced.
func (e *Endpoint) StopAllocation(ctx context.Context, req *nomadish.AllocStopRequest) (*nomadish.AllocStopResponse, uint64, error) {
	r := e.store.Reader()
	a, err := r.Allocation(nil, req.AllocID)
	if a, err = found(a, err, "alloc not found"); err != nil {
		return nil, 0, err
	}
	if err := e.may(ctx, nomadish.PermAllocLifecycle, a.Namespace); err != nil {
		return nil, 0, err
	}
	job, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion)
	if err != nil {
		return nil, 0, err
	}
	eval := e.evaluation(ctx, job, nomadish.EvalTriggerAllocStop, 0)
	command := &fsm.TransitionAllocs{
		AllocIDs:   []string{a.ID},
		Transition: nomadish.DesiredTransition{Migrate: nomadish.Ptr(true)},
		Evals:      []*nomadish.Evaluation{eval},
	}
	if req.Reschedule {
		command.Transition.Reschedule = nomadish.Ptr(true)
	}
	if req.NoShutdownDelay {
		command.Transition.NoShutdownDelay = nomadish.Ptr(true)
	}
	_, index, err := propose[any](ctx, e, command)
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.AllocStopResponse{EvalID: eval.ID, Index: index}, index, nil
}
