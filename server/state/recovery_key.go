package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// TableRecoveryKey holds the public half of the cluster's recovery key.
const TableRecoveryKey = "recovery_key"

var recoveryKeyKey = []byte{0}

var recoveryKeys = newTable[nomadish.RecoveryKey](53, TableRecoveryKey,
	func(*nomadish.RecoveryKey) ([]byte, error) { return recoveryKeyKey, nil })

// RecoveryKey returns the public half of the cluster's recovery key, or nil where there is none.
func (r Reader) RecoveryKey(ws memdb.WatchSet) *nomadish.RecoveryKey {
	k, _ := first(r, ws, recoveryKeys, recoveryKeyKey)
	return k
}

// PutRecoveryKey stores the recovery key in place of the former one.
func (w *Writer) PutRecoveryKey(key *nomadish.RecoveryKey) error {
	k := *key
	w.stamp(&k.CreateIndex, &k.ModifyIndex, 0)
	return put(w.txn, recoveryKeys, &k)
}

// RewrapRootKey stores how a root key is wrapped. All that its ModifyIndex tells of stays as it is: when
// it began or ceased to sign.
func (w *Writer) RewrapRootKey(id string, wrapped []nomadish.WrappedKey) error {
	old, err := w.RootKey(nil, id)
	if err != nil {
		return err
	}
	k := *old
	k.Wrapped = wrapped
	return put(w.txn, rootKeys, &k)
}
