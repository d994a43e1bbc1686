package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertACLAuthMethods stores auth methods. Each one's ModifyIndex is that of the row that
// it replaces.
type UpsertACLAuthMethods struct{ Methods []*nomadish.ACLAuthMethod }

// Kind implements Command.
func (*UpsertACLAuthMethods) Kind() Kind { return KindUpsertACLAuthMethods }

// Apply implements Command.
func (c *UpsertACLAuthMethods) Apply(w *state.Writer) (any, error) {
	return nil, each(c.Methods, func(m *nomadish.ACLAuthMethod) error {
		var at uint64
		if old, err := w.ACLAuthMethod(nil, m.Name); err == nil {
			at = old.ModifyIndex
		}
		if err := unchanged("auth method", m.Name, m.ModifyIndex, at); err != nil {
			return err
		}
		return putMethod(w, m)
	})
}

// putMethod stores an auth method if its secrets may be sealed as they are.
func putMethod(w *state.Writer, m *nomadish.ACLAuthMethod) error {
	if m.Secrets != nil {
		if err := w.CheckRootKey(m.Secrets.KeyID); err != nil {
			return err
		}
	}
	return w.PutACLAuthMethod(m)
}

// DeleteACLAuthMethods removes auth methods by name: all, or none if one does not exist.
type DeleteACLAuthMethods struct{ Names []string }

// Kind implements Command.
func (*DeleteACLAuthMethods) Kind() Kind { return KindDeleteACLAuthMethods }

// Apply implements Command.
func (c *DeleteACLAuthMethods) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.Names, w.DeleteACLAuthMethod)
}

// UpsertACLBindingRules stores binding rules. Each one's ModifyIndex is that of the row that
// it replaces. Their auth methods must exist, but for rules that are as another region has them.
type UpsertACLBindingRules struct {
	Rules      []*nomadish.ACLBindingRule
	Replicated bool
}

// Kind implements Command.
func (*UpsertACLBindingRules) Kind() Kind { return KindUpsertACLBindingRules }

// Apply implements Command.
func (c *UpsertACLBindingRules) Apply(w *state.Writer) (any, error) {
	return nil, each(c.Rules, func(b *nomadish.ACLBindingRule) error {
		var at uint64
		if old, err := w.ACLBindingRule(nil, b.ID); err == nil {
			at = old.ModifyIndex
		}
		if err := unchanged("binding rule", b.ID, b.ModifyIndex, at); err != nil {
			return err
		}
		if _, err := w.ACLAuthMethod(nil, b.AuthMethod); err != nil && !c.Replicated {
			return nomadish.Errorf(nomadish.KindInvalid, "ACL auth method %s not found", b.AuthMethod)
		}
		return w.PutACLBindingRule(b)
	})
}

// DeleteACLBindingRules removes binding rules by ID: all, or none if one does not exist.
type DeleteACLBindingRules struct{ IDs []string }

// Kind implements Command.
func (*DeleteACLBindingRules) Kind() Kind { return KindDeleteACLBindingRules }

// Apply implements Command.
func (c *DeleteACLBindingRules) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.IDs, w.DeleteACLBindingRule)
}

// ResealACL stores the secrets of tokens and auth methods sealed with another key. Each
// one's ModifyIndex is that of the row whose secret it is; a row that has changed meanwhile
// stays as it is.
type ResealACL struct {
	Tokens  []*nomadish.ACLToken      // accessor ID, secret and hash count
	Methods []*nomadish.ACLAuthMethod // name and secrets count
}

// Kind implements Command.
func (*ResealACL) Kind() Kind { return KindResealACL }

// Apply implements Command.
func (c *ResealACL) Apply(w *state.Writer) (any, error) {
	err := each(c.Tokens, func(t *nomadish.ACLToken) error {
		old, err := w.ACLTokenByAccessor(nil, t.AccessorID)
		if err != nil || old.ModifyIndex != t.ModifyIndex {
			return nil
		}
		next := *old
		next.Secret, next.SecretHash = t.Secret, t.SecretHash
		return putToken(w, &next)
	})
	if err != nil {
		return nil, err
	}
	return nil, each(c.Methods, func(m *nomadish.ACLAuthMethod) error {
		old, err := w.ACLAuthMethod(nil, m.Name)
		if err != nil || old.ModifyIndex != m.ModifyIndex {
			return nil
		}
		next := *old
		next.Secrets = m.Secrets
		return putMethod(w, &next)
	})
}
