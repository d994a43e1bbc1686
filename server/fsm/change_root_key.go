package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// ChangeRootKey moves a root key to its next state: a prepublished one becomes active, one
// whose content was sealed anew becomes deprecated.
type ChangeRootKey struct {
	KeyID string
	State nomadish.RootKeyState
}

// Kind implements Command.
func (*ChangeRootKey) Kind() Kind { return KindChangeRootKey }

// Apply implements Command.
func (c *ChangeRootKey) Apply(w *state.Writer) (any, error) {
	key, err := w.RootKey(nil, c.KeyID)
	if err != nil {
		return nil, err
	}
	next := *key
	next.State = c.State
	switch {
	case key.State == c.State:
		return nil, nil
	case key.State == nomadish.RootKeyPrepublished && c.State == nomadish.RootKeyActive:
		active := w.ActiveRootKey(nil)
		if active == nil {
			return nil, nomadish.Errorf(nomadish.KindConflict, "there is no active root key to replace")
		}
		if err := replaceActive(w, active.KeyID, false); err != nil {
			return nil, err
		}
	case key.State == nomadish.RootKeyRekeying && c.State == nomadish.RootKeyDeprecated:
		if w.RootKeyUsed(key.KeyID) {
			return nil, nomadish.Errorf(nomadish.KindConflict, "root key %s is still in use", key.KeyID)
		}
	default:
		return nil, nomadish.Errorf(nomadish.KindConflict, "root key %s is %s and can't become %s", key.KeyID, key.State, c.State)
	}
	return nil, w.PutRootKey(&next)
}
