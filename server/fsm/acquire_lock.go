package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// AcquireLock gives the lock of a variable to whoever asks first. A variable that does not
// exist is made.
type AcquireLock struct {
	Namespace string
	Path      string
	Lock      *nomadish.VariableLock // admitted, with an ID
	Items     *nomadish.Sealed       // nil: leave the variable's items as they are
	Base      uint64                 // of Items
}

// Kind implements Command.
func (*AcquireLock) Kind() Kind { return KindAcquireLock }

// Apply implements Command. The lock's fence is the index of this command: no other lock
// has it, and every later one a greater.
func (c *AcquireLock) Apply(w *state.Writer) (any, error) {
	if c.Lock == nil || c.Lock.ID == "" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no lock to acquire")
	}
	old, err := variable(w, c.Namespace, c.Path)
	if err != nil {
		return nil, err
	}
	if old != nil && (old.Lock != nil || old.Lost != nil) {
		return &VariableResult{Refused: RefusedLocked, Variable: old}, nil
	}
	next := &nomadish.SealedVariable{VariableMetadata: nomadish.VariableMetadata{Namespace: c.Namespace, Path: c.Path}}
	if old != nil {
		*next = *old
	}
	if c.Items != nil {
		if !fresh(w, c.Items, c.Base, old) {
			return &VariableResult{Refused: RefusedSeal, Variable: old}, nil
		}
		next.Items, next.Base = c.Items, c.Base
	}
	lock := *c.Lock
	lock.Fence = w.Index()
	next.Lock = &lock
	return putVariable(w, next)
}
