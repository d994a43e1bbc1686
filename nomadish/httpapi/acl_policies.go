package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) aclPolicies(r *Request) (any, error) {
	rows := byName(func(p *nomadish.ACLPolicyListStub) string { return p.Name })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLPolicyListStub], uint64, error) {
		return a.back.Server.ACL.ACLPolicies(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) ownACLPolicies(r *Request) (any, error) {
	return one(r, a.back.Server.ACL.OwnACLPolicies)
}

func (a *API) aclPolicy(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLPolicy, uint64, error) {
		return a.back.Server.ACL.ACLPolicy(ctx, ws, r.Param("name"))
	})
}

func (a *API) upsertACLPolicy(r *Request) (any, error) {
	policy := &nomadish.ACLPolicy{}
	if err := r.Decode(policy); err != nil {
		return nil, err
	}
	if err := samePath("ACL policy name", r.Param("name"), &policy.Name); err != nil {
		return nil, err
	}
	index, err := a.back.Server.ACL.UpsertACLPolicy(r.Context(), policy)
	return wrote(r, index, err)
}

func (a *API) deleteACLPolicy(r *Request) (any, error) {
	index, err := a.back.Server.ACL.DeleteACLPolicy(r.Context(), r.Param("name"))
	return wrote(r, index, err)
}

func (a *API) aclRoles(r *Request) (any, error) {
	rows := byName(func(role *nomadish.ACLRoleListStub) string { return role.ID })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLRoleListStub], uint64, error) {
		return a.back.Server.ACL.ACLRoles(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) aclRole(r *Request) (any, error) { return a.roleBy(r, r.Param("id"), false) }

func (a *API) aclRoleByName(r *Request) (any, error) { return a.roleBy(r, r.Param("name"), true) }

func (a *API) roleBy(r *Request, id string, byName bool) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLRole, uint64, error) {
		return a.back.Server.ACL.ACLRole(ctx, ws, id, byName)
	})
}

func (a *API) upsertACLRole(r *Request) (any, error) {
	role := &nomadish.ACLRole{}
	if err := r.Decode(role); err != nil {
		return nil, err
	}
	if err := samePath("ACL role ID", r.Param("id"), &role.ID); err != nil {
		return nil, err
	}
	stored, index, err := a.back.Server.ACL.UpsertACLRole(r.Context(), role)
	return made(r, stored, index, err)
}

func (a *API) deleteACLRole(r *Request) (any, error) {
	index, err := a.back.Server.ACL.DeleteACLRole(r.Context(), r.Param("id"))
	return wrote(r, index, err)
}
