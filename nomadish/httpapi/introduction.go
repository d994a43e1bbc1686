package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Introductions makes new client nodes known before they register.
type Introductions interface {
	IntroduceClient(ctx context.Context, req *nomadish.ClientIntroductionRequest) (*nomadish.ClientIntroductionResponse, error)
	// CheckIntroduction says whether a node may register with what introduces it.
	CheckIntroduction(ctx context.Context, node *nomadish.Node, token nomadish.SecretText) error
}

func (a *API) introduceClient(r *Request) (any, error) {
	req := &nomadish.ClientIntroductionRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Server.Introductions.IntroduceClient(r.Context(), req)
}

// introduced checks what introduces a node that registers. The node of this very process
// needs nothing.
func (a *API) introduced(r *Request, node *nomadish.Node) error {
	origin := transport.OriginFrom(r.Context())
	if origin.Kind == nomadish.CallerNode && origin.Addr == "" && origin.Hops == 0 {
		return nil
	}
	return a.back.Server.Introductions.CheckIntroduction(r.Context(), node, credentials(r.HTTP).Token)
}
