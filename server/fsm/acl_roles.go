package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertACLRoles stores roles. Each role's ModifyIndex is that of the row that it replaces.
type UpsertACLRoles struct{ Roles []*nomadish.ACLRole }

// Kind implements Command.
func (*UpsertACLRoles) Kind() Kind { return KindUpsertACLRoles }

// Apply implements Command.
func (c *UpsertACLRoles) Apply(w *state.Writer) (any, error) {
	return nil, each(c.Roles, func(r *nomadish.ACLRole) error {
		var at uint64
		if old, err := w.ACLRole(nil, r.ID); err == nil {
			at = old.ModifyIndex
		}
		if err := unchanged("role", r.ID, r.ModifyIndex, at); err != nil {
			return err
		}
		for _, link := range r.Policies {
			if _, err := w.ACLPolicy(nil, link.Name); err != nil {
				return nomadish.Errorf(nomadish.KindInvalid, "cannot find policy %s", link.Name)
			}
		}
		return w.PutACLRole(r)
	})
}

// DeleteACLRoles removes roles by ID: all of them, or none if one does not exist.
type DeleteACLRoles struct{ IDs []string }

// Kind implements Command.
func (*DeleteACLRoles) Kind() Kind { return KindDeleteACLRoles }

// Apply implements Command.
func (c *DeleteACLRoles) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.IDs, w.DeleteACLRole)
}
