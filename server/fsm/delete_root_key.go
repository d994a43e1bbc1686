package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// DeleteRootKey removes a root key that nothing needs any more.
type DeleteRootKey struct {
	KeyID string
	Force bool // also where living allocations may hold identities that it signed
}

// Kind implements Command.
func (*DeleteRootKey) Kind() Kind { return KindDeleteRootKey }

// Apply implements Command.
func (c *DeleteRootKey) Apply(w *state.Writer) (any, error) {
	key, err := w.RootKey(nil, c.KeyID)
	if err != nil {
		return nil, err
	}
	switch {
	case key.State == nomadish.RootKeyActive:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "active root key cannot be deleted - call rotate first")
	case w.RootKeyUsed(key.KeyID):
		return nil, nomadish.Errorf(nomadish.KindConflict, "root key in use: secrets in the state are sealed with it, rotate with -full first")
	case !c.Force && w.RootKeySigned(key):
		return nil, nomadish.Errorf(nomadish.KindConflict, "root key in use: allocations may hold identities that it signed, force its removal to cut them off")
	}
	return nil, w.DeleteRootKey(key.KeyID)
}
