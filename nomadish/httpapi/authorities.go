package httpapi

import (
	"context"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Authorities is the cluster's own certificate authority.
type Authorities interface {
	Authorities(ctx context.Context, ws memdb.WatchSet) (*nomadish.AuthoritiesResponse, uint64, error)
	RotateAuthority(ctx context.Context) (*nomadish.AuthoritiesResponse, error)
	// RevokeCertificate has certificates be refused before they end.
	RevokeCertificate(ctx context.Context, req *nomadish.RevokeRequest) (*nomadish.RevokeResponse, error)
	// Certify gives the next certificate to an agent whose session the request came over.
	Certify(ctx context.Context, kind nomadish.CallerKind, id string, req *nomadish.CertificateRequest, addr string) (*nomadish.CertificateResponse, error)
	// Join gives the first certificate to who has a join token.
	Join(ctx context.Context, req *nomadish.EnrollRequest) (*nomadish.EnrollResponse, error)
	CreateJoinToken(ctx context.Context, req *nomadish.JoinTokenRequest) (*nomadish.JoinTokenResponse, error)
	JoinTokens(ctx context.Context, ws memdb.WatchSet) ([]*nomadish.JoinToken, uint64, error)
	DeleteJoinToken(ctx context.Context, id string) (uint64, error)
}

func (a *API) authorityRoutes() []Route {
	return []Route{
		{get, "/v1/authorities", nomadish.PermNone, OnServer, Read, 0, a.trustedAuthorities},
		{get, "/v1/operator/ca", nomadish.PermOperatorRead, OnServer, Read, 0, a.authorities},
		{write, "/v1/operator/ca/rotate", nomadish.PermManagement, OnLeader, 0, 0, a.rotateAuthority},
		{write, "/v1/operator/ca/revoke", nomadish.PermManagement, OnLeader, 0, 0, a.revokeCertificate},
		{get, "/v1/operator/join-tokens", nomadish.PermManagement, OnServer, Read, 0, a.joinTokens},
		{write, "/v1/operator/join-tokens", nomadish.PermManagement, OnLeader, 0, 0, a.createJoinToken},
		{destroy, "/v1/operator/join-token/:id", nomadish.PermManagement, OnLeader, 0, 0, a.deleteJoinToken},
		{put, "/v1/internal/join", nomadish.PermServer, OnLeader, 0, 0, a.join},
		{put, "/v1/internal/server/:server/certificate", nomadish.PermServer, OnLeader, 0, 0, a.certifyServer},
		{put, "/v1/internal/node/:node/certificate", nomadish.PermNode, OnLeader, 0, 0, a.certifyNode},
	}
}

// trustedAuthorities tells everybody whose certificates the cluster's agents show.
func (a *API) trustedAuthorities(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.AuthoritiesResponse, uint64, error) {
		all, index, err := a.back.Server.Authorities.Authorities(ctx, ws)
		if err != nil {
			return nil, 0, err
		}
		return &nomadish.AuthoritiesResponse{Authorities: all.Authorities, Revoked: ofServers(all.Revoked), Index: index}, index, nil
	})
}

// ofServers are the revoked certificates that others than servers have to refuse, with no more than that takes.
func ofServers(all []*nomadish.RevokedCertificate) (revoked []*nomadish.RevokedCertificate) {
	for _, r := range all {
		switch {
		case r.Serial != "":
			revoked = append(revoked, &nomadish.RevokedCertificate{Serial: r.Serial})
		case r.Role != nodeRole:
			revoked = append(revoked, &nomadish.RevokedCertificate{Role: r.Role, AgentID: r.AgentID, Time: r.Time})
		}
	}
	return revoked
}

// nodeRole is that of client nodes, whose certificates nobody but servers is shown.
const nodeRole = "client"

func (a *API) revokeCertificate(r *Request) (any, error) {
	req := &nomadish.RevokeRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	resp, err := a.back.Server.Authorities.RevokeCertificate(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(resp.Index)
	return resp, nil
}

func (a *API) authorities(r *Request) (any, error) {
	return one(r, a.back.Server.Authorities.Authorities)
}

func (a *API) rotateAuthority(r *Request) (any, error) {
	resp, err := a.back.Server.Authorities.RotateAuthority(r.Context())
	if err != nil {
		return nil, err
	}
	r.SetIndex(resp.Index)
	return resp, nil
}

func (a *API) joinTokens(r *Request) (any, error) {
	return one(r, a.back.Server.Authorities.JoinTokens)
}

func (a *API) createJoinToken(r *Request) (any, error) {
	req := &nomadish.JoinTokenRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	resp, err := a.back.Server.Authorities.CreateJoinToken(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(resp.Index)
	return resp, nil
}

func (a *API) deleteJoinToken(r *Request) (any, error) {
	index, err := a.back.Server.Authorities.DeleteJoinToken(r.Context(), r.Param("id"))
	r.SetIndex(index)
	return nil, err
}

// join answers a server, which somebody has asked who is no agent yet.
func (a *API) join(r *Request) (any, error) {
	req := &nomadish.EnrollRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Server.Authorities.Join(r.Context(), req)
}

func (a *API) certifyServer(r *Request) (any, error) {
	return a.certify(r, nomadish.CallerServer, r.Param("server"))
}

func (a *API) certifyNode(r *Request) (any, error) {
	return a.certify(r, nomadish.CallerNode, r.Param("node"))
}

// certify gives a certificate to the very agent whose session the request came over. To know its
// secret is not enough.
func (a *API) certify(r *Request, kind nomadish.CallerKind, id string) (any, error) {
	o := transport.OriginFrom(r.Context())
	if o.Kind != kind || o.ID != id || o.Region != "" {
		return nil, nomadish.ErrDenied
	}
	req := &nomadish.CertificateRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), certifyTime)
	defer cancel()
	return a.back.Server.Authorities.Certify(ctx, kind, id, req, o.Addr)
}

// certifyTime bounds how long a certificate may take.
const certifyTime = 20 * time.Second
