package state

import (
	"bytes"
	"iter"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var variables = newTable[nomadish.SealedVariable](32, TableVariables, func(v *nomadish.SealedVariable) ([]byte, error) {
	return nameKey(v.Namespace, v.Path)
})

// Variable returns a variable, sealed.
func (r Reader) Variable(ws memdb.WatchSet, namespace, path string) (*nomadish.SealedVariable, error) {
	key, err := nameKey(namespace, path)
	if err != nil {
		return nil, err
	}
	if v, ok := first(r, ws, variables, key); ok {
		return v, nil
	}
	return nil, missing("variable", path)
}

// Variables lists, sealed and by namespace and path, the variables of a namespace, or with
// AnyNamespace of all, whose path starts with prefix. It begins at from: a page of a long
// list costs as much as the page is long.
func (r Reader) Variables(ws memdb.WatchSet, namespace, prefix string, from nomadish.VariableName) iter.Seq[*nomadish.SealedVariable] {
	var common []byte // what all their keys begin with
	var err error
	if namespace != AnyNamespace {
		common, err = namePrefix(namespace, prefix)
	}
	start, errFrom := namePrefix(from.Namespace, from.Path)
	if err != nil || errFrom != nil { // a name that no row can have
		return empty[*nomadish.SealedVariable]
	}
	if from == (nomadish.VariableName{}) {
		start = nil
	}
	rows := listFrom(r, ws, variables, common, start)
	if namespace != AnyNamespace || prefix == "" {
		return rows
	}
	return filter(rows, func(v *nomadish.SealedVariable) bool { return strings.HasPrefix(v.Path, prefix) })
}

// listFrom lists the rows whose key starts with common and is not before start.
func listFrom[T any](r Reader, ws memdb.WatchSet, t *table[T], common, start []byte) iter.Seq[*T] {
	all := list(r, ws, t, indexID+withPrefix, common)
	if bytes.Compare(start, common) <= 0 {
		return all
	}
	return func(yield func(*T) bool) {
		it, err := r.txn.LowerBound(t.name, indexID, start)
		if err != nil {
			panic("state: list " + t.name + ": " + err.Error()) // the schema is wrong
		}
		for rw := it.Next(); rw != nil; rw = it.Next() {
			v := rw.(*row[T]).value
			key, err := t.key(v)
			if err != nil || !bytes.HasPrefix(key, common) || !yield(v) {
				return
			}
		}
	}
}

// PutVariable stores a variable, whole, in place of the one at its path.
func (w *Writer) PutVariable(v *nomadish.SealedVariable) error {
	next := *v
	next.CreateTime, next.ModifyTime = w.time, w.time
	var created uint64
	if old, err := w.Variable(nil, v.Namespace, v.Path); err == nil {
		created, next.CreateTime = old.CreateIndex, old.CreateTime
	}
	w.stamp(&next.CreateIndex, &next.ModifyIndex, created)
	return put(w.txn, variables, &next)
}

// ResealVariable replaces the sealed items of a variable by the same, sealed anew. To who
// reads them nothing changes, so that the variable keeps its ModifyIndex.
func (w *Writer) ResealVariable(namespace, path string, items *nomadish.Sealed) error {
	old, err := w.Variable(nil, namespace, path)
	if err != nil {
		return err
	}
	next := *old
	next.Items = items
	return put(w.txn, variables, &next)
}

// DeleteVariable removes a variable, with its lock. Deleting what is not there is no error.
func (w *Writer) DeleteVariable(namespace, path string) error {
	key, err := nameKey(namespace, path)
	if err != nil {
		return err
	}
	return remove(w.txn, variables, key)
}

// variablesUse says whether a variable is sealed with a root key.
func variablesUse(r Reader, keyID string) bool {
	for v := range list(r, nil, variables, indexID+withPrefix, nil) {
		if v.Items != nil && v.Items.KeyID == keyID {
			return true
		}
	}
	return false
}
