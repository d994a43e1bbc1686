package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Metadata is about the metadata of this node.
type Metadata interface {
	Metadata(ctx context.Context) (*nomadish.NodeMetaResponse, error)
	ApplyMetadata(ctx context.Context, changes map[string]*string) (*nomadish.NodeMetaResponse, error)
}

func (a *API) nodeMetadata(r *Request) (any, error) {
	return a.back.Node.Metadata.Metadata(r.Context())
}

func (a *API) applyNodeMetadata(r *Request) (any, error) {
	req := &nomadish.NodeMetaApplyRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Node.Metadata.ApplyMetadata(r.Context(), req.Meta)
}

// peekNode finds out which node a request is for whose body may say so. The body can be read
// again afterwards.
func (r *Request) peekNode() error {
	if r.Value("node_id") != "" {
		return nil
	}
	var target struct{ NodeID string }
	if err := r.peek(&target); err != nil {
		return err
	}
	if target.NodeID != "" {
		r.values.Set("node_id", target.NodeID)
	}
	return nil
}
