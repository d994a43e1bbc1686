package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// listNamed lists rows whose key is a namespace and an ID: those of one namespace, or of
// all, whose ID starts with prefix.
func listNamed[T any](r Reader, ws memdb.WatchSet, t *table[T], namespace, prefix string, id func(*T) string) iter.Seq[*T] {
	if namespace == AnyNamespace {
		all := list(r, ws, t, indexID+withPrefix, nil)
		if prefix == "" {
			return all
		}
		return filter(all, func(v *T) bool { return strings.HasPrefix(id(v), prefix) })
	}
	key, err := namePrefix(namespace, prefix)
	if err != nil { // a name that no row can have
		return empty[*T]
	}
	return list(r, ws, t, indexID+withPrefix, key)
}

// inNamespace keeps the rows of one namespace, or all with AnyNamespace.
func inNamespace[T any](seq iter.Seq[*T], namespace string, of func(*T) string) iter.Seq[*T] {
	if namespace == AnyNamespace {
		return seq
	}
	return filter(seq, func(v *T) bool { return of(v) == namespace })
}

// listByID lists rows whose key is a UUID that starts with prefix.
func listByID[T any](r Reader, ws memdb.WatchSet, t *table[T], prefix string) (iter.Seq[*T], error) {
	key, err := idPrefix(prefix)
	if err != nil {
		return nil, err
	}
	return list(r, ws, t, indexID+withPrefix, key), nil
}

// byID returns the row whose key is a UUID.
func byID[T any](r Reader, ws memdb.WatchSet, t *table[T], noun, id string) (*T, error) {
	if v := find(r, ws, t, id); v != nil {
		return v, nil
	}
	return nil, missing(noun, id)
}

// find returns the row whose key is a UUID, or nil. No row has an ID that is no UUID.
func find[T any](r Reader, ws memdb.WatchSet, t *table[T], id string) *T {
	key, err := nomadish.ParseID(id)
	if err != nil {
		return nil
	}
	v, _ := first(r, ws, t, key[:])
	return v
}

// byName returns the row whose key is a name.
func byName[T any](r Reader, ws memdb.WatchSet, t *table[T], noun, name string) (*T, error) {
	key, err := nameKey(name)
	if err != nil {
		return nil, err
	}
	if v, ok := first(r, ws, t, key); ok {
		return v, nil
	}
	return nil, missing(noun, name)
}

// listByName lists rows whose key is a name that starts with prefix.
func listByName[T any](r Reader, ws memdb.WatchSet, t *table[T], prefix string) iter.Seq[*T] {
	key, err := namePrefix(prefix)
	if err != nil { // a name that no row can have
		return empty[*T]
	}
	return list(r, ws, t, indexID+withPrefix, key)
}

// removeNamed removes the row whose key is a name, which must be there.
func removeNamed[T any](w *Writer, t *table[T], noun, name string) error {
	if _, err := byName(w.Reader, nil, t, noun, name); err != nil {
		return err
	}
	key, err := nameKey(name)
	if err != nil {
		return err
	}
	return remove(w.txn, t, key)
}

// removeByID removes the row whose key is a UUID, which must be there.
func removeByID[T any](w *Writer, t *table[T], noun, id string) error {
	if find(w.Reader, nil, t, id) == nil {
		return missing(noun, id)
	}
	key, err := idKey(id)
	if err != nil {
		return err
	}
	return remove(w.txn, t, key)
}

// collect takes a list out of an iterator, so that the table may be changed meanwhile.
func collect[T any](seq iter.Seq[T]) []T { return slices.Collect(seq) }
