package httpapi

import (
	"context"
	"iter"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// keysAge is how long others may go on with the keys that they know. Keys are published for
// longer than that before they sign, unless somebody rotates at once.
const keysAge = 5 * time.Minute

func (a *API) rootKeys(r *Request) (any, error) {
	ids := byName(func(k *nomadish.RootKey) string { return k.KeyID })
	return list(r, ids, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.RootKey], uint64, error) {
		return a.back.Server.Keyring.RootKeys(ctx, ws)
	})
}

// rotateRootKey takes what is wanted from the query.
func (a *API) rotateRootKey(r *Request) (any, error) {
	full, err := r.Bool("full")
	if err != nil {
		return nil, err
	}
	at, err := r.Int("publish_time", 0)
	if err != nil {
		return nil, err
	}
	resp, index, err := a.back.Server.Keyring.RotateRootKey(r.Context(), &nomadish.KeyringRotateRequest{
		Algorithm: r.Value("algo"), Full: full, PublishTime: at,
	})
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return resp, nil
}

func (a *API) deleteRootKey(r *Request) (any, error) {
	id := r.Param("id")
	if _, err := nomadish.ParseID(id); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "invalid key ID %q: %w", id, err)
	}
	force, err := r.Bool("force")
	if err != nil {
		return nil, err
	}
	index, err := a.back.Server.Keyring.DeleteRootKey(r.Context(), id, force)
	r.SetIndex(index)
	return nil, err
}

func (a *API) recoveryKey(r *Request) (any, error) {
	return one(r, a.back.Server.Keyring.RecoveryKey)
}

func (a *API) setRecoveryKey(r *Request) (any, error) {
	req := &nomadish.RecoveryKeyRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	resp, err := a.back.Server.Keyring.SetRecoveryKey(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(resp.Index)
	return resp, nil
}

func (a *API) keys(r *Request) (any, error) {
	set, err := one(r, a.back.Server.Keyring.Keys)
	if err == nil {
		r.maxAge = keysAge
	}
	return set, err
}

func (a *API) oidcDiscovery(r *Request) (any, error) {
	d, err := a.back.Server.Keyring.OIDCDiscovery(r.Context())
	if err != nil {
		return nil, err
	}
	r.maxAge = keysAge
	return d, nil
}

func (a *API) signIdentities(r *Request) (any, error) {
	req := &nomadish.IdentitiesRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Server.NodeAgents.SignIdentities(r.Context(), r.Param("node"), req)
}
