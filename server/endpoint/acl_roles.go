package endpoint

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// ACLRoles lists roles by ID: all for management, its own for others.
func (e *Endpoint) ACLRoles(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLRoleListStub], uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	r := e.store.Reader()
	rows, err := r.ACLRoles(ws, prefix)
	if err != nil {
		return nil, 0, err
	}
	index := tableIndex(r, state.TableACLRoles)
	if !nomadish.CallerFrom(ctx).Management() {
		_, own := e.own(ctx, r, ws)
		rows = where(rows, func(role *nomadish.ACLRole) bool { return own[role.ID] })
		index = tableIndex(r, ownTables...)
	}
	return mapped(rows, func(role *nomadish.ACLRole) *nomadish.ACLRoleListStub { return living(r, ws, role).Stub() }), index, nil
}

// ACLRole returns a role, by ID or by name: any to management, its own to others.
func (e *Endpoint) ACLRole(ctx context.Context, ws memdb.WatchSet, id string, byName bool) (*nomadish.ACLRole, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	r := e.store.Reader()
	var role *nomadish.ACLRole
	var err error
	if byName {
		role, err = r.ACLRoleByName(ws, id)
	} else {
		role, err = r.ACLRole(ws, id)
	}
	if !nomadish.CallerFrom(ctx).Management() {
		if _, own := e.own(ctx, r, ws); err != nil || !own[role.ID] {
			return nil, tableIndex(r, ownTables...), nomadish.ErrDenied
		}
	}
	if role, err = found(role, err, "ACL role not found"); err != nil {
		return nil, tableIndex(r, state.TableACLRoles), err
	}
	return living(r, ws, role), role.ModifyIndex, nil
}

// living returns a role without the policies that are no more.
func living(r state.Reader, ws memdb.WatchSet, role *nomadish.ACLRole) *nomadish.ACLRole {
	shown := *role
	shown.Policies = []*nomadish.ACLRolePolicyLink{}
	for _, link := range role.Policies {
		if _, err := r.ACLPolicy(ws, link.Name); err == nil {
			shown.Policies = append(shown.Policies, link)
		}
	}
	return &shown
}

// UpsertACLRole stores a role: a new one without an ID, or in place of the one with its ID.
func (e *Endpoint) UpsertACLRole(ctx context.Context, wanted *nomadish.ACLRole) (*nomadish.ACLRole, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	role := *wanted
	role.Policies = distinct(wanted.Policies, func(link *nomadish.ACLRolePolicyLink) string { return link.Name })
	if role.ID == "" {
		role.ID = nomadish.NewID()
	}
	if err := role.Validate(); err != nil {
		return nil, 0, err
	}
	var index uint64
	err := again(ctx, func() error {
		old, err := orNone(e.store.Reader().ACLRole(nil, role.ID))
		switch {
		case err != nil:
			return err
		case old == nil && wanted.ID != "":
			return nomadish.Errorf(nomadish.KindNotFound, "cannot find role %s", role.ID)
		case old != nil:
			role.ModifyIndex = old.ModifyIndex
		default:
			role.ModifyIndex = 0
		}
		_, index, err = propose[any](ctx, e, &fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{&role}})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	stored, err := e.store.Reader().ACLRole(nil, role.ID)
	return stored, index, err
}

// distinct leaves out what is there twice.
func distinct[T any](list []T, name func(T) string) []T {
	seen := map[string]bool{}
	kept := make([]T, 0, len(list))
	for _, v := range list {
		if !seen[name(v)] {
			seen[name(v)] = true
			kept = append(kept, v)
		}
	}
	return kept
}

// DeleteACLRole removes a role.
func (e *Endpoint) DeleteACLRole(ctx context.Context, id string) (uint64, error) {
	if err := e.manage(ctx); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteACLRoles{IDs: []string{id}})
	_, err = found(id, err, "ACL role not found")
	return index, err
}
