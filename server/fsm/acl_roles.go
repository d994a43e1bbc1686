package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertACLRoles stores roles. Each role's ModifyIndex is that of the row that it replaces. Their
// policies must exist, but for roles that are as another region has them.
type UpsertACLRoles struct {
	Roles      []*nomadish.ACLRole
	Replicated bool
}

// Kind implements Command.
func (*UpsertACLRoles) Kind() Kind { return KindUpsertACLRoles }

// Apply implements Command.
func (c *UpsertACLRoles) Apply(w *state.Writer) (any, error) {
	err := each(c.Roles, func(r *nomadish.ACLRole) error {
		var at uint64
		if old, err := w.ACLRole(nil, r.ID); err == nil {
			at = old.ModifyIndex
		}
		return unchanged("role", r.ID, r.ModifyIndex, at)
	})
	if err == nil && c.Replicated {
		err = each(c.Roles, func(r *nomadish.ACLRole) error { return freeName(w, r) })
	}
	if err != nil {
		return nil, err
	}
	return nil, each(c.Roles, func(r *nomadish.ACLRole) error {
		for _, link := range r.Policies {
			if _, err := w.ACLPolicy(nil, link.Name); err != nil && !c.Replicated {
				return nomadish.Errorf(nomadish.KindInvalid, "cannot find policy %s", link.Name)
			}
		}
		return w.PutACLRole(r)
	})
}

// freeName takes its name from a role that gets another one: several may have exchanged them.
func freeName(w *state.Writer, next *nomadish.ACLRole) error {
	old, err := w.ACLRole(nil, next.ID)
	if err != nil || old.Name == next.Name {
		return nil // it is new, or keeps its name
	}
	nameless := *old
	nameless.Name = old.ID
	return w.PutACLRole(&nameless)
}

// DeleteACLRoles removes roles by ID: all of them, or none if one does not exist.
type DeleteACLRoles struct{ IDs []string }

// Kind implements Command.
func (*DeleteACLRoles) Kind() Kind { return KindDeleteACLRoles }

// Apply implements Command.
func (c *DeleteACLRoles) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.IDs, w.DeleteACLRole)
}
