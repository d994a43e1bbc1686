package api

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// OfferBootstrap asks a server to begin a cluster with the one that asks. Servers alone may ask.
func (o Operator) OfferBootstrap(ctx context.Context, offer *nomadish.BootstrapOffer) (*nomadish.BootstrapAnswer, error) {
	return put[*nomadish.BootstrapAnswer](ctx, o.c, "/v1/internal/bootstrap", nil, offer)
}

// WrapKey asks a server for the key in a file that root keys are wrapped with. Servers alone may ask.
func (o Operator) WrapKey(ctx context.Context, req *nomadish.WrapKeyRequest) (*nomadish.WrapKeyResponse, error) {
	return put[*nomadish.WrapKeyResponse](ctx, o.c, "/v1/internal/wrap-key", nil, req)
}
