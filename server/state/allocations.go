package state

import (
	"cmp"
	"iter"
	"maps"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var allocations = allocationTable()

func allocationTable() *table[nomadish.Allocation] {
	t := newTable[nomadish.Allocation](6, TableAllocations, func(a *nomadish.Allocation) ([]byte, error) { return idKey(a.ID) })
	t.indexes = map[string]func(*nomadish.Allocation) ([]byte, error){
		indexNode: func(a *nomadish.Allocation) ([]byte, error) { return idKey(a.NodeID) },
		indexJob:  func(a *nomadish.Allocation) ([]byte, error) { return jobHash(a.Namespace, a.JobID), nil },
	}
	return t
}

// Allocation returns an allocation. Its Job is not filled in.
func (r Reader) Allocation(ws memdb.WatchSet, id string) (*nomadish.Allocation, error) {
	return byID(r, ws, allocations, "alloc", id)
}

// Allocations lists all allocations by ID.
func (r Reader) Allocations(ws memdb.WatchSet) iter.Seq[*nomadish.Allocation] {
	return list(r, ws, allocations, indexID+withPrefix, nil)
}

// AllocationsByNamespace lists the allocations of a namespace, or with AnyNamespace of
// all, by ID.
func (r Reader) AllocationsByNamespace(ws memdb.WatchSet, namespace string) iter.Seq[*nomadish.Allocation] {
	return inNamespace(r.Allocations(ws), namespace, func(a *nomadish.Allocation) string { return a.Namespace })
}

// AllocationsByPrefix lists the allocations of a namespace, or with AnyNamespace of all,
// whose ID starts with prefix. An odd number of hex digits is ErrOddPrefix.
func (r Reader) AllocationsByPrefix(ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Allocation], error) {
	seq, err := listByID(r, ws, allocations, prefix)
	if err != nil {
		return nil, err
	}
	return inNamespace(seq, namespace, func(a *nomadish.Allocation) string { return a.Namespace }), nil
}

// AllocationsByNode lists the allocations of a node by ID.
func (r Reader) AllocationsByNode(ws memdb.WatchSet, nodeID string) iter.Seq[*nomadish.Allocation] {
	key, err := idKey(nodeID)
	if err != nil {
		return empty[*nomadish.Allocation]
	}
	return list(r, ws, allocations, indexNode, key)
}

// AllocationsByJob lists the allocations of a job by ID.
func (r Reader) AllocationsByJob(ws memdb.WatchSet, namespace, id string) iter.Seq[*nomadish.Allocation] {
	return list(r, ws, allocations, indexJob, jobHash(namespace, id))
}

// AllocationsByEval lists the allocations that an evaluation has placed. It looks at all
// allocations of the evaluation's job.
func (r Reader) AllocationsByEval(ws memdb.WatchSet, evalID string) iter.Seq[*nomadish.Allocation] {
	all := r.Allocations
	if e, err := r.Evaluation(ws, evalID); err == nil {
		all = func(ws memdb.WatchSet) iter.Seq[*nomadish.Allocation] {
			return r.AllocationsByJob(ws, e.Namespace, e.JobID)
		}
	}
	return filter(all(ws), func(a *nomadish.Allocation) bool { return a.EvalID == evalID })
}

// PlaceAllocation stores what the scheduler decided: a new allocation, or new decisions
// about one that exists. What the node has said of it stays, but for a client state that
// the scheduler sets itself (lost, unknown). CheckPlacement has to have found nothing wrong.
func (w *Writer) PlaceAllocation(decided *nomadish.Allocation) error {
	a := *decided
	a.Job = nil
	node, err := w.Node(nil, a.NodeID)
	if err != nil {
		return err
	}
	a.NodeName = node.Name
	a.DesiredStatus = cmp.Or(a.DesiredStatus, nomadish.AllocDesiredRun)
	old := find(w.Reader, nil, allocations, a.ID)
	if old == nil {
		a.ClientStatus = cmp.Or(a.ClientStatus, nomadish.AllocClientPending)
		a.CreateTime = w.time
		if err := w.linkPrevious(&a); err != nil {
			return err
		}
		return w.putAllocation(nil, &a, true)
	}
	keepClientFields(&a, old)
	a.CreateTime = old.CreateTime
	a.NextAllocation = cmp.Or(a.NextAllocation, old.NextAllocation)
	return w.putAllocation(old, &a, true)
}

// CheckPlacement says whether PlaceAllocation would store the allocation: its node and its
// job version exist, and if it exists itself, it has not been stopped or moved.
func (w *Writer) CheckPlacement(a *nomadish.Allocation) error {
	if _, err := w.Node(nil, a.NodeID); err != nil {
		return err
	}
	if _, err := w.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion); err != nil {
		return err
	}
	if _, err := nomadish.ParseID(a.ID); err != nil {
		return err
	}
	old := find(w.Reader, nil, allocations, a.ID)
	switch {
	case old == nil:
		return nil
	case a.Namespace != old.Namespace || a.JobID != old.JobID || a.NodeID != old.NodeID:
		return nomadish.Errorf(nomadish.KindConflict, "alloc %q can't change its job or its node", a.ID)
	case old.ServerTerminal() && !a.ServerTerminal():
		return nomadish.Errorf(nomadish.KindConflict, "alloc %q is stopped and can't run again", a.ID)
	}
	return nil
}

// keepClientFields takes over what the node has said of an allocation.
func keepClientFields(a, old *nomadish.Allocation) {
	switch a.ClientStatus {
	case nomadish.AllocClientLost, nomadish.AllocClientUnknown:
		if old.ClientTerminal() {
			a.ClientStatus, a.ClientDescription = old.ClientStatus, old.ClientDescription
		}
	default:
		a.ClientStatus, a.ClientDescription = old.ClientStatus, old.ClientDescription
	}
	a.TaskStates, a.NetworkStatus = old.TaskStates, old.NetworkStatus
	if a.DeploymentStatus == nil && a.DeploymentID == old.DeploymentID {
		a.DeploymentStatus = old.DeploymentStatus
	}
}

// linkPrevious tells the allocation that a replaces, if there is one, by which.
func (w *Writer) linkPrevious(a *nomadish.Allocation) error {
	if a.PreviousAllocation == "" {
		return nil
	}
	old := find(w.Reader, nil, allocations, a.PreviousAllocation)
	if old == nil {
		return nil // it is gone already
	}
	prev := *old
	prev.NextAllocation = a.ID
	return w.putAllocation(old, &prev, true)
}

// ChangeAllocation lets change work on a copy of an allocation, for the server: what it
// wants of it, not what the node says.
func (w *Writer) ChangeAllocation(id string, change func(a *nomadish.Allocation)) error {
	old, err := w.Allocation(nil, id)
	if err != nil {
		return err
	}
	a := *old
	change(&a)
	if old.ClientTerminal() {
		a.ClientStatus = old.ClientStatus
	}
	return w.putAllocation(old, &a, true)
}

// UpdateAllocation stores what a node says of an allocation: its state, tasks, network and
// health. An allocation that has ended stays so. What is told of an allocation that is
// unknown, or on another node, is dropped.
func (w *Writer) UpdateAllocation(nodeID string, said *nomadish.Allocation) error {
	old := find(w.Reader, nil, allocations, said.ID)
	if old == nil || old.NodeID != nodeID {
		return nil
	}
	a := *old
	if saidByClient(said.ClientStatus) && (!old.ClientTerminal() || said.ClientTerminal()) {
		a.ClientStatus, a.ClientDescription = said.ClientStatus, said.ClientDescription
	}
	a.TaskStates = boundedEvents(said.TaskStates)
	if said.NetworkStatus != nil {
		a.NetworkStatus = said.NetworkStatus
	}
	if s := said.DeploymentStatus; s != nil && s.Healthy != nil {
		status := *s
		status.ModifyIndex = w.txn.meta.Index
		status.Canary = old.DeploymentStatus != nil && old.DeploymentStatus.Canary
		a.DeploymentStatus = &status
	}
	return w.putAllocation(old, &a, false)
}

// boundedEvents returns task states with no more than MaxTaskEvents events each.
func boundedEvents(states map[string]*nomadish.TaskState) map[string]*nomadish.TaskState {
	for name, s := range states {
		if s == nil || len(s.Events) <= nomadish.MaxTaskEvents {
			continue
		}
		states = maps.Clone(states)
		newest := *s
		newest.Events = s.Events[len(s.Events)-nomadish.MaxTaskEvents:]
		states[name] = &newest
	}
	return states
}

// saidByClient says that a node may report this state.
func saidByClient(status string) bool {
	switch status {
	case nomadish.AllocClientPending, nomadish.AllocClientRunning, nomadish.AllocClientComplete,
		nomadish.AllocClientFailed, nomadish.AllocClientLost, nomadish.AllocClientUnknown:
		return true
	}
	return false
}

// putAllocation stores an allocation and counts it.
func (w *Writer) putAllocation(old, a *nomadish.Allocation, byServer bool) error {
	var created uint64
	if old != nil {
		created = old.CreateIndex
	}
	w.stamp(&a.CreateIndex, &a.ModifyIndex, created)
	if byServer {
		a.AllocModifyIndex = w.txn.meta.Index
		w.touchWork(a.NodeID)
	}
	a.ModifyTime = w.time
	if err := put(w.txn, allocations, a); err != nil {
		return err
	}
	c, err := w.jobChange(a.Namespace, a.JobID)
	if err != nil {
		return err
	}
	c.allocation(old, a)
	return nil
}

// DeleteAllocation removes an allocation that is Terminal; others stay. Deleting what is
// not there is no error.
func (w *Writer) DeleteAllocation(id string) error {
	old := find(w.Reader, nil, allocations, id)
	if old == nil || !old.Terminal() {
		return nil
	}
	key, err := idKey(id)
	if err != nil {
		return err
	}
	if err := remove(w.txn, allocations, key); err != nil {
		return err
	}
	c, err := w.jobChange(old.Namespace, old.JobID)
	if err != nil {
		return err
	}
	c.allocation(old, nil)
	return w.closeWork(old.NodeID)
}
