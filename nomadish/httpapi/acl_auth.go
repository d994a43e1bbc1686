package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) aclAuthMethods(r *Request) (any, error) {
	rows := byName(func(m *nomadish.ACLAuthMethodListStub) string { return m.Name })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLAuthMethodListStub], uint64, error) {
		return a.back.Server.ACL.ACLAuthMethods(ctx, ws)
	})
}

func (a *API) aclAuthMethod(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLAuthMethod, uint64, error) {
		return a.back.Server.ACL.ACLAuthMethod(ctx, ws, r.Param("name"))
	})
}

func (a *API) upsertACLAuthMethod(r *Request) (any, error) {
	method := &nomadish.ACLAuthMethod{}
	if err := r.Decode(method); err != nil {
		return nil, err
	}
	if err := samePath("ACL auth-method name", r.Param("name"), &method.Name); err != nil {
		return nil, err
	}
	stored, index, err := a.back.Server.ACL.UpsertACLAuthMethod(r.Context(), method)
	return made(r, stored, index, err)
}

func (a *API) deleteACLAuthMethod(r *Request) (any, error) {
	index, err := a.back.Server.ACL.DeleteACLAuthMethod(r.Context(), r.Param("name"))
	return wrote(r, index, err)
}

func (a *API) aclBindingRules(r *Request) (any, error) {
	rows := byName(func(b *nomadish.ACLBindingRuleListStub) string { return b.ID })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLBindingRuleListStub], uint64, error) {
		return a.back.Server.ACL.ACLBindingRules(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) aclBindingRule(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLBindingRule, uint64, error) {
		return a.back.Server.ACL.ACLBindingRule(ctx, ws, r.Param("id"))
	})
}

func (a *API) upsertACLBindingRule(r *Request) (any, error) {
	rule := &nomadish.ACLBindingRule{}
	if err := r.Decode(rule); err != nil {
		return nil, err
	}
	if err := samePath("ACL binding rule ID", r.Param("id"), &rule.ID); err != nil {
		return nil, err
	}
	stored, index, err := a.back.Server.ACL.UpsertACLBindingRule(r.Context(), rule)
	return made(r, stored, index, err)
}

func (a *API) deleteACLBindingRule(r *Request) (any, error) {
	index, err := a.back.Server.ACL.DeleteACLBindingRule(r.Context(), r.Param("id"))
	return wrote(r, index, err)
}

func (a *API) login(r *Request) (any, error) {
	req := &nomadish.ACLLoginRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	token, index, err := a.back.Server.ACL.Login(r.Context(), req)
	return made(r, token, index, err)
}
