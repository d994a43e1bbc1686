package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// tokenOrder is that of lists of tokens: the oldest first.
var tokenOrder = order[*nomadish.ACLTokenListStub]{
	at:      func(t *nomadish.ACLTokenListStub) position { return position{t.CreateIndex, t.AccessorID} },
	byIndex: true,
}

func (a *API) aclTokens(r *Request) (any, error) {
	global, err := r.Bool("global")
	if err != nil {
		return nil, err
	}
	return list(r, tokenOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLTokenListStub], uint64, error) {
		return a.back.Server.ACL.ACLTokens(ctx, ws, r.Query.Prefix, global)
	})
}

func (a *API) aclToken(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLToken, uint64, error) {
		return a.back.Server.ACL.ACLToken(ctx, ws, r.Param("id"))
	})
}

func (a *API) ownACLToken(r *Request) (any, error) { return one(r, a.back.Server.ACL.OwnACLToken) }

func (a *API) upsertACLToken(r *Request) (any, error) {
	token := &nomadish.ACLToken{}
	if err := r.Decode(token); err != nil {
		return nil, err
	}
	if err := samePath("ACL token accessor ID", r.Param("id"), &token.AccessorID); err != nil {
		return nil, err
	}
	stored, index, err := a.back.Server.ACL.UpsertACLToken(r.Context(), token)
	return made(r, stored, index, err)
}

func (a *API) deleteACLToken(r *Request) (any, error) {
	index, err := a.back.Server.ACL.DeleteACLToken(r.Context(), r.Param("id"))
	return wrote(r, index, err)
}

func (a *API) bootstrapACL(r *Request) (any, error) {
	req := &nomadish.ACLBootstrapRequest{}
	if err := r.DecodeOptional(req); err != nil {
		return nil, err
	}
	token, index, err := a.back.Server.ACL.BootstrapACL(r.Context(), req)
	return made(r, token, index, err)
}

func (a *API) makeOneTimeToken(r *Request) (any, error) {
	token, index, err := a.back.Server.ACL.MakeOneTimeToken(r.Context())
	return made(r, &nomadish.OneTimeTokenUpsertResponse{OneTimeToken: token}, index, err)
}

func (a *API) exchangeOneTimeToken(r *Request) (any, error) {
	req := &nomadish.OneTimeTokenExchangeRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	token, index, err := a.back.Server.ACL.ExchangeOneTimeToken(r.Context(), req.OneTimeSecretID)
	return made(r, &nomadish.OneTimeTokenExchangeResponse{Token: token}, index, err)
}
