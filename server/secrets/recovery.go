package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/recovery"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// GiveRecovery puts a recovery key where the server that uses the path finds it: in a file for the server's
// user alone, which the server removes once it needs it no more. One that is there is replaced.
func GiveRecovery(path string, key *recovery.Key) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("recovery key: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("recovery key: %w", err)
	}
	if err := writeSecret(path, []byte(key.Text().Reveal()+"\n")); err != nil {
		return fmt.Errorf("recovery key: %w", err)
	}
	return syncDir(dir)
}

// given reads the recovery key that somebody gave this server. fs.ErrNotExist: nobody did.
func (k *Keyring) given() (*recovery.Key, error) {
	if k.cfg.RecoveryFile == "" {
		return nil, fs.ErrNotExist
	}
	text, err := readSecret(k.cfg.RecoveryFile)
	if err != nil {
		return nil, fmt.Errorf("recovery key: %w", err)
	}
	defer clear(text)
	key, err := recovery.Parse(nomadish.SecretText(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.cfg.RecoveryFile, err)
	}
	return key, nil
}

// recoveryBound binds what a recovery key wraps to its row.
func recoveryBound(keyID string) []byte { return []byte("root key\x00" + keyID) }

// recovered returns the secret of a root key by a recovery key.
func recovered(row *nomadish.RootKey, key *recovery.Key) ([]byte, error) {
	name := nomadish.RecoveryPrefix + key.ID()
	i := slices.IndexFunc(row.Wrapped, func(w nomadish.WrappedKey) bool { return w.Wrapper == name })
	if i < 0 {
		return nil, fmt.Errorf("root key %s: recovery key %s does not open it", row.KeyID, key.ID())
	}
	secret, err := key.Unwrap(row.Wrapped[i].Data, recoveryBound(row.KeyID))
	if err != nil {
		return nil, fmt.Errorf("root key %s: %w", row.KeyID, err)
	}
	return secret, nil
}

// secret returns the secret of a root key, which the caller clears, and whether it took a recovery key: by
// gives one, if there is one.
func (k *Keyring) secret(ctx context.Context, row *nomadish.RootKey, by func() (*recovery.Key, error)) (secret []byte, rescued bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	secret, locked := unwrap(ctx, row, k.cfg.Wrappers)
	if locked == nil {
		return secret, false, nil
	}
	key, err := by()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, locked
	}
	if err == nil {
		secret, err = recovered(row, key)
	}
	if err != nil {
		return nil, false, errors.Join(locked, err)
	}
	return secret, true, nil
}

// wrap wraps the secret of a root key with this server's own wrapping key.
func (k *Keyring) wrap(ctx context.Context, secret []byte) (nomadish.WrappedKey, error) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	w := k.cfg.Wrappers[0]
	data, err := w.Wrap(ctx, secret)
	return nomadish.WrappedKey{Wrapper: w.Name(), Data: data}, err
}

// wrapFor wraps the secret of a root key for the recovery key, if there is one.
func wrapFor(key *nomadish.RecoveryKey, keyID string, secret []byte) ([]nomadish.WrappedKey, error) {
	if key == nil {
		return nil, nil
	}
	data, err := recovery.Wrap(key.Public, secret, recoveryBound(keyID))
	if err != nil {
		return nil, err
	}
	return []nomadish.WrappedKey{{Wrapper: key.Wrapper(), Data: data}}, nil
}

// rewrapped returns a root key as it is to be wrapped: for that recovery key alone, and with this server's
// wrapping key where none that is there opens it.
func (k *Keyring) rewrapped(ctx context.Context, row *nomadish.RootKey, to *nomadish.RecoveryKey, by func() (*recovery.Key, error)) (next *nomadish.RootKey, rescued bool, err error) {
	secret, rescued, err := k.secret(ctx, row, by)
	if err != nil {
		return nil, false, err
	}
	defer clear(secret)
	wrapped, err := wrapFor(to, row.KeyID, secret)
	if err != nil {
		return nil, false, err
	}
	own := slices.DeleteFunc(slices.Clone(row.Wrapped), byRecovery)
	if rescued {
		if err := k.create(); err != nil {
			return nil, false, err
		}
		w, err := k.wrap(ctx, secret)
		if err != nil {
			return nil, false, err
		}
		own = []nomadish.WrappedKey{w}
	}
	return &nomadish.RootKey{KeyID: row.KeyID, Wrapped: append(own, wrapped...)}, rescued, nil
}

func byRecovery(w nomadish.WrappedKey) bool {
	return strings.HasPrefix(w.Wrapper, nomadish.RecoveryPrefix)
}

// RecoveryKey returns the public half of the cluster's recovery key; nil: there is none.
func (k *Keyring) RecoveryKey() *nomadish.RecoveryKey { return k.store.Reader().RecoveryKey(nil) }

// SetRecovery has all root keys be wrapped for another recovery key, and for no former one.
func (k *Keyring) SetRecovery(ctx context.Context, req *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKey, uint64, error) {
	if err := recovery.CheckPublic(req.Public); err != nil {
		return nil, 0, err
	}
	next := &nomadish.RecoveryKey{ID: recovery.ID(req.Public), Public: req.Public, CreateTime: k.cfg.Now().UnixNano()}
	c := &fsm.RewrapRootKeys{Recovery: next, Former: req.Former}
	for row := range k.store.Reader().RootKeys(nil) {
		key, _, err := k.rewrapped(ctx, row, next, k.given)
		if err != nil {
			return nil, 0, unavailable(err)
		}
		c.Keys = append(c.Keys, key)
	}
	index, _, err := k.raft.Propose(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	k.cfg.Logger.Info("the cluster has another recovery key", "id", next.ID, "former", req.Former)
	return k.RecoveryKey(), index, nil
}

// rewrap has root keys that only a recovery key opens be wrapped with this server's wrapping key, and those
// that the recovery key does not open be wrapped for it.
func (k *Keyring) rewrap(ctx context.Context) error {
	r := k.store.Reader()
	c := &fsm.RewrapRootKeys{}
	to := r.RecoveryKey(nil)
	if to != nil {
		c.Former = to.ID
	}
	for row := range r.RootKeys(nil) {
		lacks := to != nil && !slices.Contains(wrapperNames(row.Wrapped), to.Wrapper())
		if !lacks && !k.rescued(row.KeyID) {
			continue
		}
		key, _, err := k.rewrapped(ctx, row, to, k.given)
		if err != nil {
			return err
		}
		c.Keys = append(c.Keys, key)
	}
	if len(c.Keys) == 0 {
		return nil
	}
	if _, _, err := k.raft.Propose(ctx, c); err != nil {
		return err
	}
	k.cfg.Logger.Info("root keys are wrapped anew", "keys", len(c.Keys), "with", k.cfg.Wrappers[0].Name())
	return nil
}

// rescued says whether a root key was opened with a recovery key alone.
func (k *Keyring) rescued(keyID string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key := k.ring.key(keyID)
	return key != nil && key.rescued
}

// opens says, by names, whether one of this server's wrapping keys has wrapped a root key.
func (k *Keyring) opens(row *nomadish.RootKey) bool {
	return slices.ContainsFunc(row.Wrapped, func(wrapped nomadish.WrappedKey) bool {
		return slices.ContainsFunc(k.cfg.Wrappers, func(w Wrapper) bool { return wraps(w, wrapped) })
	})
}

// tidy removes a recovery key that somebody gave this server once no root key needs it.
func (k *Keyring) tidy() {
	if k.cfg.RecoveryFile == "" {
		return
	}
	k.mu.RLock()
	needed := len(k.ring.keys) == 0 || k.ring.locked != nil || slices.ContainsFunc(k.ring.keys, func(key *rootKey) bool { return key.rescued })
	k.mu.RUnlock()
	if needed {
		return
	}
	switch err := os.Remove(k.cfg.RecoveryFile); {
	case err == nil:
		k.cfg.Logger.Info("the recovery key is not needed any more, its file is removed", "file", k.cfg.RecoveryFile)
	case !errors.Is(err, fs.ErrNotExist):
		k.cfg.Logger.Warn("the recovery key is not needed any more, but lies there: remove it", "file", k.cfg.RecoveryFile, "err", err)
	}
}

// Restorable returns what has to be done to a state that is to be restored, so that this server's wrapping
// keys open its root keys: nil for nothing. Where they don't, key does, if it is given.
func (k *Keyring) Restorable(ctx context.Context, r state.Reader, key *recovery.Key) (*fsm.RewrapRootKeys, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*k.cfg.Timeout)
	defer cancel()
	by := func() (*recovery.Key, error) {
		if key == nil {
			return nil, fs.ErrNotExist
		}
		return key, nil
	}
	c := &fsm.RewrapRootKeys{}
	to := r.RecoveryKey(nil)
	if to != nil {
		c.Former = to.ID
	}
	var errs []error
	for row := range r.RootKeys(nil) {
		next, rescued, err := k.rewrapped(ctx, row, to, by)
		if err != nil {
			errs = append(errs, err)
		} else if rescued {
			c.Keys = append(c.Keys, next)
		}
	}
	if len(c.Keys) == 0 || len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}
