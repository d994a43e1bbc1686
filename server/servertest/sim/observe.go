package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// ledger is what all servers' states have shown.
type ledger struct {
	fences fences

	mu        sync.Mutex
	hashes    map[uint64]shownHash
	leaders   map[uint64]string // by term
	committed map[string]uint64 // by job and value: the index at which it was written
	reports   map[string]said   // by allocation: what was acknowledged last of what its node told
	index     uint64            // of the newest change that was checked
	time      int64             // of the log at that index
}

// shownHash is a state's hash and whose it was.
type shownHash struct {
	hash state.Hash
	by   string
}

func newLedger() *ledger {
	return &ledger{
		hashes: map[uint64]shownHash{}, leaders: map[uint64]string{}, committed: map[string]uint64{}, reports: map[string]said{},
	}
}

// reported notes a report of a node that was acknowledged.
func (l *ledger) reported(id string, what said) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports[id] = what
}

// observe follows every change of a server's state for as long as it lives.
func (w *world) observe(m *member, l *life) {
	ctx, cancel := context.WithCancel(w.ctx)
	w.watchers.Go(func() {
		<-l.ended
		cancel()
	})
	w.watchers.Go(func() {
		for ctx.Err() == nil {
			r, follower := l.server.Store().Follow()
			w.hash(m, r)
			for {
				c, err := follower.Next(ctx)
				if errors.Is(err, state.ErrLagged) {
					w.count("states replaced by a snapshot", 1)
					break
				}
				if err != nil {
					return
				}
				r = l.server.Store().Reader()
				w.hash(m, r)
				w.check(r, c)
			}
		}
	})
}

// hash compares the state hash of a server with that of others at the same index (I4).
func (w *world) hash(m *member, r state.Reader) {
	index, hash := r.Index(), r.Hash()
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	known, ok := w.ledger.hashes[index]
	if !ok {
		w.ledger.hashes[index] = shownHash{hash, m.id}
		return
	}
	if known.hash != hash {
		w.violate("I4", "at index %d the state of %s has hash %s, and that of %s %s", index, m.id, hash, known.by, known.hash)
	}
}

// check looks at what a command changed, once for all servers. r is the state with it, or a newer one.
func (w *world) check(r state.Reader, c state.Changes) {
	l := w.ledger
	l.mu.Lock()
	first := c.Index > l.index
	if first {
		if c.Time < l.time {
			w.violate("I4", "the log's time went back from %d to %d at index %d", l.time, c.Time, c.Index)
		}
		l.index, l.time = c.Index, c.Time
	}
	l.mu.Unlock()
	if !first {
		return
	}
	for _, change := range c.Changes {
		switch change.Table {
		case state.TableAllocations:
			w.checkAllocation(r, c.Index, row[nomadish.Allocation](change.Before), row[nomadish.Allocation](change.After))
		case state.TableJobs:
			w.checkJob(c.Index, row[nomadish.Job](change.Before), row[nomadish.Job](change.After))
		case state.TableEvaluations:
			before, after := row[nomadish.Evaluation](change.Before), row[nomadish.Evaluation](change.After)
			if before != nil && after != nil && before.Terminal() && !after.Terminal() {
				w.violate("I5", "evaluation %s of %s (%s) ended as %s at index %d and is %s (%s) at %d",
					after.ID, after.JobID, after.TriggeredBy, before.Status, before.ModifyIndex, after.Status, after.StatusDescription, c.Index)
			}
		case state.TableDeployments:
			w.checkDeployment(c.Index, row[nomadish.Deployment](change.Before), row[nomadish.Deployment](change.After))
		case state.TableVariables:
			w.checkVariable(c.Index, row[nomadish.SealedVariable](change.Before), row[nomadish.SealedVariable](change.After))
		}
	}
}

// row is a changed row, or nil where there is none.
func row[T any](v any) *T {
	r, _ := v.(*T)
	return r
}

// checkAllocation holds each change of an allocation to I5 and I6.
func (w *world) checkAllocation(r state.Reader, index uint64, before, after *nomadish.Allocation) {
	switch {
	case after == nil:
		if !before.Terminal() {
			w.violate("I5", "allocation %s (%s) is gone at index %d, and had not ended", before.ID, before.Name, index)
		}
		return
	case before == nil:
		w.count("allocations placed", 1)
	case before.ModifyIndex > after.ModifyIndex || after.ModifyIndex != index:
		w.violate("I5", "allocation %s: modify index %d after %d, at index %d", after.ID, after.ModifyIndex, before.ModifyIndex, index)
	case before.ModifyTime > after.ModifyTime:
		w.violate("I5", "allocation %s: modify time %d after %d", after.ID, after.ModifyTime, before.ModifyTime)
	case before.ClientTerminal() && !after.ClientTerminal():
		w.violate("I5", "allocation %s (%s) had ended as %s and is %s at index %d", after.ID, after.Name, before.ClientStatus, after.ClientStatus, index)
	case before.ServerTerminal() && !after.ServerTerminal():
		w.violate("I5", "allocation %s (%s) was to end, %s, and is to %s at index %d", after.ID, after.Name, before.DesiredStatus, after.DesiredStatus, index)
	case before.NodeID != after.NodeID || before.Name != after.Name || before.JobID != after.JobID:
		w.violate("I5", "allocation %s: %s of %s on %s became %s of %s on %s", after.ID, before.Name, before.JobID, before.NodeID, after.Name, after.JobID, after.NodeID)
	}
	if after.ClientStatus == nomadish.AllocClientLost && (before == nil || before.ClientStatus != nomadish.AllocClientLost) {
		w.count("allocations lost with their node", 1)
	}
	if before == nil && !after.Terminal() {
		w.checkPlacement(r, index, after)
	}
}

// checkPlacement looks at the job and the node of a new allocation.
func (w *world) checkPlacement(r state.Reader, index uint64, placed *nomadish.Allocation) {
	for a := range r.AllocationsByJob(nil, placed.Namespace, placed.JobID) {
		if a.ID != placed.ID && a.Name == placed.Name && !a.Terminal() {
			if now, err := r.Allocation(nil, placed.ID); err == nil && !now.Terminal() {
				w.violate("I5", "%s is there twice at index %d: %s on %s and %s on %s", a.Name, index, a.ID, a.NodeID, placed.ID, placed.NodeID)
			}
		}
	}
	if err := bookings(r, placed.NodeID); err != nil {
		w.violate("I6", "after index %d: %v", index, err)
	}
}

// bookings says what of a node is given away twice.
func bookings(r state.Reader, nodeID string) error {
	var cpu, memory int64
	ports := map[string]string{}
	for a := range r.AllocationsByNode(nil, nodeID) {
		if a.Terminal() {
			continue
		}
		for _, t := range a.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
		for _, p := range a.AllocatedResources.Shared.Ports {
			at := fmt.Sprintf("%s:%d", p.HostIP, p.Value)
			if other := ports[at]; other != "" {
				return fmt.Errorf("node %s: port %s is of %s and of %s", nodeID, at, other, a.Name)
			}
			ports[at] = a.Name
		}
	}
	if cpu > nodeCPU || memory > nodeMemory {
		return fmt.Errorf("node %s has given away %d MHz of %d and %d MiB of %d", nodeID, cpu, nodeCPU, memory, nodeMemory)
	}
	return nil
}

// checkJob notes the values of register jobs: each is written once (I1).
func (w *world) checkJob(index uint64, before, after *nomadish.Job) {
	if after == nil {
		return
	}
	if before != nil && nomadish.Val(before.ModifyIndex) > nomadish.Val(after.ModifyIndex) {
		w.violate("I5", "job %s: modify index %d after %d", nomadish.Val(after.ID), nomadish.Val(after.ModifyIndex), nomadish.Val(before.ModifyIndex))
	}
	if !strings.HasPrefix(nomadish.Val(after.ID), "reg-") {
		return
	}
	if before != nil && before.Meta["v"] == after.Meta["v"] && nomadish.Val(before.JobModifyIndex) == nomadish.Val(after.JobModifyIndex) {
		return
	}
	key := nomadish.Val(after.ID) + " " + after.Meta["v"]
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if old, ok := w.ledger.committed[key]; ok && old != nomadish.Val(after.JobModifyIndex) {
		w.violate("I1", "%s was written at index %d and again at %d", key, old, index)
	}
	w.ledger.committed[key] = nomadish.Val(after.JobModifyIndex)
}

// checkDeployment holds deployments to their state machine (I8): what has ended stays so.
func (w *world) checkDeployment(index uint64, before, after *nomadish.Deployment) {
	if before == nil || after == nil {
		return
	}
	switch before.Status {
	case "successful", "failed", "cancelled":
		if after.Status != before.Status {
			w.violate("I8", "deployment %s of %s was %s and is %s at index %d", after.ID, after.JobID, before.Status, after.Status, index)
		}
	}
}

// checkVariable sees to it that a lock is released or lost before another one is there.
func (w *world) checkVariable(index uint64, before, after *nomadish.SealedVariable) {
	if before == nil || after == nil {
		return
	}
	if before.ModifyIndex > after.ModifyIndex {
		w.violate("I5", "variable %s: modify index %d after %d", after.Path, after.ModifyIndex, before.ModifyIndex)
	}
	if before.Lock != nil && after.Lock != nil && before.Lock.ID != after.Lock.ID {
		w.violate("I2", "the lock of %s went from one holder to another at index %d without being released", after.Path, index)
	}
}

// sampleEvery is how often it is looked at who leads.
const sampleEvery = 25 * time.Millisecond

// sample watches who leads: at most one server in each term (I3). Once nothing breaks any more it starts the
// servers that are down, as what runs them would.
func (w *world) sample(ctx context.Context) {
	for ctx.Err() == nil {
		for _, m := range w.all() {
			if w.calm.Load() && m.isMember.Load() {
				w.boot(m)
			}
			w.noteTerm(m)
			s := m.up()
			if s == nil {
				continue
			}
			if term := s.Consensus().Term(); term > 0 {
				w.leads(m, term)
			}
		}
		pause(ctx, sampleEvery)
	}
}

func (w *world) leads(m *member, term uint64) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	switch other, ok := w.ledger.leaders[term]; {
	case !ok:
		w.ledger.leaders[term] = m.id
	case other != m.id:
		w.violate("I3", "both %s and %s lead in term %d", other, m.id, term)
	}
}
