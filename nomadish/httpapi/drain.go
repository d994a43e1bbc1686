package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Drains empties nodes. The second result is the index of the write.
type Drains interface {
	DrainNode(ctx context.Context, req *nomadish.NodeDrainRequest) (*nomadish.NodeUpdateResponse, uint64, error)
}

// drainItself has a node emptied that asks for it.
func (a *API) drainItself(r *Request) (any, error) {
	req := &nomadish.NodeDrainRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	req.NodeID = r.Param("node")
	return nodeUpdate(r)(a.back.Server.Drains.DrainNode(r.Context(), req))
}

func (a *API) drainNode(r *Request) (any, error) {
	req := &nomadish.NodeDrainRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if err := samePath("Node ID", r.Param("id"), &req.NodeID); err != nil {
		return nil, err
	}
	a.writeTarget(r, &req.WriteRequest)
	return nodeUpdate(r)(a.back.Server.Drains.DrainNode(r.Context(), req))
}
