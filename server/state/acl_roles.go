package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var aclRoles = newTable[nomadish.ACLRole](21, TableACLRoles, func(r *nomadish.ACLRole) ([]byte, error) { return idKey(r.ID) }).
	by(indexName, func(r *nomadish.ACLRole) ([]byte, error) { return nameHash(r.Name), nil })

// ACLRole returns a role.
func (r Reader) ACLRole(ws memdb.WatchSet, id string) (*nomadish.ACLRole, error) {
	return byID(r, ws, aclRoles, "ACL role", id)
}

// ACLRoleByName returns the role with a name.
func (r Reader) ACLRoleByName(ws memdb.WatchSet, name string) (*nomadish.ACLRole, error) {
	for role := range list(r, ws, aclRoles, indexName, nameHash(name)) {
		if role.Name == name {
			return role, nil
		}
	}
	return nil, missing("ACL role", name)
}

// ACLRoles lists the roles whose ID starts with prefix, by ID.
func (r Reader) ACLRoles(ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLRole], error) {
	return listByID(r, ws, aclRoles, prefix)
}

// PutACLRole stores a role, whole, in place of the one with its ID. No two roles have the
// same name.
func (w *Writer) PutACLRole(role *nomadish.ACLRole) error {
	if other, err := w.ACLRoleByName(nil, role.Name); err == nil && other.ID != role.ID {
		return nomadish.Errorf(nomadish.KindInvalid, "role with name %s already exists", role.Name)
	}
	v := *role
	var created uint64
	if old, err := w.ACLRole(nil, v.ID); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&v.CreateIndex, &v.ModifyIndex, created)
	return put(w.txn, aclRoles, &v)
}

// DeleteACLRole removes a role. Tokens that have it lose what it gave.
func (w *Writer) DeleteACLRole(id string) error { return removeByID(w, aclRoles, "ACL role", id) }
