package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

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
	body, err := io.ReadAll(r.HTTP.Body) // no more than the route lets in
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return r.tooLarge()
	}
	if err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "read the body: %w", err)
	}
	r.HTTP.Body = io.NopCloser(bytes.NewReader(body))
	var target struct{ NodeID string }
	if err := nomadish.DecodeJSON(body, &target); err != nil {
		return err
	}
	if target.NodeID != "" {
		r.values.Set("node_id", target.NodeID)
	}
	return nil
}
