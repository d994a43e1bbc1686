package client

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// signer asks the servers for identities of this node's tasks.
type signer struct{ c *Client }

// SignIdentities implements hooks.Signer.
func (s signer) SignIdentities(ctx context.Context, requests []nomadish.IdentityRequest) ([]nomadish.SignedIdentity, error) {
	resp, err := s.c.server.SignIdentities(ctx, s.c.id, &nomadish.IdentitiesRequest{Identities: requests})
	if err != nil {
		return nil, err
	}
	return resp.Identities, nil
}
