package endpoint

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/login"
	"github.com/nomadish/nomadish/server/state"
)

// ACLAuthMethods lists auth methods by name. Everybody may see what ways there are to log in.
func (e *Endpoint) ACLAuthMethods(_ context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLAuthMethodListStub], uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	r := e.store.Reader()
	return mapped(r.ACLAuthMethods(ws), (*nomadish.ACLAuthMethod).Stub), tableIndex(r, state.TableACLAuthMethods), nil
}

// ACLAuthMethod returns an auth method without its secrets.
func (e *Endpoint) ACLAuthMethod(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.ACLAuthMethod, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	method, err := r.ACLAuthMethod(ws, name)
	if method, err = found(method, err, "ACL auth-method not found"); err != nil {
		return nil, tableIndex(r, state.TableACLAuthMethods), err
	}
	shown, err := e.redacted(method)
	return shown, method.ModifyIndex, err
}

// redacted shows where a method has secrets, and not which.
func (e *Endpoint) redacted(m *nomadish.ACLAuthMethod) (*nomadish.ACLAuthMethod, error) {
	if m.Secrets == nil {
		return m, nil
	}
	secrets, err := e.methodSecrets(m)
	if err != nil {
		return nil, err
	}
	shown := withSecrets(m, nomadish.ACLAuthMethodSecrets{
		OIDCClientSecret: hidden(secrets.OIDCClientSecret), PemKey: hidden(secrets.PemKey),
	})
	return shown, nil
}

func hidden(secret nomadish.SecretText) nomadish.SecretText {
	if secret == "" {
		return ""
	}
	return nomadish.Redacted
}

// withSecrets returns a copy of a method that shows secrets.
func withSecrets(m *nomadish.ACLAuthMethod, secrets nomadish.ACLAuthMethodSecrets) *nomadish.ACLAuthMethod {
	shown, config := *m, *m.Config
	shown.Config = &config
	config.OIDCClientSecret = secrets.OIDCClientSecret
	if a := config.OIDCClientAssertion; a != nil && a.PrivateKey != nil {
		assertion, key := *a, *a.PrivateKey
		key.PemKey = secrets.PemKey
		assertion.PrivateKey = &key
		config.OIDCClientAssertion = &assertion
	}
	return &shown
}

// methodSecrets opens the secrets of a method.
func (e *Endpoint) methodSecrets(m *nomadish.ACLAuthMethod) (secrets nomadish.ACLAuthMethodSecrets, err error) {
	if m == nil || m.Secrets == nil {
		return secrets, nil
	}
	plain, err := e.keyring.Open(*m.Secrets, m.SealedBinding())
	if err != nil {
		return secrets, err
	}
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return secrets, nomadish.Errorf(nomadish.KindInternal, "secrets of auth method %s: %w", m.Name, err)
	}
	return secrets, nil
}

// UpsertACLAuthMethod stores an auth method. What it leaves out is as in the one that it
// replaces, secrets that are "redacted" among it.
func (e *Endpoint) UpsertACLAuthMethod(ctx context.Context, wanted *nomadish.ACLAuthMethod) (*nomadish.ACLAuthMethod, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	var index uint64
	err := again(ctx, func() error {
		old, err := orNone(e.store.Reader().ACLAuthMethod(nil, wanted.Name))
		if err != nil {
			return err
		}
		method := e.merged(wanted, old)
		if err := login.CheckMethod(method, e.cfg.ACL.MinTTL, e.cfg.ACL.MaxTTL); err != nil {
			return err
		}
		if err := e.sealMethod(method, old); err != nil {
			return err
		}
		_, index, err = propose[any](ctx, e, &fsm.UpsertACLAuthMethods{Methods: []*nomadish.ACLAuthMethod{method}})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	stored, err := e.store.Reader().ACLAuthMethod(nil, wanted.Name)
	if err != nil {
		return nil, index, err
	}
	shown, err := e.redacted(stored)
	return shown, index, err
}

// merged is what to store for a method that is wanted in place of old, if that is not nil.
func (e *Endpoint) merged(wanted, old *nomadish.ACLAuthMethod) *nomadish.ACLAuthMethod {
	m := *wanted
	m.ModifyTime = e.cfg.Now().UTC()
	m.CreateTime, m.ModifyIndex = m.ModifyTime, 0
	if old != nil {
		m.CreateTime, m.ModifyIndex = old.CreateTime, old.ModifyIndex
		m.Type = cmp.Or(m.Type, old.Type)
		m.TokenLocality = cmp.Or(m.TokenLocality, old.TokenLocality)
		m.TokenNameFormat = cmp.Or(m.TokenNameFormat, old.TokenNameFormat)
		m.MaxTokenTTL = cmp.Or(m.MaxTokenTTL, old.MaxTokenTTL)
		m.Config = cmp.Or(m.Config, old.Config)
	}
	m.TokenNameFormat = cmp.Or(m.TokenNameFormat, nomadish.ACLTokenNameFormat)
	return &m
}

// sealMethod hides the secrets of a method in what is stored of it.
func (e *Endpoint) sealMethod(m, old *nomadish.ACLAuthMethod) error {
	kept, err := e.methodSecrets(old)
	if err != nil {
		return err
	}
	secrets := nomadish.ACLAuthMethodSecrets{OIDCClientSecret: m.Config.OIDCClientSecret}
	if a := m.Config.OIDCClientAssertion; a != nil && a.PrivateKey != nil {
		secrets.PemKey = a.PrivateKey.PemKey
	}
	if old != nil && (m.Config == old.Config || secrets.OIDCClientSecret == nomadish.Redacted) {
		secrets.OIDCClientSecret = kept.OIDCClientSecret
	}
	if old != nil && (m.Config == old.Config || secrets.PemKey == nomadish.Redacted) {
		secrets.PemKey = kept.PemKey
	}
	m.Secrets = nil
	if secrets == (nomadish.ACLAuthMethodSecrets{}) {
		return nil
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	sealed, err := e.keyring.Seal(plain, m.SealedBinding())
	m.Secrets = &sealed
	return err
}

// DeleteACLAuthMethod removes an auth method.
func (e *Endpoint) DeleteACLAuthMethod(ctx context.Context, name string) (uint64, error) {
	if err := e.manage(ctx); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteACLAuthMethods{Names: []string{name}})
	_, err = found(name, err, "ACL auth-method not found")
	return index, err
}

// ACLBindingRules lists binding rules by ID.
func (e *Endpoint) ACLBindingRules(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLBindingRuleListStub], uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	rows, err := r.ACLBindingRules(ws, prefix)
	if err != nil {
		return nil, 0, err
	}
	return mapped(rows, (*nomadish.ACLBindingRule).Stub), tableIndex(r, state.TableACLBindingRules), nil
}

// ACLBindingRule returns a binding rule.
func (e *Endpoint) ACLBindingRule(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.ACLBindingRule, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	rule, err := r.ACLBindingRule(ws, id)
	if rule, err = found(rule, err, "ACL binding rule not found"); err != nil {
		return nil, tableIndex(r, state.TableACLBindingRules), err
	}
	return rule, rule.ModifyIndex, nil
}

// UpsertACLBindingRule stores a binding rule: a new one without an ID, or in place of the one
// with its ID. What it leaves out is as in that one.
func (e *Endpoint) UpsertACLBindingRule(ctx context.Context, wanted *nomadish.ACLBindingRule) (*nomadish.ACLBindingRule, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	id := cmp.Or(wanted.ID, nomadish.NewID())
	var index uint64
	err := again(ctx, func() error {
		old, err := orNone(e.store.Reader().ACLBindingRule(nil, id))
		if err != nil {
			return err
		}
		rule := *wanted
		rule.ID = id
		rule.ModifyTime = e.cfg.Now().UTC()
		rule.CreateTime, rule.ModifyIndex = rule.ModifyTime, 0
		switch {
		case old != nil:
			rule.ModifyIndex, rule.CreateTime = old.ModifyIndex, old.CreateTime
			rule.Description = cmp.Or(rule.Description, old.Description)
			rule.AuthMethod = cmp.Or(rule.AuthMethod, old.AuthMethod)
			rule.Selector = cmp.Or(rule.Selector, old.Selector)
			if rule.BindType == "" {
				rule.BindType, rule.BindName = old.BindType, cmp.Or(rule.BindName, old.BindName)
			}
		case wanted.ID != "":
			return nomadish.Errorf(nomadish.KindNotFound, "cannot find binding rule %s", id)
		}
		if err := login.CheckRule(&rule); err != nil {
			return err
		}
		_, index, err = propose[any](ctx, e, &fsm.UpsertACLBindingRules{Rules: []*nomadish.ACLBindingRule{&rule}})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	stored, err := e.store.Reader().ACLBindingRule(nil, id)
	return stored, index, err
}

// DeleteACLBindingRule removes a binding rule.
func (e *Endpoint) DeleteACLBindingRule(ctx context.Context, id string) (uint64, error) {
	if err := e.manage(ctx); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteACLBindingRules{IDs: []string{id}})
	_, err = found(id, err, "ACL binding rule not found")
	return index, err
}
