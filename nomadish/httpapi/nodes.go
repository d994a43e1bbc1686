package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) nodes(r *Request) (any, error) {
	opts, err := nodeStubOptions(r)
	if err != nil {
		return nil, err
	}
	byID := byName(func(n *nomadish.NodeListStub) string { return n.ID })
	return list(r, byID, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.NodeListStub], uint64, error) {
		return a.back.Server.Nodes.Nodes(ctx, ws, r.Query.Prefix, opts)
	})
}

// nodeStubOptions reads what a list of nodes is to show.
func nodeStubOptions(r *Request) (opts nomadish.NodeStubOptions, err error) {
	if opts.Resources, err = r.Bool("resources"); err != nil {
		return opts, err
	}
	opts.OS, err = r.Bool("os")
	return opts, err
}

func (a *API) node(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.Node, uint64, error) {
		return a.back.Server.Nodes.Node(ctx, ws, r.Param("id"))
	})
}

func (a *API) nodeAllocations(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) ([]*nomadish.Allocation, uint64, error) {
		return a.back.Server.Allocations.AllocationsByNode(ctx, ws, r.Param("id"))
	})
}

func (a *API) setNodeEligibility(r *Request) (any, error) {
	req := &nomadish.NodeEligibilityRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if req.Eligibility != nomadish.NodeEligible && req.Eligibility != nomadish.NodeIneligible {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "invalid scheduling eligibility %q: must be %s or %s",
			req.Eligibility, nomadish.NodeEligible, nomadish.NodeIneligible)
	}
	req.NodeID = r.Param("id")
	a.writeTarget(r, &req.WriteRequest)
	return nodeUpdate(r)(a.back.Server.NodeWrites.SetNodeEligibility(r.Context(), req))
}

func (a *API) evaluateNode(r *Request) (any, error) {
	return nodeUpdate(r)(a.back.Server.NodeWrites.EvaluateNode(r.Context(), r.Param("id")))
}

func (a *API) purgeNode(r *Request) (any, error) {
	return nodeUpdate(r)(a.back.Server.NodeWrites.PurgeNode(r.Context(), r.Param("id")))
}

// nodeUpdate makes the answer to a change of a node.
func nodeUpdate(r *Request) func(*nomadish.NodeUpdateResponse, uint64, error) (any, error) {
	return func(resp *nomadish.NodeUpdateResponse, index uint64, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		resp.Index = index
		r.SetIndex(index)
		return resp, nil
	}
}
