package state

import (
	"cmp"
	"iter"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var nodePools = newTable[nomadish.NodePool](9, TableNodePools, func(p *nomadish.NodePool) ([]byte, error) { return nameKey(p.Name) })

// builtinNodePools exist without a row.
func builtinNodePools() []*nomadish.NodePool {
	return []*nomadish.NodePool{
		{Name: nomadish.NodePoolAll, Description: "Node pool with all nodes in the cluster.", CreateIndex: 1, ModifyIndex: 1},
		{Name: nomadish.NodePoolDefault, Description: "Default node pool.", CreateIndex: 1, ModifyIndex: 1},
	}
}

// NodePool returns a node pool.
func (r Reader) NodePool(ws memdb.WatchSet, name string) (*nomadish.NodePool, error) {
	key, err := nameKey(name)
	if err != nil {
		return nil, err
	}
	if p, ok := first(r, ws, nodePools, key); ok {
		return p, nil
	}
	for _, p := range builtinNodePools() {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, missing("node pool", name)
}

// PutNodePool stores a node pool, whole, in place of the one with its name.
func (w *Writer) PutNodePool(pool *nomadish.NodePool) error {
	p := *pool
	var created uint64
	if old, err := w.NodePool(nil, p.Name); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&p.CreateIndex, &p.ModifyIndex, created)
	return put(w.txn, nodePools, &p)
}

// DeleteNodePool removes a node pool in which there is no node, and no job that is not dead.
func (w *Writer) DeleteNodePool(name string) error {
	for _, p := range builtinNodePools() {
		if p.Name == name {
			return nomadish.Errorf(nomadish.KindInvalid, "node pool %q is built in and can't be deleted", name)
		}
	}
	if _, err := w.NodePool(nil, name); err != nil {
		return err
	}
	for n := range w.NodesByPool(nil, name) {
		return nomadish.Errorf(nomadish.KindInvalid, "node pool %q has nodes: node %s (%s) is in it", name, n.ID, n.Name)
	}
	for j := range w.Jobs(nil, AnyNamespace) {
		if nomadish.Val(j.NodePool) == name && nomadish.Val(j.Status) != nomadish.JobStatusDead {
			return nomadish.Errorf(nomadish.KindInvalid, "node pool %q has non-terminal jobs: job %q in namespace %q is %s",
				name, nomadish.Val(j.ID), nomadish.Val(j.Namespace), nomadish.Val(j.Status))
		}
	}
	return removeNamed(w, nodePools, "node pool", name)
}

// NodesByPool lists the nodes of a pool by ID.
func (r Reader) NodesByPool(ws memdb.WatchSet, pool string) iter.Seq[*nomadish.Node] {
	all := r.Nodes(ws)
	if pool == nomadish.NodePoolAll {
		return all
	}
	return filter(all, func(n *nomadish.Node) bool { return cmp.Or(n.NodePool, nomadish.NodePoolDefault) == pool })
}

// NodePools lists all node pools by name.
func (r Reader) NodePools(ws memdb.WatchSet) iter.Seq[*nomadish.NodePool] {
	return r.NodePoolsByPrefix(ws, "")
}

// NodePoolsByPrefix lists the node pools whose name starts with prefix.
func (r Reader) NodePoolsByPrefix(ws memdb.WatchSet, prefix string) iter.Seq[*nomadish.NodePool] {
	return listWithBuiltins(r, ws, nodePools, builtinNodePools(), prefix, func(p *nomadish.NodePool) string { return p.Name })
}

// listWithBuiltins lists the rows whose name starts with prefix, and the built-in ones
// that no row replaces, by name.
func listWithBuiltins[T any](r Reader, ws memdb.WatchSet, t *table[T], builtin []*T, prefix string, name func(*T) string) iter.Seq[*T] {
	key, err := namePrefix(prefix)
	if err != nil {
		return empty[*T]
	}
	rows := list(r, ws, t, indexID+withPrefix, key)
	return func(yield func(*T) bool) {
		rest := builtin
		for v := range rows {
			for len(rest) > 0 && name(rest[0]) <= name(v) {
				b := rest[0]
				rest = rest[1:]
				if name(b) < name(v) && strings.HasPrefix(name(b), prefix) && !yield(b) {
					return
				}
			}
			if !yield(v) {
				return
			}
		}
		for _, b := range rest {
			if strings.HasPrefix(name(b), prefix) && !yield(b) {
				return
			}
		}
	}
}
