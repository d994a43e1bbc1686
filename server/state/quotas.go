package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var quotas = newTable[nomadish.QuotaSpec](27, TableQuotas, func(q *nomadish.QuotaSpec) ([]byte, error) { return nameKey(q.Name) })

// Quota returns a quota.
func (r Reader) Quota(ws memdb.WatchSet, name string) (*nomadish.QuotaSpec, error) {
	return byName(r, ws, quotas, "quota", name)
}

// Quotas lists the quotas whose name starts with prefix, by name.
func (r Reader) Quotas(ws memdb.WatchSet, prefix string) iter.Seq[*nomadish.QuotaSpec] {
	return listByName(r, ws, quotas, prefix)
}

// PutQuota stores a quota, whole, in place of the one with its name.
func (w *Writer) PutQuota(quota *nomadish.QuotaSpec) error {
	q := *quota
	var created uint64
	if old, err := w.Quota(nil, q.Name); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&q.CreateIndex, &q.ModifyIndex, created)
	return put(w.txn, quotas, &q)
}

// DeleteQuota removes a quota that no namespace has.
func (w *Writer) DeleteQuota(name string) error {
	for ns := range w.Namespaces(nil) {
		if ns.Quota == name {
			return nomadish.Errorf(nomadish.KindInvalid, "quota %q is attached to namespace %q", name, ns.Name)
		}
	}
	return removeNamed(w, quotas, "quota", name)
}
