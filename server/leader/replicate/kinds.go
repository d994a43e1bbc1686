package replicate

import (
	"iter"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// kinds is the table of what is replicated, each kind after those that it needs.
func kinds(keyring Keyring) []kind {
	return []kind{quotas(), nodePools(), namespaces(), policies(), roles(), authMethods(keyring), bindingRules(), tokens(keyring)}
}

func quotas() kind {
	return &rowsOf[nomadish.QuotaSpec]{
		called:  nomadish.SharedQuotas,
		key:     func(q *nomadish.QuotaSpec) string { return q.Name },
		find:    func(r state.Reader, name string) (*nomadish.QuotaSpec, error) { return r.Quota(nil, name) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.QuotaSpec], error) { return r.Quotas(nil, ""), nil },
		indexes: func(q *nomadish.QuotaSpec) (create, modify *uint64) { return &q.CreateIndex, &q.ModifyIndex },
		upsert:  func(rows []*nomadish.QuotaSpec) fsm.Command { return &fsm.UpsertQuotas{Quotas: rows} },
		delete:  func(names []string) fsm.Command { return &fsm.DeleteQuotas{Names: names} },
	}
}

func nodePools() kind {
	return &rowsOf[nomadish.NodePool]{
		called:  nomadish.SharedNodePools,
		key:     func(p *nomadish.NodePool) string { return p.Name },
		find:    func(r state.Reader, name string) (*nomadish.NodePool, error) { return r.NodePool(nil, name) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.NodePool], error) { return r.NodePools(nil), nil },
		indexes: func(p *nomadish.NodePool) (create, modify *uint64) { return &p.CreateIndex, &p.ModifyIndex },
		upsert:  func(rows []*nomadish.NodePool) fsm.Command { return &fsm.UpsertNodePools{NodePools: rows} },
		delete:  func(names []string) fsm.Command { return &fsm.DeleteNodePools{Names: names} },
	}
}

func namespaces() kind {
	return &rowsOf[nomadish.Namespace]{
		called:  nomadish.SharedNamespaces,
		key:     func(n *nomadish.Namespace) string { return n.Name },
		find:    func(r state.Reader, name string) (*nomadish.Namespace, error) { return r.Namespace(nil, name) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.Namespace], error) { return r.Namespaces(nil), nil },
		indexes: func(n *nomadish.Namespace) (create, modify *uint64) { return &n.CreateIndex, &n.ModifyIndex },
		upsert:  func(rows []*nomadish.Namespace) fsm.Command { return &fsm.UpsertNamespaces{Namespaces: rows} },
		delete:  func(names []string) fsm.Command { return &fsm.DeleteNamespaces{Names: names} },
	}
}

func policies() kind {
	return &rowsOf[nomadish.ACLPolicy]{
		called:  nomadish.SharedPolicies,
		key:     func(p *nomadish.ACLPolicy) string { return p.Name },
		find:    func(r state.Reader, name string) (*nomadish.ACLPolicy, error) { return r.ACLPolicy(nil, name) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.ACLPolicy], error) { return r.ACLPolicies(nil, ""), nil },
		indexes: func(p *nomadish.ACLPolicy) (create, modify *uint64) { return &p.CreateIndex, &p.ModifyIndex },
		upsert:  func(rows []*nomadish.ACLPolicy) fsm.Command { return &fsm.UpsertACLPolicies{Policies: rows} },
		delete:  func(names []string) fsm.Command { return &fsm.DeleteACLPolicies{Names: names} },
	}
}

func roles() kind {
	return &rowsOf[nomadish.ACLRole]{
		called:  nomadish.SharedRoles,
		key:     func(role *nomadish.ACLRole) string { return role.ID },
		find:    func(r state.Reader, id string) (*nomadish.ACLRole, error) { return r.ACLRole(nil, id) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.ACLRole], error) { return r.ACLRoles(nil, "") },
		indexes: func(role *nomadish.ACLRole) (create, modify *uint64) { return &role.CreateIndex, &role.ModifyIndex },
		upsert:  func(rows []*nomadish.ACLRole) fsm.Command { return &fsm.UpsertACLRoles{Roles: rows, Replicated: true} },
		delete:  func(ids []string) fsm.Command { return &fsm.DeleteACLRoles{IDs: ids} },
	}
}

func authMethods(keyring Keyring) kind {
	return &rowsOf[nomadish.ACLAuthMethod]{
		called:  nomadish.SharedAuthMethods,
		key:     func(m *nomadish.ACLAuthMethod) string { return m.Name },
		find:    func(r state.Reader, name string) (*nomadish.ACLAuthMethod, error) { return r.ACLAuthMethod(nil, name) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.ACLAuthMethod], error) { return r.ACLAuthMethods(nil), nil },
		indexes: func(m *nomadish.ACLAuthMethod) (create, modify *uint64) { return &m.CreateIndex, &m.ModifyIndex },
		chosen:  func(m *nomadish.ACLAuthMethod) *time.Time { return &m.CreateTime },
		upsert:  func(rows []*nomadish.ACLAuthMethod) fsm.Command { return &fsm.UpsertACLAuthMethods{Methods: rows} },
		delete:  func(names []string) fsm.Command { return &fsm.DeleteACLAuthMethods{Names: names} },
		open: func(m *nomadish.ACLAuthMethod) (string, error) {
			if m.Secrets == nil {
				return "", nil
			}
			secrets, err := keyring.Open(*m.Secrets, m.SealedBinding())
			return string(secrets), err
		},
		seal: func(m *nomadish.ACLAuthMethod, secrets string) error {
			if secrets == "" {
				return nil
			}
			sealed, err := keyring.Seal([]byte(secrets), m.SealedBinding())
			m.Secrets = &sealed
			return err
		},
	}
}

func bindingRules() kind {
	return &rowsOf[nomadish.ACLBindingRule]{
		called:  nomadish.SharedBindingRules,
		key:     func(b *nomadish.ACLBindingRule) string { return b.ID },
		find:    func(r state.Reader, id string) (*nomadish.ACLBindingRule, error) { return r.ACLBindingRule(nil, id) },
		all:     func(r state.Reader) (iter.Seq[*nomadish.ACLBindingRule], error) { return r.ACLBindingRules(nil, "") },
		indexes: func(b *nomadish.ACLBindingRule) (create, modify *uint64) { return &b.CreateIndex, &b.ModifyIndex },
		chosen:  func(b *nomadish.ACLBindingRule) *time.Time { return &b.CreateTime },
		upsert: func(rows []*nomadish.ACLBindingRule) fsm.Command {
			return &fsm.UpsertACLBindingRules{Rules: rows, Replicated: true}
		},
		delete: func(ids []string) fsm.Command { return &fsm.DeleteACLBindingRules{IDs: ids} },
	}
}

// tokens replicates global tokens. This region's own are neither looked for nor replaced.
func tokens(keyring Keyring) kind {
	return &rowsOf[nomadish.ACLToken]{
		called: nomadish.SharedTokens,
		key:    func(t *nomadish.ACLToken) string { return t.AccessorID },
		find:   func(r state.Reader, id string) (*nomadish.ACLToken, error) { return r.ACLTokenByAccessor(nil, id) },
		all: func(r state.Reader) (iter.Seq[*nomadish.ACLToken], error) {
			rows, err := r.ACLTokens(nil, "")
			return globals(rows), err
		},
		indexes: func(t *nomadish.ACLToken) (create, modify *uint64) { return &t.CreateIndex, &t.ModifyIndex },
		upsert:  func(rows []*nomadish.ACLToken) fsm.Command { return &fsm.UpsertACLTokens{Tokens: rows} },
		delete:  func(ids []string) fsm.Command { return &fsm.DeleteACLTokens{AccessorIDs: ids} },
		refuse: func(row, here *nomadish.ACLToken) error {
			switch {
			case !row.Global:
				return nomadish.Errorf(nomadish.KindInvalid, "it is no global token")
			case here != nil && !here.Global:
				return nomadish.Errorf(nomadish.KindInvalid, "a local token of this region has that accessor ID")
			}
			return nil
		},
		open: func(t *nomadish.ACLToken) (string, error) {
			secret, err := keyring.Open(t.Secret, t.SealedBinding())
			return string(secret), err
		},
		seal: func(t *nomadish.ACLToken, secret string) error {
			hashes, err := keyring.MACs(nomadish.SecretPurpose, []byte(secret))
			if err != nil {
				return err
			}
			t.SecretHash = hashes[0]
			t.Secret, err = keyring.Seal([]byte(secret), t.SealedBinding())
			return err
		},
	}
}

func globals(rows iter.Seq[*nomadish.ACLToken]) iter.Seq[*nomadish.ACLToken] {
	return func(yield func(*nomadish.ACLToken) bool) {
		for t := range rows {
			if t.Global && !yield(t) {
				return
			}
		}
	}
}
