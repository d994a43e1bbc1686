package agent

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/pki"
	"github.com/nomadish/nomadish/server/state"
)

// authorities puts the cluster's own certificate authority behind the API.
type authorities Agent

func (a *authorities) pki() *pki.PKI { return a.server.PKI() }

func (a *authorities) Authorities(_ context.Context, ws memdb.WatchSet) (*nomadish.AuthoritiesResponse, uint64, error) {
	resp, err := a.pki().Status(ws)
	if err != nil {
		return nil, 0, err
	}
	r := a.server.Store().Reader()
	resp.Index = max(1, r.TableIndex(state.TableAuthorities), r.TableIndex(state.TableCertifiedAgents), r.TableIndex(state.TableRevokedCertificates))
	return resp, resp.Index, nil
}

func (a *authorities) RotateAuthority(ctx context.Context) (*nomadish.AuthoritiesResponse, error) {
	return a.pki().Rotate(ctx)
}

func (a *authorities) RevokeCertificate(ctx context.Context, req *nomadish.RevokeRequest) (*nomadish.RevokeResponse, error) {
	if own := a.peerTLS; own != nil && (req.Role == string(certificate.Server) && req.AgentID == a.id || req.Serial == certificate.Serial(own.Credentials().Certificate.Leaf)) {
		return nil, nomadish.Errorf(nomadish.KindConflict, "this certificate is that of the leader, which signs: have another server lead first, with \"nomadish operator raft transfer-leadership\"")
	}
	return a.pki().Revoke(ctx, req)
}

func (a *authorities) Certify(ctx context.Context, kind nomadish.CallerKind, id string, req *nomadish.CertificateRequest, addr string) (*nomadish.CertificateResponse, error) {
	who := certificate.Identity{Role: certificate.Client, Region: a.cfg.Region, ID: id}
	if kind == nomadish.CallerServer {
		who.Role = certificate.Server
	}
	return a.pki().Certify(ctx, who, req, addr)
}

// Join gives the first certificate. A node that is known proves by its secret who it is.
func (a *authorities) Join(ctx context.Context, req *nomadish.EnrollRequest) (*nomadish.EnrollResponse, error) {
	return a.pki().Join(ctx, req, func(req *nomadish.EnrollRequest) error {
		if req.Role != string(certificate.Client) {
			return nil
		}
		if err := a.server.Endpoint().CheckNode(req.ID, req.Secret.Reveal()); err != nil {
			return nomadish.Errorf(nomadish.KindDenied, "node %s is known, and its secret is another: give this machine's client a new identity by moving its data directory away", req.ID)
		}
		return nil
	})
}

func (a *authorities) CreateJoinToken(ctx context.Context, req *nomadish.JoinTokenRequest) (*nomadish.JoinTokenResponse, error) {
	return a.pki().CreateToken(ctx, req)
}

func (a *authorities) JoinTokens(_ context.Context, ws memdb.WatchSet) ([]*nomadish.JoinToken, uint64, error) {
	return a.pki().Tokens(ws), max(1, a.server.Store().Reader().TableIndex(state.TableJoinTokens)), nil
}

func (a *authorities) DeleteJoinToken(ctx context.Context, id string) (uint64, error) {
	return a.pki().DeleteToken(ctx, id)
}
