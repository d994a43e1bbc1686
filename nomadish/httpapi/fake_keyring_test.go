package httpapi

import (
	"context"
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// rootKeyID is that of the fake's one root key.
const rootKeyID = "26cbda57-e01e-488d-9f39-b6e3fca95a5b"

func (c *cluster) RootKeys(context.Context, memdb.WatchSet) (iter.Seq[*nomadish.RootKey], uint64, error) {
	key := &nomadish.RootKey{KeyID: rootKeyID, Algorithm: nomadish.AlgorithmAES256GCM, State: nomadish.RootKeyActive}
	return slices.Values([]*nomadish.RootKey{key}), 1, nil
}

func (c *cluster) RotateRootKey(_ context.Context, req *nomadish.KeyringRotateRequest) (*nomadish.KeyringRotateResponse, uint64, error) {
	return &nomadish.KeyringRotateResponse{Key: &nomadish.RootKey{KeyID: rootKeyID, State: nomadish.RootKeyActive, PublishTime: req.PublishTime}}, 2, nil
}

func (c *cluster) DeleteRootKey(_ context.Context, id string, _ bool) (uint64, error) {
	if id != rootKeyID {
		return 0, nomadish.Errorf(nomadish.KindNotFound, "root key not found")
	}
	return 2, nil
}

func (c *cluster) RecoveryKey(context.Context, memdb.WatchSet) (*nomadish.RecoveryKeyResponse, uint64, error) {
	return &nomadish.RecoveryKeyResponse{}, 1, nil
}

func (c *cluster) SetRecoveryKey(_ context.Context, req *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKeyResponse, error) {
	return &nomadish.RecoveryKeyResponse{Key: &nomadish.RecoveryKey{Public: req.Public}, Index: 2}, nil
}

func (c *cluster) OIDCDiscovery(context.Context) (*nomadish.OIDCDiscovery, error) {
	return nil, nomadish.Errorf(nomadish.KindNotFound, "OIDC Discovery endpoint disabled")
}

func (c *cluster) SignNodeIdentity(context.Context, string) (*nomadish.SignedNodeIdentity, error) {
	return &nomadish.SignedNodeIdentity{JWT: "h.e30.s"}, nil
}

func (c *cluster) ReconcileSummaries(context.Context) error { return nil }

func (c *cluster) SignIdentities(_ context.Context, _ string, req *nomadish.IdentitiesRequest) (*nomadish.IdentitiesResponse, error) {
	return &nomadish.IdentitiesResponse{Identities: make([]nomadish.SignedIdentity, len(req.Identities))}, nil
}
