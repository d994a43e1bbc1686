package endpoint

import (
	"cmp"
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Introduction says how servers deal with new client nodes.
type Introduction struct {
	// Enforcement is what becomes of a new node that nobody has introduced: with "none" it is
	// taken, with "warn" taken and logged, with "strict" refused. Default "warn" with access
	// control, else "none".
	Enforcement string
	TTL         time.Duration // of tokens that ask for none; default 5m
	MaxTTL      time.Duration // default 30m
}

func (i Introduction) withDefaults(secured bool) Introduction {
	if i.Enforcement == "" && secured {
		i.Enforcement = nomadish.IntroductionWarn
	}
	i.Enforcement = cmp.Or(i.Enforcement, nomadish.IntroductionNone)
	i.TTL, i.MaxTTL = cmp.Or(i.TTL, 5*time.Minute), cmp.Or(i.MaxTTL, 30*time.Minute)
	return i
}

// IntroduceClient signs a token with which a new node may register.
func (e *Endpoint) IntroduceClient(ctx context.Context, req *nomadish.ClientIntroductionRequest) (*nomadish.ClientIntroductionResponse, error) {
	if err := e.mayName(ctx, nomadish.PermNodeWrite, "", ""); err != nil {
		return nil, err
	}
	ttl := cmp.Or(req.TTL, e.cfg.Introduction.TTL)
	if ttl < 0 || ttl > e.cfg.Introduction.MaxTTL {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "TTL: %s is not between 0 and %s, the servers' client_introduction.max_identity_ttl", ttl, e.cfg.Introduction.MaxTTL)
	}
	pool := cmp.Or(req.NodePool, nomadish.NodePoolDefault)
	if err := nomadish.CheckNodePoolName(pool); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "NodePool: %w", err)
	}
	now := e.cfg.Now()
	jwt, err := e.keyring.Sign(&nomadish.IdentityClaims{
		NodeName: req.NodeName, NodePool: pool, Subject: nomadish.IntroductionSubject, Audience: nomadish.Audience{nomadish.IdentityAudience},
		Issuer: e.cfg.Issuer, Expires: now.Add(ttl).Unix(), NotBefore: now.Unix(), IssuedAt: now.Unix(), ID: nomadish.NewID(),
	})
	if err != nil {
		return nil, err
	}
	return &nomadish.ClientIntroductionResponse{JWT: nomadish.SecretText(jwt)}, nil
}

// CheckIntroduction says whether a node may register with what introduces it. One that is
// registered already needs no introduction.
func (e *Endpoint) CheckIntroduction(_ context.Context, node *nomadish.Node, token nomadish.SecretText) error {
	if e.cfg.Introduction.Enforcement == nomadish.IntroductionNone {
		return nil
	}
	if _, err := e.store.Reader().Node(nil, node.ID); err == nil {
		return nil
	}
	err := e.introduced(node, token)
	switch {
	case err == nil:
		return nil
	case nomadish.KindOf(err) == nomadish.KindNoLeader, e.cfg.Introduction.Enforcement == nomadish.IntroductionStrict:
		return err
	}
	e.cfg.Logger.Warn("a new node registers that nobody has introduced", "node", node.ID, "name", node.Name, "pool", node.NodePool, "err", err)
	return nil
}

func (e *Endpoint) introduced(node *nomadish.Node, token nomadish.SecretText) error {
	refused := func(format string, args ...any) error {
		return nomadish.Errorf(nomadish.KindDenied, "node %s is new: "+format, append([]any{node.ID}, args...)...)
	}
	if token == "" {
		return refused(`it needs a token that introduces it: "nomadish node intro create" makes one, for client.intro_token`)
	}
	claims, err := e.keyring.Verify(token.Reveal())
	if nomadish.KindOf(err) == nomadish.KindNoLeader && err != nil {
		return err
	}
	switch pool := cmp.Or(node.NodePool, nomadish.NodePoolDefault); {
	case err != nil:
		return refused("the token that introduces it: %w", err)
	case claims.Subject != nomadish.IntroductionSubject || claims.AllocationID != "":
		return refused("the token introduces no node")
	case claims.NodeName != "" && claims.NodeName != node.Name:
		return refused("the token introduces a node of the name %q, not %q", claims.NodeName, node.Name)
	case claims.NodePool != pool:
		return refused("the token introduces a node of the pool %q, not %q", claims.NodePool, pool)
	}
	return nil
}
