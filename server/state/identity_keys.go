package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var identityKeys = newTable[nomadish.IdentityKey](15, TableIdentityKeys, func(k *nomadish.IdentityKey) ([]byte, error) { return idKey(k.ID) })

// IdentityKeys lists the public keys of workload identities by ID.
func (r Reader) IdentityKeys(ws memdb.WatchSet) iter.Seq[*nomadish.IdentityKey] {
	return list(r, ws, identityKeys, indexID+withPrefix, nil)
}

// PutIdentityKey stores a public key. A key that is there already stays as it is.
func (w *Writer) PutIdentityKey(key *nomadish.IdentityKey) error {
	id, err := idKey(key.ID)
	if err != nil {
		return err
	}
	if _, known := first(w.Reader, nil, identityKeys, id); known {
		return nil
	}
	k := *key
	w.stamp(&k.CreateIndex, &k.ModifyIndex, 0)
	return put(w.txn, identityKeys, &k)
}
