package capacity

import (
	"maps"
	"slices"
	"sync"

	"github.com/nomadish/nomadish/nomadish"
)

// Table records who holds what on every node: what is committed, and what plans in flight
// will hold. All its methods may be called concurrently.
type Table struct {
	mu    sync.Mutex
	draft *Draft
	empty []int32             // slots without a node
	held  map[string]*holding // by allocation
	lost  map[string]int      // by node that is not known: its allocations that hold something
	// twice counts further holders of a port or core that one holds already: an allocation
	// that is stopping and the one that takes its place.
	twice map[unit]int
	// viewed says that a View shares sites and slots.
	viewed bool
}

// holding is what one allocation holds.
type holding struct {
	nodeID  string
	slot    int32 // -1: the node is not known
	demand  *Demand
	leaving bool // its server wants it to stop: its place has been given away, if it was wanted
}

// unit is a port or a core of a node.
type unit struct {
	slot  int32
	space int // -1: cores
	id    int
}

// New returns a Table without nodes.
func New() *Table {
	return &Table{
		draft: View{slots: map[string]int32{}}.Draft(0),
		held:  map[string]*holding{},
		lost:  map[string]int{},
		twice: map[unit]int{},
	}
}

// View returns what is free now, plans in flight included.
func (t *Table) View() View {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewed = true
	return t.draft.freeze()
}

// Advance says that the Table includes everything up to a state index.
func (t *Table) Advance(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draft.index = max(t.draft.index, index)
}

// Node returns the newest version of a node, or nil.
func (t *Table) Node(id string) *nomadish.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot, ok := t.draft.slots[id]; ok {
		return t.draft.sites[slot].Node
	}
	return nil
}

// own makes the node columns writable: Views may share them.
func (t *Table) own() {
	if t.viewed {
		t.draft.sites = slices.Clone(t.draft.sites)
		t.draft.slots = maps.Clone(t.draft.slots)
		t.viewed = false
	}
}

// PutNode adds a node or a new version of it.
func (t *Table) PutNode(n *nomadish.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	site := newSite(n)
	t.own()
	slot, known := t.draft.slots[n.ID]
	if !known {
		slot = t.newSlot()
		t.draft.slots[n.ID] = slot
	}
	old := t.draft.sites[slot]
	t.draft.sites[slot] = site
	if known && site.sameShape(old) {
		b, i := t.draft.write(int(slot))
		b.cpu[i] += site.Total.CPU - old.Total.CPU
		b.memory[i] += site.Total.Memory - old.Total.Memory
		b.disk[i] += site.Total.Disk - old.Total.Disk
		return
	}
	t.rebuild(slot, n.ID, known)
}

func (t *Table) newSlot() int32 {
	if n := len(t.empty); n > 0 {
		slot := t.empty[n-1]
		t.empty = t.empty[:n-1]
		return slot
	}
	slot := len(t.draft.sites)
	t.draft.sites = append(t.draft.sites, nil)
	if slot%blockSize == 0 {
		t.draft.blocks = append(t.draft.blocks, &block{owner: t.draft.owner})
	}
	return int32(slot)
}

// rebuild works out a node's row anew from what its allocations hold.
func (t *Table) rebuild(slot int32, nodeID string, known bool) {
	maps.DeleteFunc(t.twice, func(u unit, _ int) bool { return u.slot == slot })
	site := t.draft.sites[slot]
	b, i := t.draft.write(int(slot))
	b.cpu[i], b.memory[i], b.disk[i] = site.Total.CPU, site.Total.Memory, site.Total.Disk
	b.allocs[i], b.taken[i] = 0, nil
	if !known && t.lost[nodeID] == 0 {
		return
	}
	delete(t.lost, nodeID)
	for _, h := range t.held {
		if h.nodeID == nodeID {
			h.slot = slot
			t.take(slot, h.demand)
		}
	}
}

// DeleteNode forgets a node. What its allocations hold counts again when it comes back.
func (t *Table) DeleteNode(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, ok := t.draft.slots[id]
	if !ok {
		return
	}
	t.own()
	delete(t.draft.slots, id)
	t.draft.sites[slot] = nil
	t.empty = append(t.empty, slot)
	for _, h := range t.held {
		if h.slot == slot {
			h.slot = -1
			t.lost[id]++
		}
	}
	maps.DeleteFunc(t.twice, func(u unit, _ int) bool { return u.slot == slot })
}

// PutAllocation notes an allocation's newest version. now, in nanoseconds since 1970, is when
// ports that it no longer holds were released.
func (t *Table) PutAllocation(a *nomadish.Allocation, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(a, now)
}

func (t *Table) put(a *nomadish.Allocation, now int64) {
	if a.ClientTerminal() {
		t.release(a.ID, now)
		return
	}
	h := t.held[a.ID]
	if h != nil && a.AllocatedResources == nil { // a partial version: only its status is news
		h.leaving = h.leaving || a.ServerTerminal()
		return
	}
	next := &holding{nodeID: a.NodeID, slot: t.slot(a.NodeID), demand: Granted(a.AllocatedResources), leaving: a.ServerTerminal()}
	if h != nil && h.slot == next.slot && h.nodeID == next.nodeID && equal(h.demand, next.demand) {
		t.held[a.ID] = next // nothing moves; a new holding, so that Undo sees that it is not its own
		return
	}
	t.replace(a.ID, next, now)
}

// slot returns the slot of a node, or -1.
func (t *Table) slot(nodeID string) int32 {
	if slot, ok := t.draft.slots[nodeID]; ok {
		return slot
	}
	return -1
}

// replace makes next what an allocation holds; nil: nothing.
func (t *Table) replace(id string, next *holding, now int64) {
	t.draft.now = now
	if h := t.held[id]; h != nil {
		if h.slot >= 0 {
			t.give(h.slot, h.demand)
		} else {
			t.lost[h.nodeID]--
		}
	}
	if next == nil {
		delete(t.held, id)
		return
	}
	t.held[id] = next
	next.slot = t.slot(next.nodeID)
	if next.slot >= 0 {
		t.take(next.slot, next.demand)
	} else {
		t.lost[next.nodeID]++
	}
}

// DeleteAllocation notes that an allocation's row is gone.
func (t *Table) DeleteAllocation(id string, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(id, now)
}

func (t *Table) release(id string, now int64) {
	if t.held[id] != nil {
		t.replace(id, nil, now)
	}
}

// take books a demand and counts the units that another allocation holds already.
func (t *Table) take(slot int32, d *Demand) {
	for _, u := range t.units(slot, d) {
		if t.isTaken(u) {
			t.twice[u]++
		}
	}
	t.draft.Take(int(slot), d)
}

// give returns a demand, but for the units that another allocation still holds.
func (t *Table) give(slot int32, d *Demand) {
	var still []unit
	for _, u := range t.units(slot, d) {
		switch n := t.twice[u]; {
		case n == 0:
			continue
		case n == 1:
			delete(t.twice, u)
		default:
			t.twice[u] = n - 1
		}
		still = append(still, u)
	}
	t.draft.Give(int(slot), d)
	if len(still) == 0 {
		return
	}
	b, i := t.draft.write(int(slot))
	for _, u := range still {
		if u.space < 0 {
			b.taken[i].cores.put(uint16(u.id), true)
		} else {
			b.taken[i].ports[u.space].put(u.id, true)
		}
	}
}

// units lists the ports and cores of a demand.
func (t *Table) units(slot int32, d *Demand) []unit {
	if d.Plain() {
		return nil
	}
	site := t.draft.sites[slot]
	var us []unit
	for _, id := range d.CoreIDs {
		us = append(us, unit{slot: slot, space: -1, id: int(id)})
	}
	for i := range d.Ports {
		if space, ok := site.space(&d.Ports[i]); ok && !d.Ports[i].Shared {
			us = append(us, unit{slot: slot, space: space, id: d.Ports[i].Value})
		}
	}
	return us
}

func (t *Table) isTaken(u unit) bool {
	taken := t.draft.blocks[u.slot/blockSize].taken[u.slot%blockSize]
	switch {
	case taken == nil:
		return false
	case u.space < 0:
		return taken.cores.has(uint16(u.id))
	}
	return taken.ports[u.space].has(u.id)
}
