package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// ACLTokens lists tokens by accessor ID, without their secrets; with global only those that
// all regions know.
func (e *Endpoint) ACLTokens(ctx context.Context, ws memdb.WatchSet, prefix string, global bool) (iter.Seq[*nomadish.ACLTokenListStub], uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	rows, err := r.ACLTokens(ws, prefix)
	if err != nil {
		return nil, 0, err
	}
	if global {
		rows = where(rows, func(t *nomadish.ACLToken) bool { return t.Global })
	}
	stubs := mapped(rows, func(t *nomadish.ACLToken) *nomadish.ACLTokenListStub { return linked(r, ws, t).Stub() })
	return stubs, tableIndex(r, state.TableACLTokens), nil
}

// ACLToken returns a token with its secret: any to management, its own to others.
func (e *Endpoint) ACLToken(ctx context.Context, ws memdb.WatchSet, accessor string) (*nomadish.ACLToken, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	caller := nomadish.CallerFrom(ctx)
	if own := caller.Kind == nomadish.CallerToken && caller.ID == accessor; !own && !caller.Management() {
		return nil, 0, nomadish.ErrDenied
	}
	r := e.store.Reader()
	token, err := r.ACLTokenByAccessor(ws, accessor)
	if token, err = found(token, err, "ACL token not found"); err != nil {
		return nil, tableIndex(r, state.TableACLTokens), err
	}
	shown, err := e.withSecret(linked(r, ws, token))
	return shown, token.ModifyIndex, err
}

// OwnACLToken returns the token that the caller shows. There is one for who shows none, and
// another one while access is not controlled; they say so.
func (e *Endpoint) OwnACLToken(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLToken, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return &nomadish.ACLToken{AccessorID: "acls-disabled", Name: "ACLs disabled token", Type: nomadish.ACLTokenClient}, firstIndex, nil
	}
	caller := nomadish.CallerFrom(ctx)
	switch {
	case caller.Kind == nomadish.CallerAnonymous:
		return &nomadish.ACLToken{
			AccessorID: anonymousPolicy, Name: "Anonymous Token", Type: nomadish.ACLTokenClient,
			Policies: []string{anonymousPolicy}, Roles: []*nomadish.ACLTokenRoleLink{},
		}, firstIndex, nil
	case caller.Kind != nomadish.CallerToken && caller.Kind != nomadish.CallerManagement || caller.ID == "":
		return nil, firstIndex, nomadish.Errorf(nomadish.KindNotFound, "ACL token not found")
	}
	return e.ACLToken(ctx, ws, caller.ID)
}

// withSecret returns a token that shows its secret.
func (e *Endpoint) withSecret(t *nomadish.ACLToken) (*nomadish.ACLToken, error) {
	secret, err := e.keyring.Open(t.Secret, t.SealedBinding())
	if err != nil {
		return nil, err
	}
	shown := *t
	shown.SecretID = nomadish.SecretText(secret)
	return &shown, nil
}

// linked returns a token whose roles have the names that they have now, without those that
// are no more.
func linked(r state.Reader, ws memdb.WatchSet, t *nomadish.ACLToken) *nomadish.ACLToken {
	shown := *t
	shown.Roles = []*nomadish.ACLTokenRoleLink{}
	for _, link := range t.Roles {
		if role, err := r.ACLRole(ws, link.ID); err == nil {
			shown.Roles = append(shown.Roles, &nomadish.ACLTokenRoleLink{ID: role.ID, Name: role.Name})
		}
	}
	return &shown
}

// newSecret is a random secret: 122 bits of it are.
func newSecret() nomadish.SecretText { return nomadish.SecretText(nomadish.NewID()) }

// seal hides a token's secret in what is stored of it.
func (e *Endpoint) seal(t *nomadish.ACLToken) error {
	hashes, err := e.keyring.MACs(nomadish.SecretPurpose, []byte(t.SecretID))
	if err != nil {
		return err
	}
	t.SecretHash = hashes[0]
	t.Secret, err = e.keyring.Seal([]byte(t.SecretID), t.SealedBinding())
	return err
}

// UpsertACLToken makes a token, or changes the one with its accessor ID. A token that comes
// with both of its IDs and is not known is made as it is.
func (e *Endpoint) UpsertACLToken(ctx context.Context, wanted *nomadish.ACLToken) (*nomadish.ACLToken, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	var token *nomadish.ACLToken
	var index uint64
	err := again(ctx, func() error {
		r := e.store.Reader()
		old, err := orNone(r.ACLTokenByAccessor(nil, wanted.AccessorID))
		if err != nil {
			return err
		}
		if token, err = e.nextToken(r, wanted, old); err != nil {
			return err
		}
		_, index, err = propose[any](ctx, e, &fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{token}})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return e.storedToken(token.AccessorID, index)
}

// storedToken returns a token as it was just stored, with its secret.
func (e *Endpoint) storedToken(accessor string, index uint64) (*nomadish.ACLToken, uint64, error) {
	r := e.store.Reader()
	stored, err := r.ACLTokenByAccessor(nil, accessor)
	if err != nil {
		return nil, index, err
	}
	shown, err := e.withSecret(linked(r, nil, stored))
	return shown, index, err
}

// nextToken is what to store for a token that is wanted in place of old, if that is not nil.
func (e *Endpoint) nextToken(r state.Reader, wanted, old *nomadish.ACLToken) (*nomadish.ACLToken, error) {
	t := *wanted
	t.Policies = distinct(wanted.Policies, func(p string) string { return p })
	var err error
	if t.Roles, err = roleLinks(r, wanted.Roles); err != nil {
		return nil, err
	}
	if old == nil {
		err = e.freshToken(&t)
	} else {
		err = e.changedToken(&t, old)
	}
	if err != nil {
		return nil, err
	}
	if err := t.Validate(nomadish.ACLTokenBounds{MinTTL: e.cfg.ACL.MinTTL, MaxTTL: e.cfg.ACL.MaxTTL}, old); err != nil {
		return nil, err
	}
	return &t, e.seal(&t)
}

// freshToken fills in what a new token has.
func (e *Endpoint) freshToken(t *nomadish.ACLToken) error {
	switch {
	case t.AccessorID == "" && t.SecretID == "":
		t.AccessorID, t.SecretID = nomadish.NewID(), newSecret()
	case t.SecretID == "":
		return nomadish.Errorf(nomadish.KindInvalid, "cannot find token %s", t.AccessorID)
	case t.AccessorID == "":
		return nomadish.Errorf(nomadish.KindInvalid, "a token with a secret ID of its own needs an accessor ID, too")
	case t.Type == nomadish.ACLTokenManagement:
		return nomadish.Errorf(nomadish.KindInvalid, "cannot upload management tokens")
	}
	for _, id := range []string{t.AccessorID, t.SecretID.Reveal()} {
		if _, err := nomadish.ParseID(id); err != nil {
			return nomadish.Errorf(nomadish.KindInvalid, "the accessor ID and the secret ID of a token must be UUIDs")
		}
	}
	t.ModifyIndex = 0
	t.CreateTime = e.cfg.Now().UTC()
	if t.ExpirationTTL > 0 {
		t.ExpirationTime = nomadish.Ptr(t.CreateTime.Add(time.Duration(t.ExpirationTTL)))
	} else if t.ExpirationTime != nil {
		t.ExpirationTime = nomadish.Ptr(t.ExpirationTime.UTC())
	}
	return nil
}

// changedToken fills in what stays of an old token.
func (e *Endpoint) changedToken(t, old *nomadish.ACLToken) error {
	secret, err := e.withSecret(old)
	if err != nil {
		return err
	}
	t.AccessorID, t.SecretID = old.AccessorID, secret.SecretID
	t.CreateTime, t.ModifyIndex = old.CreateTime, old.ModifyIndex
	if t.ExpirationTime == nil {
		t.ExpirationTime = old.ExpirationTime
	}
	if t.ExpirationTTL == 0 {
		t.ExpirationTTL = old.ExpirationTTL
	}
	return nil
}

// roleLinks finds the roles that a request names by ID or by name.
func roleLinks(r state.Reader, asked []*nomadish.ACLTokenRoleLink) ([]*nomadish.ACLTokenRoleLink, error) {
	links := []*nomadish.ACLTokenRoleLink{}
	for _, link := range asked {
		var role *nomadish.ACLRole
		var err error
		if link.ID != "" {
			role, err = r.ACLRole(nil, link.ID)
		} else {
			role, err = r.ACLRoleByName(nil, link.Name)
		}
		if err != nil {
			name := link.ID
			if name == "" {
				name = link.Name
			}
			return nil, nomadish.Errorf(nomadish.KindInvalid, "cannot find role %s", name)
		}
		links = append(links, &nomadish.ACLTokenRoleLink{ID: role.ID, Name: role.Name})
	}
	return distinct(links, func(l *nomadish.ACLTokenRoleLink) string { return l.ID }), nil
}

// DeleteACLToken removes a token.
func (e *Endpoint) DeleteACLToken(ctx context.Context, accessor string) (uint64, error) {
	if err := e.manage(ctx); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteACLTokens{AccessorIDs: []string{accessor}})
	_, err = found(accessor, err, "ACL token not found")
	return index, err
}

// BootstrapACL makes the first management token. Everybody may ask, and one gets it.
func (e *Endpoint) BootstrapACL(ctx context.Context, req *nomadish.ACLBootstrapRequest) (*nomadish.ACLToken, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	reset, err := e.resetIndex()
	if err != nil {
		return nil, 0, err
	}
	token := &nomadish.ACLToken{
		AccessorID: nomadish.NewID(), SecretID: newSecret(), Name: "Bootstrap Token",
		Type: nomadish.ACLTokenManagement, Global: true, CreateTime: e.cfg.Now().UTC(),
	}
	if req.BootstrapSecret != "" {
		if _, err := nomadish.ParseID(req.BootstrapSecret.Reveal()); err != nil {
			return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "invalid acl token")
		}
		token.SecretID = req.BootstrapSecret
	}
	var index uint64
	err = again(ctx, func() error {
		if err := e.seal(token); err != nil {
			return err
		}
		_, index, err = propose[any](ctx, e, &fsm.BootstrapACL{Token: token, ResetIndex: reset})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if reset != 0 {
		if err := os.Remove(e.cfg.ACL.ResetFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			e.cfg.Logger.Warn("the file that asked for another first token is still there: remove it", "file", e.cfg.ACL.ResetFile, "err", err)
		}
	}
	return e.storedToken(token.AccessorID, index)
}

// resetIndex is what the reset file says; 0: there is none.
func (e *Endpoint) resetIndex() (uint64, error) {
	if e.cfg.ACL.ResetFile == "" {
		return 0, nil
	}
	f, err := os.Open(e.cfg.ACL.ResetFile)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, nomadish.Errorf(nomadish.KindInternal, "ACL bootstrap reset: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0, nomadish.Errorf(nomadish.KindInternal, "ACL bootstrap reset: %w", err)
	}
	index, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "ACL bootstrap reset: the file %s holds %.40q and not an index", e.cfg.ACL.ResetFile, text)
	}
	return index, nil
}

// MakeOneTimeToken makes a one-time token of the caller's own.
func (e *Endpoint) MakeOneTimeToken(ctx context.Context) (*nomadish.OneTimeToken, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	caller := nomadish.CallerFrom(ctx)
	if caller.Kind != nomadish.CallerToken && caller.Kind != nomadish.CallerManagement || caller.ID == "" {
		return nil, 0, nomadish.ErrDenied
	}
	token := &nomadish.OneTimeToken{
		OneTimeSecretID: newSecret(), AccessorID: caller.ID,
		ExpiresAt: e.cfg.Now().UTC().Add(nomadish.OneTimeTokenTTL),
	}
	var index uint64
	err := again(ctx, func() error {
		hashes, err := e.keyring.MACs(nomadish.OneTimeSecretPurpose, []byte(token.OneTimeSecretID))
		if err != nil {
			return err
		}
		token.SecretHash = hashes[0]
		_, index, err = propose[any](ctx, e, &fsm.PutOneTimeToken{Token: token})
		return err
	})
	token.CreateIndex, token.ModifyIndex = index, index
	return token, index, err
}

// ExchangeOneTimeToken returns the token that a one-time token stands for, once.
func (e *Endpoint) ExchangeOneTimeToken(ctx context.Context, secret nomadish.SecretText) (*nomadish.ACLToken, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	hashes, locked := e.keyring.MACs(nomadish.OneTimeSecretPurpose, []byte(secret))
	r := e.store.Reader()
	for _, h := range hashes {
		once, err := r.OneTimeToken(nil, h.Sum)
		if err != nil {
			continue
		}
		token, err := r.ACLTokenByAccessor(nil, once.AccessorID)
		if err != nil || token.Expired(e.cfg.Now()) {
			return nil, 0, nomadish.ErrDenied
		}
		_, index, err := propose[any](ctx, e, &fsm.ExchangeOneTimeToken{Sum: h.Sum})
		if err != nil {
			return nil, 0, err
		}
		return e.storedToken(token.AccessorID, index)
	}
	if locked != nil {
		return nil, 0, locked
	}
	return nil, 0, nomadish.ErrDenied
}
