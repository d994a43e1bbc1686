package secrets

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// Ready makes the first root key where the state has none, and returns once the active one
// can be used. Only the leader calls it.
func (k *Keyring) Ready(ctx context.Context) error {
	if k.store.Reader().ActiveRootKey(nil) == nil {
		if err := k.first(ctx); err != nil {
			return err
		}
	}
	loaded := k.load(ctx, true)
	r, done := k.use()
	defer done()
	if _, err := r.active(); err != nil {
		return err
	}
	if loaded != nil {
		k.cfg.Logger.Warn("former root keys can't be unwrapped", "err", loaded)
	}
	return nil
}

// first makes the first root key.
func (k *Keyring) first(ctx context.Context) error {
	if err := k.create(); err != nil {
		return unavailable(err)
	}
	_, err := k.add(ctx, "", nomadish.RootKeyActive, &nomadish.KeyringRotateRequest{})
	if nomadish.KindOf(err) == nomadish.KindConflict {
		return nil // somebody else was faster
	}
	return err
}

// create makes this server's wrapping key, if it is in a file and that is not there yet.
func (k *Keyring) create() error {
	if maker, ok := k.cfg.Wrappers[0].(interface{ Create() error }); ok {
		return maker.Create()
	}
	return nil
}

// Rotate makes a new root key, active at once or at the time that the request says.
func (k *Keyring) Rotate(ctx context.Context, req *nomadish.KeyringRotateRequest) (*nomadish.RootKey, error) {
	if req.Algorithm != "" && req.Algorithm != nomadish.AlgorithmAES256GCM {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "unknown algorithm %q: only %s is known", req.Algorithm, nomadish.AlgorithmAES256GCM)
	}
	active := k.store.Reader().ActiveRootKey(nil)
	if active == nil {
		return nil, nomadish.Errorf(nomadish.KindNoLeader, "keyring: there is no root key yet")
	}
	if req.PublishTime == 0 {
		return k.add(ctx, active.KeyID, nomadish.RootKeyActive, req)
	}
	switch at := time.Unix(0, req.PublishTime); {
	case req.Full:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "keyring cannot be prepublished and full rotated at the same time")
	case !at.After(k.cfg.Now()):
		return nil, nomadish.Errorf(nomadish.KindInvalid, "publish time %s is not in the future", at.UTC().Format(time.RFC3339))
	}
	return k.add(ctx, active.KeyID, nomadish.RootKeyPrepublished, req)
}

// add makes, wraps and proposes a root key. former is the ID of the active one.
func (k *Keyring) add(ctx context.Context, former string, s nomadish.RootKeyState, req *nomadish.KeyringRotateRequest) (*nomadish.RootKey, error) {
	row, secret, err := newRootKey(k.cfg.Algorithm, k.cfg.Now().UnixNano())
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	row.State, row.PublishTime = s, req.PublishTime
	own, err := k.wrap(ctx, secret)
	if err != nil {
		return nil, unavailable(err)
	}
	recovery, err := wrapFor(k.RecoveryKey(), row.KeyID, secret)
	if err != nil {
		return nil, err
	}
	row.Wrapped = append([]nomadish.WrappedKey{own}, recovery...)
	if _, _, err := k.raft.Propose(ctx, &fsm.AddRootKey{Key: row, Former: former, Full: req.Full}); err != nil {
		return nil, err
	}
	return k.store.Reader().RootKey(nil, row.KeyID)
}

// Remove removes a root key that nothing needs any more; with force also one that living
// allocations may hold identities of.
func (k *Keyring) Remove(ctx context.Context, keyID string, force bool) (uint64, error) {
	index, _, err := k.raft.Propose(ctx, &fsm.DeleteRootKey{KeyID: keyID, Force: force})
	return index, err
}

// Lead replaces root keys that are old enough, and forgets those that nothing needs any more,
// until ctx ends. Only the leader runs it.
func (k *Keyring) Lead(ctx context.Context) error {
	for {
		next := k.tend(ctx)
		pause := time.NewTimer(next)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// tend does what is due and returns the time until it should look again.
func (k *Keyring) tend(ctx context.Context) time.Duration {
	now, next := k.cfg.Now(), k.cfg.Every
	if err := k.rewrap(ctx); err != nil && ctx.Err() == nil {
		k.cfg.Logger.Warn("wrap root keys anew", "err", err)
		next = min(next, k.cfg.Retry)
	}
	// Of keys that are to become active the earliest one does, and the others with later looks.
	rows := slices.SortedFunc(k.store.Reader().RootKeys(nil), func(a, b *nomadish.RootKey) int { return cmp.Compare(a.PublishTime, b.PublishTime) })
	promoted := false
	for _, row := range rows {
		var err error
		switch age := now.Sub(time.Unix(0, row.CreateTime)); row.State {
		case nomadish.RootKeyPrepublished:
			if due := time.Unix(0, row.PublishTime).Sub(now); due > 0 {
				next = min(next, due)
			} else if !promoted {
				promoted = true
				_, _, err = k.raft.Propose(ctx, &fsm.ChangeRootKey{KeyID: row.KeyID, State: nomadish.RootKeyActive})
			}
		case nomadish.RootKeyActive:
			if age >= k.cfg.Rotate || row.Signer.Algorithm != k.cfg.Algorithm {
				err = k.replace(ctx, row.KeyID)
			}
		case nomadish.RootKeyInactive, nomadish.RootKeyDeprecated:
			if age >= k.cfg.Forget && !k.needed(row) {
				_, err = k.Remove(ctx, row.KeyID, false)
			}
		}
		if err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("tend the keyring", "key", row.KeyID, "state", row.State, "err", err)
			next = min(next, k.cfg.Retry)
		}
	}
	return next
}

// needed says whether a root key that seals no more is still in use.
func (k *Keyring) needed(row *nomadish.RootKey) bool {
	r := k.store.Reader()
	return r.RootKeyUsed(row.KeyID) || r.RootKeySigned(row)
}

// replace makes the successor of the active root key, so that verifiers know it a while
// before it signs.
func (k *Keyring) replace(ctx context.Context, active string) error {
	r := k.store.Reader()
	if now := r.ActiveRootKey(nil); now == nil || now.KeyID != active {
		return nil
	}
	for row := range r.RootKeys(nil) {
		if row.State == nomadish.RootKeyPrepublished {
			return nil
		}
	}
	_, err := k.Rotate(ctx, &nomadish.KeyringRotateRequest{PublishTime: k.cfg.Now().Add(k.cfg.Prepublish).UnixNano()})
	return err
}

// Rekeyed tells the keyring that nothing is sealed with a root key any more whose content was
// to be sealed anew. KindConflict: something is.
func (k *Keyring) Rekeyed(ctx context.Context, keyID string) error {
	_, _, err := k.raft.Propose(ctx, &fsm.ChangeRootKey{KeyID: keyID, State: nomadish.RootKeyDeprecated})
	return err
}
