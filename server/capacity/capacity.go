// Package capacity knows what is free on every node, and decides with one function, Fit,
// whether a demand fits on one.
//
// A [View] is an immutable picture of all nodes in dense columns: the scheduler ranks on it.
// A [Draft] is a View that its owner changes: it copies a block of nodes when it first writes
// to it, so taking a View or starting a Draft costs nearly nothing. A [Table] is the leader's
// record of who holds what, committed and in flight; it hands out Views.
//
// An allocation holds its share until its node reports its end, or until the node is gone:
// a task that takes its time to stop still uses the memory. Only the plan that stops an
// allocation may give its share away at once, to allocations of that same plan: they take its
// place, and the node starts them when it has ended.
package capacity

import "github.com/nomadish/nomadish/nomadish"

// blockSize is how many nodes share one block of columns, the unit of copying.
const blockSize = 64

// owner marks the blocks that one Draft may write to. It must not be of size zero, as two
// pointers to such values may be equal.
type owner struct{ _ byte }

// block holds the columns of blockSize nodes: what is free.
type block struct {
	owner  *owner
	cpu    [blockSize]int64
	memory [blockSize]int64
	disk   [blockSize]int64
	allocs [blockSize]int32 // held, not free
	taken  [blockSize]*taken
}

// taken is what a node's allocations hold of the things that are not mere amounts. It is
// immutable: a change makes a new one.
type taken struct {
	ports   []portSet // by port space of the site
	cores   coreSet
	cooling []coolingPort
}

// View is an immutable picture of what every node has free. The zero View has no nodes.
// Nodes are named by their slot, a small integer below Len that stays the node's own while
// it is known.
type View struct {
	sites  []*Site
	blocks []*block
	slots  map[string]int32
	index  uint64
}

// Len is the number of slots. A slot whose node is gone has no Site.
func (v *View) Len() int { return len(v.sites) }

// Index is the newest state index that the View includes.
func (v *View) Index() uint64 { return v.index }

// Site returns what is known of the node in a slot, or nil when the slot is empty.
func (v *View) Site(slot int) *Site { return v.sites[slot] }

// Find returns the slot of a node.
func (v *View) Find(nodeID string) (slot int, ok bool) {
	s, ok := v.slots[nodeID]
	return int(s), ok
}

// Amount is a quantity of the three divisible resources.
type Amount struct {
	CPU    int64 // MHz
	Memory int64 // MiB
	Disk   int64 // MiB
}

// Free returns what the node in a slot has free. It is negative where a node shrank below
// what its allocations hold, or where a stopping allocation's place was given away.
func (v *View) Free(slot int) Amount {
	b, i := v.blocks[slot/blockSize], slot%blockSize
	return Amount{CPU: b.cpu[i], Memory: b.memory[i], Disk: b.disk[i]}
}

// Draft starts a changeable copy of the View. now, in nanoseconds since 1970, decides which
// released ports are still cooling.
func (v View) Draft(now int64) *Draft {
	v.blocks = append([]*block(nil), v.blocks...)
	return &Draft{View: v, owner: new(owner), now: now}
}

// Draft is a View that one goroutine changes by taking and giving back demands.
type Draft struct {
	View
	owner *owner
	now   int64
}

// write returns the block of a slot for writing, and the slot's place in it.
func (d *Draft) write(slot int) (*block, int) {
	b := d.blocks[slot/blockSize]
	if b.owner != d.owner {
		own := *b
		own.owner = d.owner
		b = &own
		d.blocks[slot/blockSize] = b
	}
	return b, slot % blockSize
}

// Take books a granted demand on the node in a slot. It doesn't check: see Fit.
func (d *Draft) Take(slot int, granted *Demand) { d.book(slot, granted, 1) }

// Give returns what Take booked.
func (d *Draft) Give(slot int, granted *Demand) { d.book(slot, granted, -1) }

func (d *Draft) book(slot int, granted *Demand, sign int64) {
	b, i := d.write(slot)
	b.cpu[i] -= sign * granted.CPU
	b.memory[i] -= sign * granted.Memory
	b.disk[i] -= sign * granted.Disk
	b.allocs[i] += int32(sign)
	if len(granted.Ports) == 0 && len(granted.CoreIDs) == 0 {
		return
	}
	site := d.sites[slot]
	next := b.taken[i].clone(len(site.spaces))
	for _, id := range granted.CoreIDs {
		next.cores.put(id, sign > 0)
	}
	for k := range granted.Ports {
		p := &granted.Ports[k]
		space, ok := site.space(p)
		if !ok || p.Shared {
			continue
		}
		next.ports[space].put(p.Value, sign > 0)
		if sign < 0 && site.dynamic(p.Value) {
			next.cool(coolingPort{space: space, port: p.Value, until: d.now + coolingTime.Nanoseconds()}, d.now)
		}
	}
	b.taken[i] = next
}

// freeze returns a View of the Draft as it is and lets the Draft go on with new copies.
func (d *Draft) freeze() View {
	d.owner = new(owner)
	v := d.View
	v.blocks = append([]*block(nil), d.blocks...)
	return v
}

// clone copies t, which may be nil, for a node with a number of port spaces.
func (t *taken) clone(spaces int) *taken {
	next := &taken{ports: make([]portSet, spaces)}
	if t != nil {
		copy(next.ports, t.ports)
		next.cores = t.cores.clone()
		next.cooling = append(next.cooling, t.cooling...)
	}
	return next
}

// Ready says that the node in a slot exists and may get allocations.
func (v *View) Ready(slot int) bool {
	return v.sites[slot] != nil && v.sites[slot].Node.Ready()
}

// Alive says that the node in a slot exists and runs its allocations, as far as is known.
func (v *View) Alive(slot int) bool {
	if v.sites[slot] == nil {
		return false
	}
	status := v.sites[slot].Node.Status
	return status != nomadish.NodeStatusDown && status != nomadish.NodeStatusDisconnected
}
