package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertACLPolicies stores policies, each in place of the one with its name.
type UpsertACLPolicies struct{ Policies []*nomadish.ACLPolicy }

// Kind implements Command.
func (*UpsertACLPolicies) Kind() Kind { return KindUpsertACLPolicies }

// Apply implements Command.
func (c *UpsertACLPolicies) Apply(w *state.Writer) (any, error) {
	return nil, each(c.Policies, w.PutACLPolicy)
}

// DeleteACLPolicies removes policies by name: all of them, or none if one does not exist.
type DeleteACLPolicies struct{ Names []string }

// Kind implements Command.
func (*DeleteACLPolicies) Kind() Kind { return KindDeleteACLPolicies }

// Apply implements Command.
func (c *DeleteACLPolicies) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.Names, w.DeleteACLPolicy)
}

// each puts rows one after the other, until one is refused.
func each[T any](rows []*T, put func(*T) error) error {
	for _, row := range rows {
		if row == nil {
			return nomadish.Errorf(nomadish.KindInvalid, "there is nothing to store")
		}
		if err := put(row); err != nil {
			return err
		}
	}
	return nil
}

// eachName removes things one after the other, until one is refused.
func eachName(names []string, remove func(string) error) error {
	for _, name := range names {
		if err := remove(name); err != nil {
			return err
		}
	}
	return nil
}

// unchanged refuses to replace a row that is not any more what the caller has seen: base is
// the ModifyIndex that it saw, 0 for none, and at that of the row, 0 where there is none.
// What was deleted meanwhile, a token above all, must not come back.
func unchanged(noun, name string, base, at uint64) error {
	if base != at {
		return nomadish.Errorf(nomadish.KindConflict, "%s %s has changed meanwhile: it is at index %d, not %d", noun, name, at, base)
	}
	return nil
}
