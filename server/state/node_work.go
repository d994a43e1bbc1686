package state

import (
	"github.com/hashicorp/go-memdb"
)

// nodeWork says when the servers last changed what they want of a node. A node's watch waits on
// its row alone: what the node itself reports does not touch it. It is computed from the
// allocations, and so not part of the hash.
type nodeWork struct {
	nodeID string
	index  uint64 // greatest AllocModifyIndex of the node's allocations that there ever was
}

var nodeWorks = &table[nodeWork]{
	name:    tableNodeWork,
	number:  59,
	derived: true,
	key:     func(n *nodeWork) ([]byte, error) { return idKey(n.nodeID) },
}

// NodeWork returns the index at which the servers last changed what they want of a node; 0 when
// they never wanted anything. It does not change when an allocation is deleted.
func (r Reader) NodeWork(ws memdb.WatchSet, nodeID string) uint64 {
	key, err := idKey(nodeID)
	if err != nil {
		return 0
	}
	if n, ok := first(r, ws, nodeWorks, key); ok {
		return n.index
	}
	return 0
}

// touchWork notes that the present command changes what is wanted of a node.
func (w *Writer) touchWork(nodeID string) {
	if w.work == nil {
		w.work = map[string]struct{}{}
	}
	w.work[nodeID] = struct{}{}
}

// finishWork writes the rows of nodes of which something else is wanted now.
func (w *Writer) finishWork() error {
	for id := range w.work { // the order changes nothing: the rows are in no hash, and no follower sees them
		if err := put(w.txn, nodeWorks, &nodeWork{nodeID: id, index: w.txn.meta.Index}); err != nil {
			return err
		}
	}
	return nil
}

// openWork makes the row of a node that has none, so that its watch waits on a row of its own from
// the beginning: a watch on what is missing wakes whenever a neighbour changes.
func (w *Writer) openWork(nodeID string) error {
	key, err := idKey(nodeID)
	if err != nil {
		return err
	}
	if _, ok := first(w.Reader, nil, nodeWorks, key); ok {
		return nil
	}
	return put(w.txn, nodeWorks, &nodeWork{nodeID: nodeID})
}

// closeWork removes the row of a node that is gone.
func (w *Writer) closeWork(nodeID string) error {
	key, err := idKey(nodeID)
	if err != nil {
		return err
	}
	if find(w.Reader, nil, nodes, nodeID) != nil {
		return nil
	}
	return remove(w.txn, nodeWorks, key)
}

// restoreWork computes the rows of all nodes.
func restoreWork(txn *Txn) error {
	all := map[string]*nodeWork{}
	r := txn.reader()
	for n := range r.Nodes(nil) {
		all[n.ID] = &nodeWork{nodeID: n.ID}
	}
	for a := range r.Allocations(nil) {
		if all[a.NodeID] == nil {
			all[a.NodeID] = &nodeWork{nodeID: a.NodeID}
		}
		all[a.NodeID].index = max(all[a.NodeID].index, a.AllocModifyIndex)
	}
	for _, n := range all { // the order changes nothing
		if err := put(txn, nodeWorks, n); err != nil {
			return err
		}
	}
	return nil
}
