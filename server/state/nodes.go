package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// MaxNodeEvents is how many of its newest events a node keeps.
const MaxNodeEvents = 10

var nodes = newTable[nomadish.Node](5, TableNodes, func(n *nomadish.Node) ([]byte, error) { return idKey(n.ID) })

// Node returns a node.
func (r Reader) Node(ws memdb.WatchSet, id string) (*nomadish.Node, error) {
	return byID(r, ws, nodes, "node", id)
}

// Nodes lists all nodes by ID.
func (r Reader) Nodes(ws memdb.WatchSet) iter.Seq[*nomadish.Node] {
	return list(r, ws, nodes, indexID+withPrefix, nil)
}

// NodesByPrefix lists the nodes whose ID starts with prefix. An odd number of hex digits
// is ErrOddPrefix.
func (r Reader) NodesByPrefix(ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.Node], error) {
	return listByID(r, ws, nodes, prefix)
}

// PutNode stores a node, whole, in place of the one with its ID.
func (w *Writer) PutNode(node *nomadish.Node) error {
	n := *node
	var created uint64
	if old, err := w.Node(nil, n.ID); err == nil {
		created = old.CreateIndex
	}
	if extra := len(n.Events) - MaxNodeEvents; extra > 0 {
		n.Events = n.Events[extra:]
	}
	w.stamp(&n.CreateIndex, &n.ModifyIndex, created)
	if err := put(w.txn, nodes, &n); err != nil {
		return err
	}
	return w.openWork(n.ID)
}

// DeleteNode removes a node. Deleting what is not there is no error.
func (w *Writer) DeleteNode(id string) error {
	key, err := idKey(id)
	if err != nil {
		return err
	}
	if err := remove(w.txn, nodes, key); err != nil {
		return err
	}
	return remove(w.txn, nodeWorks, key)
}
