package httpapi

import (
	"context"
	"strconv"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// The internal routes are for the agents of the cluster among themselves.

func (a *API) commitIndex(r *Request) (any, error) {
	index, err := a.back.Server.Reads.CommitIndex(r.Context())
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return struct{ Index uint64 }{index}, nil
}

func (a *API) registerNode(r *Request) (any, error) {
	node := &nomadish.Node{}
	if err := r.Decode(node); err != nil {
		return nil, err
	}
	if node.ID != r.Param("node") {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "node ID %q is not that of the path", node.ID)
	}
	node.SecretID = nomadish.SecretText(r.HTTP.Header.Get(headerNodeSecret)) // its JSON never holds it
	if err := a.introduced(r, node); err != nil {
		return nil, err
	}
	return a.back.Server.NodeAgents.RegisterNode(r.Context(), node)
}

func (a *API) heartbeat(r *Request) (any, error) {
	req := struct{ Status string }{}
	if err := r.Decode(&req); err != nil {
		return nil, err
	}
	return a.back.Server.NodeAgents.Heartbeat(r.Context(), r.Param("node"), req.Status)
}

func (a *API) resolveToken(r *Request) (any, error) {
	req := struct{ Token string }{}
	if err := r.Decode(&req); err != nil {
		return nil, err
	}
	return a.back.Server.Callers.ResolveToken(r.Context(), req.Token)
}

func (a *API) watchAllocations(r *Request) (any, error) {
	count := 0
	if s := r.Value("count"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid count %q", s)
		}
		count = n
	}
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.NodeAllocations, uint64, error) {
		return a.back.Server.NodeAgents.NodeAllocations(ctx, ws, r.Param("node"), r.Query.MinIndex, count)
	})
}

func (a *API) updateAllocations(r *Request) (any, error) {
	req := &nomadish.NodeAllocations{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	index, err := a.back.Server.NodeAgents.UpdateAllocations(r.Context(), r.Param("node"), req.Allocs)
	r.SetIndex(index)
	return nil, err
}
