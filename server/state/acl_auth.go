package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var aclAuthMethods = newTable[nomadish.ACLAuthMethod](24, TableACLAuthMethods, func(m *nomadish.ACLAuthMethod) ([]byte, error) { return nameKey(m.Name) })

// ACLAuthMethod returns an auth method.
func (r Reader) ACLAuthMethod(ws memdb.WatchSet, name string) (*nomadish.ACLAuthMethod, error) {
	return byName(r, ws, aclAuthMethods, "ACL auth-method", name)
}

// ACLAuthMethods lists all auth methods by name.
func (r Reader) ACLAuthMethods(ws memdb.WatchSet) iter.Seq[*nomadish.ACLAuthMethod] {
	return listByName(r, ws, aclAuthMethods, "")
}

// PutACLAuthMethod stores an auth method, whole, in place of the one with its name. Of
// each type, one is the default at most.
func (w *Writer) PutACLAuthMethod(method *nomadish.ACLAuthMethod) error {
	if method.Default {
		for m := range w.ACLAuthMethods(nil) {
			if m.Default && m.Name != method.Name && m.Type == method.Type {
				return nomadish.Errorf(nomadish.KindInvalid, "default ACL auth method for type %s already exists: %s", m.Type, m.Name)
			}
		}
	}
	m := *method
	var created uint64
	if old, err := w.ACLAuthMethod(nil, m.Name); err == nil {
		created, m.CreateTime = old.CreateIndex, old.CreateTime
	}
	w.stamp(&m.CreateIndex, &m.ModifyIndex, created)
	return put(w.txn, aclAuthMethods, &m)
}

// DeleteACLAuthMethod removes an auth method. Its binding rules stay, without effect.
func (w *Writer) DeleteACLAuthMethod(name string) error {
	return removeNamed(w, aclAuthMethods, "ACL auth-method", name)
}

// aclAuthMethodsUse says whether auth methods need a root key.
func aclAuthMethodsUse(r Reader, keyID string) bool {
	for m := range r.ACLAuthMethods(nil) {
		if m.Secrets != nil && m.Secrets.KeyID == keyID {
			return true
		}
	}
	return false
}

var aclBindingRules = newTable[nomadish.ACLBindingRule](25, TableACLBindingRules, func(b *nomadish.ACLBindingRule) ([]byte, error) { return idKey(b.ID) }).
	by(indexName, func(b *nomadish.ACLBindingRule) ([]byte, error) { return nameHash(b.AuthMethod), nil })

// ACLBindingRule returns a binding rule.
func (r Reader) ACLBindingRule(ws memdb.WatchSet, id string) (*nomadish.ACLBindingRule, error) {
	return byID(r, ws, aclBindingRules, "ACL binding rule", id)
}

// ACLBindingRules lists the binding rules whose ID starts with prefix, by ID.
func (r Reader) ACLBindingRules(ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLBindingRule], error) {
	return listByID(r, ws, aclBindingRules, prefix)
}

// ACLBindingRulesOfMethod lists the binding rules of an auth method by ID.
func (r Reader) ACLBindingRulesOfMethod(ws memdb.WatchSet, method string) iter.Seq[*nomadish.ACLBindingRule] {
	return filter(list(r, ws, aclBindingRules, indexName, nameHash(method)), func(b *nomadish.ACLBindingRule) bool {
		return b.AuthMethod == method
	})
}

// PutACLBindingRule stores a binding rule, whole, in place of the one with its ID.
func (w *Writer) PutACLBindingRule(rule *nomadish.ACLBindingRule) error {
	b := *rule
	var created uint64
	if old, err := w.ACLBindingRule(nil, b.ID); err == nil {
		created, b.CreateTime = old.CreateIndex, old.CreateTime
	}
	w.stamp(&b.CreateIndex, &b.ModifyIndex, created)
	return put(w.txn, aclBindingRules, &b)
}

// DeleteACLBindingRule removes a binding rule.
func (w *Writer) DeleteACLBindingRule(id string) error {
	return removeByID(w, aclBindingRules, "ACL binding rule", id)
}
