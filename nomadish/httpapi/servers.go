package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Servers is what servers ask of each other before they have a leader, and besides it.
type Servers interface {
	OfferBootstrap(ctx context.Context, offer *nomadish.BootstrapOffer) (*nomadish.BootstrapAnswer, error)
	WrapKey(ctx context.Context, req *nomadish.WrapKeyRequest) (*nomadish.WrapKeyResponse, error)
}

func (a *API) offerBootstrap(r *Request) (any, error) {
	offer := &nomadish.BootstrapOffer{}
	if err := r.Decode(offer); err != nil {
		return nil, err
	}
	return a.back.Server.Servers.OfferBootstrap(r.Context(), offer)
}

func (a *API) wrapKey(r *Request) (any, error) {
	req := &nomadish.WrapKeyRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Server.Servers.WrapKey(r.Context(), req)
}
