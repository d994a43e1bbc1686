package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// NodeIdentity is about the identity of this node.
type NodeIdentity interface {
	// Identity returns what it says.
	Identity(ctx context.Context) (*nomadish.NodeIdentityResponse, error)
	// RenewIdentity has the servers asked for a new one.
	RenewIdentity(ctx context.Context) error
}

func (a *API) nodeIdentity(r *Request) (any, error) {
	return a.back.Node.Identity.Identity(r.Context())
}

func (a *API) renewNodeIdentity(r *Request) (any, error) {
	if err := r.Decode(&nomadish.NodeIdentityRenewRequest{}); err != nil {
		return nil, err
	}
	return struct{}{}, a.back.Node.Identity.RenewIdentity(r.Context())
}

func (a *API) signNodeIdentity(r *Request) (any, error) {
	return a.back.Server.NodeAgents.SignNodeIdentity(r.Context(), r.Param("node"))
}

func (a *API) reconcileSummaries(r *Request) (any, error) {
	return nil, a.back.Server.System.ReconcileSummaries(r.Context())
}
