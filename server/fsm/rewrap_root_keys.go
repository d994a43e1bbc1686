package fsm

import (
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// RewrapRootKeys changes what root keys are wrapped with, and with Recovery which recovery key there is.
type RewrapRootKeys struct {
	Keys     []*nomadish.RootKey   // their KeyID and Wrapped; those that are gone are left out
	Recovery *nomadish.RecoveryKey // nil: it stays; else Keys holds all root keys
	Former   string                // ID of the recovery key that the maker knew; empty: there was none
}

// Kind implements Command.
func (*RewrapRootKeys) Kind() Kind { return KindRewrapRootKeys }

// Apply implements Command.
func (c *RewrapRootKeys) Apply(w *state.Writer) (any, error) {
	recovery := w.RecoveryKey(nil)
	if recoveryID(recovery) != c.Former {
		return nil, errRecoveryChanged()
	}
	given := map[string]bool{}
	if c.Recovery != nil {
		if c.Recovery.ID == "" || len(c.Recovery.Public) == 0 {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no recovery key to set")
		}
		recovery = c.Recovery
		if err := w.PutRecoveryKey(recovery); err != nil {
			return nil, err
		}
	}
	for _, k := range c.Keys {
		if err := checkWrapped(k, recovery); err != nil {
			return nil, err
		}
		given[k.KeyID] = true
		if _, err := w.RootKey(nil, k.KeyID); err != nil {
			continue // it was removed meanwhile
		}
		if err := w.RewrapRootKey(k.KeyID, k.Wrapped); err != nil {
			return nil, err
		}
	}
	if c.Recovery == nil {
		return nil, nil
	}
	for k := range w.RootKeys(nil) {
		if !given[k.KeyID] {
			return nil, nomadish.Errorf(nomadish.KindConflict, "root key %s has come meanwhile", k.KeyID)
		}
	}
	return nil, nil
}

func recoveryID(k *nomadish.RecoveryKey) string {
	if k == nil {
		return ""
	}
	return k.ID
}

func errRecoveryChanged() error {
	return nomadish.Errorf(nomadish.KindConflict, "the recovery key has changed meanwhile")
}

// checkWrapped says why a root key could not be unwrapped with the recovery key, or by nobody but its owner.
func checkWrapped(k *nomadish.RootKey, recovery *nomadish.RecoveryKey) error {
	if k == nil || len(k.Wrapped) == 0 {
		return nomadish.Errorf(nomadish.KindInvalid, "there is no root key, or it is not wrapped")
	}
	if recovery == nil {
		return nil
	}
	isIts := func(wrapped nomadish.WrappedKey) bool { return wrapped.Wrapper == recovery.Wrapper() }
	if !slices.ContainsFunc(k.Wrapped, isIts) {
		return errRecoveryChanged()
	}
	return nil
}
