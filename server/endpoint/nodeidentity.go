package endpoint

import (
	"cmp"
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// nodeIdentityTTL is for how long a node's identity is good whose pool says nothing.
const nodeIdentityTTL = 24 * time.Hour

// SignNodeIdentity signs a token that says which node its bearer is.
func (e *Endpoint) SignNodeIdentity(_ context.Context, nodeID string) (*nomadish.SignedNodeIdentity, error) {
	r := e.store.Reader()
	node, err := r.Node(nil, nodeID)
	if node, err = found(node, err, "node not found"); err != nil {
		return nil, err
	}
	ttl := nodeIdentityTTL
	if pool, err := r.NodePool(nil, node.NodePool); err == nil {
		ttl = cmp.Or(time.Duration(pool.NodeIdentityTTL), ttl)
	}
	now := e.cfg.Now()
	expires := now.Add(ttl).Unix()
	jwt, err := e.keyring.Sign(&nomadish.IdentityClaims{
		NodeID: node.ID, NodePool: node.NodePool, NodeClass: node.NodeClass, NodeDatacenter: node.Datacenter,
		Subject: nomadish.NodeIdentitySubject(e.cfg.Region, node.NodePool, node.ID), Audience: nomadish.Audience{nomadish.IdentityAudience},
		Issuer: e.cfg.Issuer, Expires: expires, NotBefore: now.Unix(), IssuedAt: now.Unix(), ID: nomadish.NewID(),
	})
	if err != nil {
		return nil, err
	}
	return &nomadish.SignedNodeIdentity{JWT: nomadish.SecretText(jwt), Expires: expires}, nil
}

// ReconcileSummaries has nothing to do: the counts of a job's allocations change with these, in one
// transaction.
func (e *Endpoint) ReconcileSummaries(context.Context) error { return nil }
