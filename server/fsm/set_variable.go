package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// Refusal says why a command on a variable changed nothing.
type Refusal uint8

// The refusals.
const (
	NotRefused    Refusal = iota
	RefusedCheck          // the variable is not at the index that was asked for
	RefusedLocked         // somebody else holds its lock, or nobody holds the lock that was named
	RefusedSeal           // the items have to be sealed again: the variable, or the active root key, has changed
)

// VariableResult is what became of a command on a variable.
type VariableResult struct {
	Refused  Refusal
	Variable *nomadish.SealedVariable // as it is now; nil: there is none
}

// SetVariable stores the items of a variable.
type SetVariable struct {
	Namespace  string
	Path       string
	Items      *nomadish.Sealed
	Base       uint64  // see nomadish.SealedVariable
	CheckIndex *uint64 // not nil: refuse unless this is the variable's ModifyIndex; 0: it must not exist
	LockID     string  // of the lock that the writer holds
}

// Kind implements Command.
func (*SetVariable) Kind() Kind { return KindSetVariable }

// Apply implements Command.
func (c *SetVariable) Apply(w *state.Writer) (any, error) {
	if c.Items == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there are no items to store")
	}
	old, err := variable(w, c.Namespace, c.Path)
	if err != nil {
		return nil, err
	}
	if refused := refusal(old, c.CheckIndex, c.LockID); refused != NotRefused {
		return &VariableResult{Refused: refused, Variable: old}, nil
	}
	if !fresh(w, c.Items, c.Base, old) {
		return &VariableResult{Refused: RefusedSeal, Variable: old}, nil
	}
	next := &nomadish.SealedVariable{VariableMetadata: nomadish.VariableMetadata{Namespace: c.Namespace, Path: c.Path}}
	if old != nil {
		*next = *old
	}
	next.Items, next.Base = c.Items, c.Base
	return putVariable(w, next)
}

// variable returns a variable, or nil where there is none. Its namespace has to exist.
func variable(w *state.Writer, namespace, path string) (*nomadish.SealedVariable, error) {
	if _, err := w.Namespace(nil, namespace); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "namespace %q does not exist", namespace)
	}
	if v, err := w.Variable(nil, namespace, path); err == nil {
		return v, nil
	}
	return nil, nil
}

// refusal says why somebody with a lock, or with none, may not change a variable.
func refusal(v *nomadish.SealedVariable, check *uint64, lockID string) Refusal {
	locked := v != nil && v.Lock != nil
	switch {
	case check != nil && *check != modifyIndex(v):
		return RefusedCheck
	case locked && !v.Holds(lockID), !locked && lockID != "":
		return RefusedLocked
	}
	return NotRefused
}

// fresh says whether items were sealed for the variable as it is now, with a key that is in use.
func fresh(w *state.Writer, items *nomadish.Sealed, base uint64, v *nomadish.SealedVariable) bool {
	return base == modifyIndex(v) && w.CheckRootKey(items.KeyID) == nil
}

func modifyIndex(v *nomadish.SealedVariable) uint64 {
	if v == nil {
		return 0
	}
	return v.ModifyIndex
}

// putVariable stores a variable and answers what it is then.
func putVariable(w *state.Writer, v *nomadish.SealedVariable) (any, error) {
	if err := w.PutVariable(v); err != nil {
		return nil, err
	}
	stored, err := w.Variable(nil, v.Namespace, v.Path)
	return &VariableResult{Variable: stored}, err
}
