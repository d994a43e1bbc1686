package api

import (
	"context"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// Authorities are the routes of the cluster's own certificate authority.
type Authorities struct{ c *Client }

// Authorities returns the routes of the cluster's own certificate authority.
func (c *Client) Authorities() Authorities { return Authorities{c} }

// Trusted tells whose certificates the cluster's agents show. Everybody may ask.
func (a Authorities) Trusted(ctx context.Context, q *Query) (*nomadish.AuthoritiesResponse, Meta, error) {
	return get[*nomadish.AuthoritiesResponse](ctx, a.c, "/v1/authorities", q)
}

// Status tells of the authorities, of the agents with certificates, and how far a change of
// authorities is.
func (a Authorities) Status(ctx context.Context, q *Query) (*nomadish.AuthoritiesResponse, Meta, error) {
	return get[*nomadish.AuthoritiesResponse](ctx, a.c, "/v1/operator/ca", q)
}

// Rotate begins to replace the authority.
func (a Authorities) Rotate(ctx context.Context) (*nomadish.AuthoritiesResponse, error) {
	out, err := put[nomadish.AuthoritiesResponse](ctx, a.c, "/v1/operator/ca/rotate", nil, nil)
	return &out, err
}

// Revoke has certificates of the authority be refused before they end.
func (a Authorities) Revoke(ctx context.Context, req *nomadish.RevokeRequest) (*nomadish.RevokeResponse, error) {
	out, err := put[nomadish.RevokeResponse](ctx, a.c, "/v1/operator/ca/revoke", nil, req)
	return &out, err
}

// CreateJoinToken makes a join token.
func (a Authorities) CreateJoinToken(ctx context.Context, req *nomadish.JoinTokenRequest) (*nomadish.JoinTokenResponse, error) {
	out, err := put[nomadish.JoinTokenResponse](ctx, a.c, "/v1/operator/join-tokens", nil, req)
	return &out, err
}

// JoinTokens lists the join tokens that can be used.
func (a Authorities) JoinTokens(ctx context.Context, q *Query) ([]*nomadish.JoinToken, Meta, error) {
	return get[[]*nomadish.JoinToken](ctx, a.c, "/v1/operator/join-tokens", q)
}

// DeleteJoinToken takes a join token back.
func (a Authorities) DeleteJoinToken(ctx context.Context, tokenID string) error {
	_, err := a.c.do(ctx, call{method: http.MethodDelete, path: "/v1/operator/join-token/" + id(tokenID)})
	return err
}

// Join asks for the first certificate of who has a join token. Servers ask the leader for it.
func (a Authorities) Join(ctx context.Context, req *nomadish.EnrollRequest) (*nomadish.EnrollResponse, error) {
	out, err := put[nomadish.EnrollResponse](ctx, a.c, "/v1/internal/join", nil, req)
	return &out, err
}

// CertifyServer asks for a server's next certificate, over its own session.
func (a Authorities) CertifyServer(ctx context.Context, serverID string, req *nomadish.CertificateRequest) (*nomadish.CertificateResponse, error) {
	out, err := put[nomadish.CertificateResponse](ctx, a.c, "/v1/internal/server/"+id(serverID)+"/certificate", nil, req)
	return &out, err
}

// CertifyNode asks for a client node's next certificate, over its own session.
func (a Authorities) CertifyNode(ctx context.Context, nodeID string, req *nomadish.CertificateRequest) (*nomadish.CertificateResponse, error) {
	out, err := put[nomadish.CertificateResponse](ctx, a.c, "/v1/internal/node/"+id(nodeID)+"/certificate", nil, req)
	return &out, err
}
