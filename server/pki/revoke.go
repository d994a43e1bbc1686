package pki

import (
	"cmp"
	"context"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Revoke has certificates be refused from now on: all of an agent that were signed until now, or one. Who
// loses its newest certificate that way has to join again.
func (p *PKI) Revoke(ctx context.Context, req *nomadish.RevokeRequest) (*nomadish.RevokeResponse, error) {
	r, now := p.store.Reader(), p.cfg.Now()
	if inState(authorities(r, nil), nomadish.AuthorityActive) == nil {
		return nil, errNone()
	}
	row, err := revocation(r, req)
	if err != nil {
		return nil, err
	}
	row.Time = now.UnixNano()
	row.NotAfter = max(row.NotAfter, now.Add(max(p.cfg.ServerTTL, p.cfg.ClientTTL, longest)).UnixNano())
	index, _, err := p.raft.Propose(ctx, &fsm.RevokeCertificates{Add: []*nomadish.RevokedCertificate{row}})
	if err != nil {
		return nil, err
	}
	p.cfg.Logger.Warn("certificates are revoked", "what", row.ID(), "name", row.Name, "reason", row.Reason)
	row, err = p.store.Reader().RevokedCertificate(nil, row.ID())
	return &nomadish.RevokeResponse{Revoked: row, Index: index}, err
}

// longest is how long a certificate may be good that was signed under another configuration.
const longest = 30 * 24 * time.Hour

// revocation checks what is asked for, and adds what is known of the agent.
func revocation(r state.Reader, req *nomadish.RevokeRequest) (*nomadish.RevokedCertificate, error) {
	row := &nomadish.RevokedCertificate{Role: req.Role, AgentID: req.AgentID, Reason: req.Reason}
	if len(req.Reason) > nomadish.MaxRevokeReason {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Reason: %d bytes, at most %d are allowed", len(req.Reason), nomadish.MaxRevokeReason)
	}
	if req.Serial != "" {
		if req.Role != "" || req.AgentID != "" {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "Serial: it excludes Role and AgentID")
		}
		b, err := hex.DecodeString(strings.ReplaceAll(req.Serial, ":", ""))
		if err != nil || len(b) == 0 || len(b) > 20 {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "Serial: %.80q is no serial number in hex", req.Serial)
		}
		row.Serial = hex.EncodeToString(new(big.Int).SetBytes(b).Bytes())
		for a := range r.CertifiedAgents(nil) {
			if a.Serial == row.Serial {
				row.Role, row.AgentID, row.Name, row.NotAfter = a.Role, a.ID, a.Name, a.NotAfter
			}
		}
		return row, nil
	}
	if role := certificate.Role(req.Role); role != certificate.Server && role != certificate.Client {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Role: %q is neither server nor client", req.Role)
	}
	if _, err := nomadish.ParseID(req.AgentID); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "AgentID: %w", err)
	}
	if a, err := r.CertifiedAgent(nil, req.Role, req.AgentID); err == nil {
		row.Name, row.NotAfter = a.Name, a.NotAfter
	}
	return row, nil
}

// Revoked lists what is revoked, the newest first. ws fires when that may have changed.
func (p *PKI) Revoked(ws memdb.WatchSet) []*nomadish.RevokedCertificate {
	return slices.SortedFunc(p.store.Reader().RevokedCertificates(ws), func(a, b *nomadish.RevokedCertificate) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.ID(), b.ID()))
	})
}

// mayRenew says why an agent is not given another certificate: because those that it has are revoked, and it
// has not joined since.
func mayRenew(r state.Reader, who certificate.Identity) error {
	if _, err := r.CertifiedAgent(nil, string(who.Role), who.ID); err != nil && r.AgentRevoked(string(who.Role), who.ID) {
		return nomadish.Errorf(nomadish.KindDenied, "the certificate of %s %s is revoked: it has to join again", who.Role, who.ID)
	}
	return nil
}

// signingTime is the time for a certificate of an agent: now, but after all that was revoked of it.
func (p *PKI) signingTime(who certificate.Identity) time.Time {
	now := p.cfg.Now()
	row, err := p.store.Reader().RevokedCertificate(nil, string(who.Role)+"/"+who.ID)
	if err != nil {
		return now
	}
	if first := time.Unix(0, row.Time).Truncate(time.Second).Add(time.Second); now.Before(first) {
		return first
	}
	return now
}

// forget forgets what was revoked and has ended: the certificates, or the authorities that have signed them.
func (p *PKI) forget(ctx context.Context, r state.Reader, all []*nomadish.Authority) error {
	oldest := slices.MinFunc(all, func(a, b *nomadish.Authority) int { return cmp.Compare(a.CreateTime, b.CreateTime) })
	c := &fsm.RevokeCertificates{}
	for row := range r.RevokedCertificates(nil) {
		if len(c.Forget) < maxForget && (p.cfg.Now().UnixNano() > row.NotAfter || oldest.CreateTime > row.Time) {
			c.Forget = append(c.Forget, row)
		}
	}
	if len(c.Forget) == 0 {
		return nil
	}
	_, _, err := p.raft.Propose(ctx, c)
	return err
}
