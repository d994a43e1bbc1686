package endpoint

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// Bounds of one answer about what regions share.
const (
	sharedPage      = 512
	sharedPageBytes = 2 << 20
)

// sharedRow is a row that all regions share.
type sharedRow struct {
	key            string
	create, modify uint64
	row            any
	sealed         *nomadish.Sealed // of row; nil: nothing is
	bound          []byte           // what it is bound to
}

// sharedKind is how rows of one kind are listed.
type sharedKind struct {
	table string
	rows  func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error)
}

// sharedKinds is the table of what regions share.
var sharedKinds = map[string]sharedKind{
	nomadish.SharedQuotas: {state.TableQuotas, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		return mapped(r.Quotas(ws, ""), func(q *nomadish.QuotaSpec) sharedRow {
			return sharedRow{key: q.Name, create: q.CreateIndex, modify: q.ModifyIndex, row: q}
		}), nil
	}},
	nomadish.SharedNodePools: {state.TableNodePools, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		return mapped(r.NodePools(ws), func(p *nomadish.NodePool) sharedRow {
			return sharedRow{key: p.Name, create: p.CreateIndex, modify: p.ModifyIndex, row: p}
		}), nil
	}},
	nomadish.SharedNamespaces: {state.TableNamespaces, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		return mapped(r.Namespaces(ws), func(n *nomadish.Namespace) sharedRow {
			return sharedRow{key: n.Name, create: n.CreateIndex, modify: n.ModifyIndex, row: n}
		}), nil
	}},
	nomadish.SharedPolicies: {state.TableACLPolicies, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		return mapped(r.ACLPolicies(ws, ""), func(p *nomadish.ACLPolicy) sharedRow {
			return sharedRow{key: p.Name, create: p.CreateIndex, modify: p.ModifyIndex, row: p}
		}), nil
	}},
	nomadish.SharedRoles: {state.TableACLRoles, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		rows, err := r.ACLRoles(ws, "")
		return mapped(rows, func(role *nomadish.ACLRole) sharedRow {
			return sharedRow{key: role.ID, create: role.CreateIndex, modify: role.ModifyIndex, row: role}
		}), err
	}},
	nomadish.SharedAuthMethods: {state.TableACLAuthMethods, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		return mapped(r.ACLAuthMethods(ws), func(m *nomadish.ACLAuthMethod) sharedRow {
			return sharedRow{key: m.Name, create: m.CreateIndex, modify: m.ModifyIndex, row: m, sealed: m.Secrets, bound: m.SealedBinding()}
		}), nil
	}},
	nomadish.SharedBindingRules: {state.TableACLBindingRules, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		rows, err := r.ACLBindingRules(ws, "")
		return mapped(rows, func(b *nomadish.ACLBindingRule) sharedRow {
			return sharedRow{key: b.ID, create: b.CreateIndex, modify: b.ModifyIndex, row: b}
		}), err
	}},
	nomadish.SharedTokens: {state.TableACLTokens, func(r state.Reader, ws memdb.WatchSet) (iter.Seq[sharedRow], error) {
		rows, err := r.ACLTokens(ws, "")
		global := where(rows, func(t *nomadish.ACLToken) bool { return t.Global })
		return mapped(global, func(t *nomadish.ACLToken) sharedRow {
			return sharedRow{key: t.AccessorID, create: t.CreateIndex, modify: t.ModifyIndex, row: t, sealed: &t.Secret, bound: t.SealedBinding()}
		}), err
	}},
}

// SharedRows lists the rows of a kind that changed after an index, with their secrets, and the keys
// of all rows unless it follows from how many the asker knows that none was removed.
func (e *Endpoint) SharedRows(ctx context.Context, ws memdb.WatchSet, kind string, since uint64, known int) (*nomadish.SharedRows, uint64, error) {
	if err := e.manage(ctx); err != nil {
		return nil, 0, err
	}
	k, ok := sharedKinds[kind]
	if !ok {
		return nil, 0, nomadish.Errorf(nomadish.KindNotFound, "regions share nothing of kind %q", kind)
	}
	r := e.store.Reader()
	rows, err := k.rows(r, ws)
	if err != nil {
		return nil, 0, err
	}
	var keys []string
	var changed []sharedRow
	created := 0
	for row := range rows {
		keys = append(keys, row.key)
		if row.create > since {
			created++
		}
		if row.modify > since {
			changed = append(changed, row)
		}
	}
	slices.SortStableFunc(changed, func(a, b sharedRow) int { return cmp.Compare(a.modify, b.modify) })
	out := &nomadish.SharedRows{Index: tableIndex(r, k.table), Total: len(keys)}
	if err := e.showShared(out, changed); err != nil {
		return nil, 0, err
	}
	if !out.More && (known < 0 || known+created != len(keys)) {
		out.Keys = append([]string{}, keys...)
	}
	return out, out.Index, nil
}

// showShared fills in the first page of rows. Those of one index are never parted.
func (e *Endpoint) showShared(out *nomadish.SharedRows, rows []sharedRow) error {
	size := 0
	for i, row := range rows {
		if i > 0 && (i >= sharedPage || size >= sharedPageBytes) && row.modify != rows[i-1].modify {
			out.Index, out.More = rows[i-1].modify, true
			return nil
		}
		text, err := nomadish.EncodeJSON(row.row)
		if err != nil {
			return err
		}
		shown := nomadish.SharedRow{Row: text}
		if row.sealed != nil {
			secret, err := e.keyring.Open(*row.sealed, row.bound)
			if err != nil {
				return err
			}
			shown.Secret = nomadish.SecretText(secret)
		}
		size += len(text) + len(shown.Secret)
		out.Rows = append(out.Rows, shown)
	}
	return nil
}

// GlobalToken says whether a token is one of all regions.
func (e *Endpoint) GlobalToken(accessor string) bool {
	t, err := e.store.Reader().ACLTokenByAccessor(nil, accessor)
	return err == nil && t.Global
}

// GlobalLogin says whether an auth method gives tokens of all regions.
func (e *Endpoint) GlobalLogin(method string) bool {
	m, err := e.store.Reader().ACLAuthMethod(nil, method)
	return err == nil && m.TokenLocality == nomadish.ACLLocalityGlobal
}
