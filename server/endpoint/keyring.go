package endpoint

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"iter"
	"math/big"
	"strings"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// RootKeys lists the keyring's root keys by ID.
func (e *Endpoint) RootKeys(_ context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.RootKey], uint64, error) {
	r := e.store.Reader()
	return r.RootKeys(ws), r.TableIndex(state.TableRootKeys), nil
}

// RotateRootKey makes a new root key.
func (e *Endpoint) RotateRootKey(ctx context.Context, req *nomadish.KeyringRotateRequest) (*nomadish.KeyringRotateResponse, uint64, error) {
	key, err := e.keyring.Rotate(ctx, req)
	if err != nil {
		return nil, 0, err
	}
	return &nomadish.KeyringRotateResponse{Key: key}, key.ModifyIndex, nil
}

// DeleteRootKey removes a root key that nothing needs any more; with force also one that
// allocations may hold identities of.
func (e *Endpoint) DeleteRootKey(ctx context.Context, id string, force bool) (uint64, error) {
	return e.keyring.Remove(ctx, id, force)
}

// RecoveryKey tells of the key on paper that root keys are wrapped for, too.
func (e *Endpoint) RecoveryKey(_ context.Context, ws memdb.WatchSet) (*nomadish.RecoveryKeyResponse, uint64, error) {
	r := e.store.Reader()
	index := r.TableIndex(state.TableRecoveryKey)
	return &nomadish.RecoveryKeyResponse{Key: r.RecoveryKey(ws), Index: index}, index, nil
}

// SetRecoveryKey has root keys be wrapped for another recovery key.
func (e *Endpoint) SetRecoveryKey(ctx context.Context, req *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKeyResponse, error) {
	key, index, err := e.keyring.SetRecovery(ctx, req)
	if err != nil {
		return nil, err
	}
	return &nomadish.RecoveryKeyResponse{Key: key, Index: index}, nil
}

// Keys returns the public keys of workload identities, also those that do not sign yet.
func (e *Endpoint) Keys(_ context.Context, ws memdb.WatchSet) (*nomadish.KeySet, uint64, error) {
	r := e.store.Reader()
	set := &nomadish.KeySet{Keys: []map[string]any{}}
	for k := range r.RootKeys(ws) {
		jwk, err := jwk(k)
		if err != nil {
			return nil, 0, nomadish.Errorf(nomadish.KindInternal, "root key %s: %w", k.KeyID, err)
		}
		set.Keys = append(set.Keys, jwk)
	}
	return set, r.TableIndex(state.TableRootKeys), nil
}

// jwk returns a root key's public half in the form of RFC 7517.
func jwk(k *nomadish.RootKey) (map[string]any, error) {
	public, err := x509.ParsePKIXPublicKey(k.Signer.Public)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"use": "sig", "alg": k.Signer.Algorithm, "kid": k.KeyID}
	text := base64.RawURLEncoding.EncodeToString
	switch public := public.(type) {
	case ed25519.PublicKey: // RFC 8037, section 2
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", text(public)
	case *rsa.PublicKey: // RFC 7518, section 6.3.1
		out["kty"], out["n"], out["e"] = "RSA", text(public.N.Bytes()), text(big.NewInt(int64(public.E)).Bytes())
	}
	return out, nil
}

// OIDCDiscovery tells others how to verify workload identities.
func (e *Endpoint) OIDCDiscovery(context.Context) (*nomadish.OIDCDiscovery, error) {
	if e.cfg.Issuer == "" {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "OIDC Discovery endpoint disabled")
	}
	d := &nomadish.OIDCDiscovery{
		Issuer: e.cfg.Issuer, JWKS: strings.TrimSuffix(e.cfg.Issuer, "/") + "/.well-known/jwks.json",
		ResponseTypes: []string{"code"}, Subjects: []string{"public"},
		Claims: []string{
			"aud", "exp", "iat", "iss", "jti", "nbf", "sub",
			"nomad_namespace", "nomad_job_id", "nomad_allocation_id", "nomad_task", "extra_claims",
		},
	}
	seen := map[string]bool{}
	for k := range e.store.Reader().RootKeys(nil) {
		if alg := k.Signer.Algorithm; !seen[alg] {
			seen[alg], d.Algorithms = true, append(d.Algorithms, alg)
		}
	}
	return d, nil
}
