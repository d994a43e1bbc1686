package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// AddRootKey adds a root key to the keyring: the active one, in place of Former, or one that
// is prepublished.
type AddRootKey struct {
	Key    *nomadish.RootKey
	Former string // the active key that its maker knew; empty: there was none
	Full   bool   // what the former one has sealed is to be sealed anew
}

// Kind implements Command.
func (*AddRootKey) Kind() Kind { return KindAddRootKey }

// Apply implements Command.
func (c *AddRootKey) Apply(w *state.Writer) (any, error) {
	if err := checkWrapped(c.Key, w.RecoveryKey(nil)); err != nil {
		return nil, err
	}
	if _, err := w.RootKey(nil, c.Key.KeyID); err == nil {
		return nil, nomadish.Errorf(nomadish.KindConflict, "root key %s is there already", c.Key.KeyID)
	}
	count := 0
	for range w.RootKeys(nil) {
		count++
	}
	if count >= nomadish.MaxRootKeys {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "the keyring holds %d root keys, the most there can be: remove old ones first", count)
	}
	switch c.Key.State {
	case nomadish.RootKeyActive:
		if err := replaceActive(w, c.Former, c.Full); err != nil {
			return nil, err
		}
	case nomadish.RootKeyPrepublished:
		if w.ActiveRootKey(nil) == nil {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "the first root key can't be prepublished")
		}
	default:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "a new root key can't be %s", c.Key.State)
	}
	return nil, w.PutRootKey(c.Key)
}

// replaceActive takes the active root key out of use, if it is the one that the caller knows.
func replaceActive(w *state.Writer, former string, full bool) error {
	active := w.ActiveRootKey(nil)
	if active == nil && former == "" {
		return nil
	}
	if active == nil || active.KeyID != former {
		return nomadish.Errorf(nomadish.KindConflict, "the active root key has changed meanwhile")
	}
	next := *active
	next.State = nomadish.RootKeyInactive
	if full {
		next.State = nomadish.RootKeyRekeying
	}
	if err := w.PutRootKey(&next); err != nil || !full {
		return err
	}
	return rekeyInactive(w)
}

// rekeyInactive has what older keys sealed be sealed anew too.
func rekeyInactive(w *state.Writer) error {
	var inactive []*nomadish.RootKey
	for k := range w.RootKeys(nil) {
		if k.State == nomadish.RootKeyInactive {
			inactive = append(inactive, k)
		}
	}
	for _, k := range inactive {
		next := *k
		next.State = nomadish.RootKeyRekeying
		if err := w.PutRootKey(&next); err != nil {
			return err
		}
	}
	return nil
}
