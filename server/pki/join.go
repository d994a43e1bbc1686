package pki

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/fsm"
)

// CreateToken makes a join token.
func (p *PKI) CreateToken(ctx context.Context, req *nomadish.JoinTokenRequest) (*nomadish.JoinTokenResponse, error) {
	ttl, uses := cmp.Or(req.TTL, nomadish.JoinTokenTTL), cmp.Or(req.Uses, 1)
	role := certificate.Role(req.Role)
	switch {
	case role != certificate.Server && role != certificate.Client:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Role: %q is neither server nor client", req.Role)
	case role == certificate.Server && req.NodePool != "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "NodePool: a server is of no pool")
	case ttl < 0 || ttl > nomadish.JoinTokenMaxTTL:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "TTL: %s is not between 0 and %s", ttl, nomadish.JoinTokenMaxTTL)
	case uses < 0 || uses > nomadish.JoinTokenMaxUses:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Uses: %d is not between 1 and %d", uses, nomadish.JoinTokenMaxUses)
	}
	if req.NodePool != "" {
		if err := nomadish.CheckNodePoolName(req.NodePool); err != nil {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "NodePool: %w", err)
		}
	}
	all := authorities(p.store.Reader(), nil)
	active := inState(all, nomadish.AuthorityActive)
	if active == nil {
		return nil, errNone()
	}
	var fingerprint [32]byte
	if _, err := hex.Decode(fingerprint[:], []byte(active.ID)); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInternal, "authority %q: %w", active.ID, err)
	}
	ticket, err := certificate.NewTicket(role, fingerprint)
	if err != nil {
		return nil, err
	}
	hashes, err := p.keyring.MACs(nomadish.JoinTokenPurpose, ticket.Secret[:])
	if err != nil {
		return nil, err
	}
	now := p.cfg.Now()
	token := &nomadish.JoinToken{
		ID: ticket.TokenID(), Role: req.Role, NodePool: req.NodePool, Uses: uses,
		CreateTime: now.UnixNano(), ExpirationTime: now.Add(ttl).UnixNano(), SecretHash: hashes[0],
	}
	index, _, err := p.raft.Propose(ctx, &fsm.PutJoinToken{Token: token})
	if err != nil {
		return nil, err
	}
	return &nomadish.JoinTokenResponse{Token: token, Text: ticket.Text(), Index: index}, nil
}

// Tokens lists the join tokens that can be used. ws fires when that may have changed.
func (p *PKI) Tokens(ws memdb.WatchSet) []*nomadish.JoinToken {
	now := p.cfg.Now().UnixNano()
	all := slices.DeleteFunc(slices.Collect(p.store.Reader().JoinTokens(ws)), func(t *nomadish.JoinToken) bool { return now >= t.ExpirationTime })
	slices.SortFunc(all, func(a, b *nomadish.JoinToken) int {
		return cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// DeleteToken takes a join token back.
func (p *PKI) DeleteToken(ctx context.Context, id string) (uint64, error) {
	index, _, err := p.raft.Propose(ctx, &fsm.DeleteJoinTokens{IDs: []string{id}})
	return index, err
}

// refused is the answer to every token that is not good, whatever is wrong with it.
func refused() error {
	return nomadish.Errorf(nomadish.KindDenied, "the join token is not good: it has been used, has ended, was taken back, or is for another role")
}

// Joiner says of somebody who joins whether the ID that it wants is free for it.
type Joiner func(req *nomadish.EnrollRequest) error

// Join gives somebody its first certificate who has a join token. It answers with what the state
// knows; what else the new agent needs is added by its caller.
func (p *PKI) Join(ctx context.Context, req *nomadish.EnrollRequest, may Joiner) (*nomadish.EnrollResponse, error) {
	who := certificate.Identity{Role: certificate.Role(req.Role), Region: p.cfg.Region, ID: req.ID}
	token, err := p.token(req)
	if err != nil {
		return nil, err
	}
	if _, err := nomadish.ParseID(req.ID); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "ID: %w", err)
	}
	if err := may(req); err != nil {
		return nil, err
	}
	all := authorities(p.store.Reader(), nil)
	signer, err := p.signer(all)
	if err != nil {
		return nil, err
	}
	issued, err := p.issue(signer, who, req.Request, req.Addr)
	if err != nil {
		return nil, err
	}
	known := answer(all)
	row := &nomadish.CertifiedAgent{Role: req.Role, ID: req.ID, Name: req.Name[:min(len(req.Name), maxName)], Trusts: all[len(all)-1].ID}
	note(row, issued, known.Issuer)
	if _, _, err := p.raft.Propose(ctx, &fsm.UseJoinToken{ID: token.ID, Agent: row}); err != nil {
		if nomadish.KindOf(err) == nomadish.KindDenied {
			return nil, refused() // somebody else was faster
		}
		return nil, err
	}
	p.cfg.Logger.Info("an agent joins", "role", req.Role, "id", req.ID, "name", row.Name, "token", token.ID)
	return &nomadish.EnrollResponse{Certificate: issued.Raw, Authorities: known.Authorities, Region: p.cfg.Region, NodePool: token.NodePool}, nil
}

// token returns the token that somebody shows, if it is good.
func (p *PKI) token(req *nomadish.EnrollRequest) (*nomadish.JoinToken, error) {
	ticket, err := certificate.ParseTicket(req.Token)
	if err != nil {
		return nil, refused()
	}
	hashes, err := p.keyring.MACs(nomadish.JoinTokenPurpose, ticket.Secret[:])
	if err != nil {
		return nil, err
	}
	t, err := p.store.Reader().JoinToken(nil, ticket.TokenID())
	if err != nil || t.Role != req.Role || string(ticket.Role) != t.Role || p.cfg.Now().UnixNano() >= t.ExpirationTime {
		return nil, refused()
	}
	for _, h := range hashes {
		if h.KeyID == t.SecretHash.KeyID && hmac.Equal(h.Sum, t.SecretHash.Sum) {
			return t, nil
		}
	}
	return nil, refused()
}
