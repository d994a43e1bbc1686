package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var namespaces = newTable[nomadish.Namespace](10, TableNamespaces, func(n *nomadish.Namespace) ([]byte, error) { return nameKey(n.Name) })

// builtinNamespaces exist without a row.
func builtinNamespaces() []*nomadish.Namespace {
	return []*nomadish.Namespace{
		{Name: nomadish.DefaultNamespace, Description: "Default shared namespace", CreateIndex: 1, ModifyIndex: 1},
	}
}

// Namespace returns a namespace.
func (r Reader) Namespace(ws memdb.WatchSet, name string) (*nomadish.Namespace, error) {
	key, err := nameKey(name)
	if err != nil {
		return nil, err
	}
	if n, ok := first(r, ws, namespaces, key); ok {
		return n, nil
	}
	for _, n := range builtinNamespaces() {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, missing("namespace", name)
}

// Namespaces lists all namespaces by name.
func (r Reader) Namespaces(ws memdb.WatchSet) iter.Seq[*nomadish.Namespace] {
	return r.NamespacesByPrefix(ws, "")
}

// NamespacesByPrefix lists the namespaces whose name starts with prefix.
func (r Reader) NamespacesByPrefix(ws memdb.WatchSet, prefix string) iter.Seq[*nomadish.Namespace] {
	return listWithBuiltins(r, ws, namespaces, builtinNamespaces(), prefix, func(n *nomadish.Namespace) string { return n.Name })
}
