package state

import (
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var rootKeys = newTable[nomadish.RootKey](30, TableRootKeys, func(k *nomadish.RootKey) ([]byte, error) { return idKey(k.KeyID) })

// usesRootKey are what says whether rows of a table are sealed, or hashed, with a root key:
// one entry for each table that has such rows.
var usesRootKey = []func(r Reader, keyID string) bool{variablesUse, aclTokensUse, aclAuthMethodsUse, authoritiesUse}

// RootKeys lists the keyring's root keys by ID.
func (r Reader) RootKeys(ws memdb.WatchSet) iter.Seq[*nomadish.RootKey] {
	return list(r, ws, rootKeys, indexID+withPrefix, nil)
}

// RootKey returns a root key.
func (r Reader) RootKey(ws memdb.WatchSet, id string) (*nomadish.RootKey, error) {
	return byID(r, ws, rootKeys, "root key", id)
}

// ActiveRootKey returns the root key that seals, or nil where there is none yet.
func (r Reader) ActiveRootKey(ws memdb.WatchSet) *nomadish.RootKey {
	for k := range r.RootKeys(ws) {
		if k.State == nomadish.RootKeyActive {
			return k
		}
	}
	return nil
}

// RootKeyUsed says whether anything in the state is sealed, or hashed, with a root key.
func (r Reader) RootKeyUsed(id string) bool {
	return slices.ContainsFunc(usesRootKey, func(uses func(Reader, string) bool) bool { return uses(r, id) })
}

// RootKeySigned says whether a living allocation may hold an identity that a root key, which
// signs no more, has signed: it is older than that.
func (r Reader) RootKeySigned(key *nomadish.RootKey) bool {
	if key.State == nomadish.RootKeyPrepublished {
		return false
	}
	for a := range r.Allocations(nil) {
		if a.CreateIndex < key.ModifyIndex && !a.ClientTerminal() {
			return true
		}
	}
	return false
}

// CheckRootKey says whether a row that is sealed with a root key may be stored. KindConflict:
// it has to be sealed again with the active one.
func (w *Writer) CheckRootKey(id string) error {
	k, err := w.RootKey(nil, id)
	if err != nil {
		return nomadish.Errorf(nomadish.KindConflict, "root key %s, which this is sealed with, is gone", id)
	}
	if k.State == nomadish.RootKeyDeprecated || k.State == nomadish.RootKeyPrepublished {
		return nomadish.Errorf(nomadish.KindConflict, "root key %s, which this is sealed with, is %s", id, k.State)
	}
	return nil
}

// PutRootKey stores a root key.
func (w *Writer) PutRootKey(key *nomadish.RootKey) error {
	k := *key
	var created uint64
	if old, err := w.RootKey(nil, key.KeyID); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&k.CreateIndex, &k.ModifyIndex, created)
	return put(w.txn, rootKeys, &k)
}

// DeleteRootKey removes a root key.
func (w *Writer) DeleteRootKey(id string) error {
	key, err := idKey(id)
	if err != nil {
		return err
	}
	return remove(w.txn, rootKeys, key)
}
