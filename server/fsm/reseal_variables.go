package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// ResealVariables replaces the sealed items of variables by the same items, sealed with
// another key.
type ResealVariables struct{ Rows []ResealedVariable }

// ResealedVariable is a variable with its items sealed anew. If it was changed meanwhile, or
// the key is not in use any more, it is left alone.
type ResealedVariable struct {
	Namespace   string
	Path        string
	ModifyIndex uint64
	Items       *nomadish.Sealed // bound as before
}

// Kind implements Command.
func (*ResealVariables) Kind() Kind { return KindResealVariables }

// Apply implements Command.
func (c *ResealVariables) Apply(w *state.Writer) (any, error) {
	for _, row := range c.Rows {
		old, err := w.Variable(nil, row.Namespace, row.Path)
		if err != nil || old.Items == nil || row.Items == nil || old.ModifyIndex != row.ModifyIndex || w.CheckRootKey(row.Items.KeyID) != nil {
			continue
		}
		if err := w.ResealVariable(row.Namespace, row.Path, row.Items); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
