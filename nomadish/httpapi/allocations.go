package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// allocationOrder is that of the making of allocations.
var allocationOrder = order[*nomadish.AllocationListStub]{
	at:      func(a *nomadish.AllocationListStub) position { return position{a.CreateIndex, a.ID} },
	byIndex: true,
}

func (a *API) allocations(r *Request) (any, error) {
	opts := nomadish.AllocStubOptions{}
	var err error
	if opts.Resources, err = r.Bool("resources"); err != nil {
		return nil, err
	}
	if r.values.Has("task_states") {
		states, err := r.Bool("task_states")
		if err != nil {
			return nil, err
		}
		opts.NoTaskStates = !states
	}
	return list(r, allocationOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
		return a.back.Server.Allocations.Allocations(ctx, ws, r.Query.Namespace, r.Query.Prefix, opts)
	})
}

func (a *API) allocation(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.Allocation, uint64, error) {
		return a.back.Server.Allocations.Allocation(ctx, ws, r.Param("id"))
	})
}

func (a *API) stopAllocation(r *Request) (any, error) {
	req := &nomadish.AllocStopRequest{AllocID: r.Param("id")}
	var err error
	if req.NoShutdownDelay, err = r.Bool("no_shutdown_delay"); err != nil {
		return nil, err
	}
	if req.Reschedule, err = r.Bool("reschedule"); err != nil {
		return nil, err
	}
	resp, index, err := a.back.Server.Allocations.StopAllocation(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}
