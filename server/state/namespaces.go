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

// PutNamespace stores a namespace, whole, in place of the one with its name. Its quota must exist.
func (w *Writer) PutNamespace(namespace *nomadish.Namespace) error {
	if namespace.Quota != "" {
		if _, err := w.Quota(nil, namespace.Quota); err != nil {
			return nomadish.Errorf(nomadish.KindInvalid, "quota specification %q of namespace %q does not exist", namespace.Quota, namespace.Name)
		}
	}
	n := *namespace
	var created uint64
	if old, err := w.Namespace(nil, n.Name); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&n.CreateIndex, &n.ModifyIndex, created)
	return put(w.txn, namespaces, &n)
}

// DeleteNamespace removes a namespace in which nothing lives: no job that is not dead, no
// allocation that may still run, and no variable.
func (w *Writer) DeleteNamespace(name string) error {
	if name == nomadish.DefaultNamespace {
		return nomadish.Errorf(nomadish.KindInvalid, "can not delete default namespace")
	}
	if _, err := w.Namespace(nil, name); err != nil {
		return err
	}
	for j := range w.Jobs(nil, name) {
		if nomadish.Val(j.Status) != nomadish.JobStatusDead {
			return nomadish.Errorf(nomadish.KindInvalid, "namespace %q has non-terminal jobs: job %q is %s", name, nomadish.Val(j.ID), nomadish.Val(j.Status))
		}
	}
	for a := range w.Allocations(nil) {
		if a.Namespace == name && !a.ClientTerminal() {
			return nomadish.Errorf(nomadish.KindInvalid, "namespace %q has non-terminal allocations: allocation %s of job %q is %s", name, a.ID, a.JobID, a.ClientStatus)
		}
	}
	for v := range w.Variables(nil, name, "", nomadish.VariableName{}) {
		return nomadish.Errorf(nomadish.KindInvalid, "namespace %q has variables: %q is one", name, v.Path)
	}
	return removeNamed(w, namespaces, "namespace", name)
}
