package scheduler

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// placer finds nodes for the placements of one job and writes the plan.
type placer struct {
	job     *nomadish.Job
	eval    *nomadish.Evaluation
	config  nomadish.SchedulerConfiguration
	spread  bool // emptiest nodes first
	now     int64
	seed    uint64
	draft   *capacity.Draft
	field   *field
	taken   map[string]bool        // ids of the job's allocations
	present map[int]map[string]int // by slot and group: allocations of the job that stay
	plan    *nomadish.Plan
	failed  map[string]*nomadish.AllocationMetric
	queued  map[string]int
	checks  []*feasibility // of the groups that could not be placed whole
}

// count notes n more allocations of a group on a node, also in the ranking at work, if any.
func (p *placer) count(slot int, group string, n int, r *ranking) {
	groups := p.present[slot]
	if groups == nil {
		groups = map[string]int{}
		p.present[slot] = groups
	}
	groups[group] += n
	if r == nil {
		return
	}
	r.countAt(slot, group, n)
	if i, ok := r.at(slot); ok {
		r.assess(i)
	}
}

// lift takes an allocation off its node in the draft; drop puts it back.
func (p *placer) lift(a *nomadish.Allocation, r *ranking) { p.shift(a, r, -1) }
func (p *placer) drop(a *nomadish.Allocation, r *ranking) { p.shift(a, r, 1) }

func (p *placer) shift(a *nomadish.Allocation, r *ranking, n int) {
	if a.Terminal() {
		return
	}
	slot, ok := p.draft.Find(a.NodeID)
	if !ok {
		return
	}
	if held := capacity.Granted(a.AllocatedResources); n < 0 {
		p.draft.Give(slot, held)
	} else {
		p.draft.Take(slot, held)
	}
	p.count(slot, a.TaskGroup, n, r)
}

// end writes the stop of an allocation into the plan.
func (p *placer) end(s stop) {
	a := *s.alloc
	a.DesiredStatus, a.DesiredDescription = nomadish.AllocDesiredStop, s.reason
	if s.lost {
		a.ClientStatus, a.ClientDescription = nomadish.AllocClientLost, "the node is down"
	}
	a.EvalID, a.ModifyTime = p.eval.ID, p.now
	p.plan.NodeUpdate[a.NodeID] = append(p.plan.NodeUpdate[a.NodeID], &a)
}

// keep writes a changed allocation, which stays where it is, into the plan.
func (p *placer) keep(a *nomadish.Allocation) {
	a.ModifyTime = p.now
	p.plan.NodeAllocation[a.NodeID] = append(p.plan.NodeAllocation[a.NodeID], a)
}

// placeGroup places what one group misses.
func (p *placer) placeGroup(c *changes, f *feasibility) {
	if len(c.place) == 0 {
		return
	}
	name := nomadish.Val(c.group.Name)
	p.queued[name] = 0
	r := p.rank(c.group, f)
	for _, want := range c.place {
		if p.place(r, want) {
			continue
		}
		p.queued[name]++
		if m := p.failed[name]; m != nil {
			m.CoalescedFailures++
		} else {
			p.failed[name] = r.failure()
		}
	}
	if p.queued[name] > 0 {
		p.checks = append(p.checks, f)
	}
}

// place finds a node for one allocation, books it and writes it into the plan.
func (p *placer) place(r *ranking, want placement) bool {
	replaces := want.stop != ""
	if replaces {
		p.lift(want.predecessor, r)
	}
	a, granted, slot, ok := p.propose(r, want)
	if !ok {
		if replaces {
			p.drop(want.predecessor, r)
		}
		return false
	}
	if replaces {
		old := *want.predecessor
		old.NextAllocation = a.ID
		p.end(stop{alloc: &old, reason: want.stop})
	}
	p.draft.Take(slot, granted)
	p.count(slot, r.name, 1, r)
	p.plan.NodeAllocation[a.NodeID] = append(p.plan.NodeAllocation[a.NodeID], a)
	return true
}

// propose makes the allocation for a placement.
func (p *placer) propose(r *ranking, want placement) (*nomadish.Allocation, *capacity.Demand, int, bool) {
	i, score, ok := r.sticky(want)
	if !ok {
		i, score, ok = r.choose(p.avoid(want))
	}
	if !ok {
		return nil, nil, 0, false
	}
	slot := r.nodes[i].slot
	name := allocName(nomadish.Val(p.job.ID), r.name, want.index)
	id := p.newID(name, want.predecessor)
	granted, resources, err := r.grant(slot, idSeed(id))
	if err != nil { // Fit said that it fits: that the choice fails is a fault of ours, not of the node
		return nil, nil, 0, false
	}
	site := p.draft.Site(slot)
	a := &nomadish.Allocation{
		ID: id, Namespace: nomadish.Val(p.job.Namespace), EvalID: p.eval.ID, Name: name,
		NodeID: site.Node.ID, NodeName: site.Node.Name,
		JobID: nomadish.Val(p.job.ID), JobVersion: nomadish.Val(p.job.Version), TaskGroup: r.name,
		AllocatedResources: resources, Metrics: r.success(i, score),
		DesiredStatus: nomadish.AllocDesiredRun, ClientStatus: nomadish.AllocClientPending,
		CreateTime: p.now, ModifyTime: p.now,
	}
	if prev := want.predecessor; prev != nil {
		a.PreviousAllocation = prev.ID
		a.RescheduleTracker = prev.RescheduleTracker
		if want.failed {
			a.RescheduleTracker = track(prev, r.group.ReschedulePolicy, time.Unix(0, p.now), want.delay)
		}
	}
	p.taken[id] = true
	return a, granted, slot, true
}

// avoid lists the nodes on which the predecessors of a failed allocation ran.
func (p *placer) avoid(want placement) []int {
	if !want.failed {
		return nil
	}
	ids := []string{want.predecessor.NodeID}
	if t := want.predecessor.RescheduleTracker; t != nil {
		for _, e := range t.Events {
			ids = append(ids, e.PrevNodeID)
		}
	}
	var slots []int
	for _, id := range ids {
		if slot, ok := p.draft.Find(id); ok {
			slots = append(slots, slot)
		}
	}
	return slots
}

// sticky returns the predecessor's node when its disk is to be kept and it has room.
func (r *ranking) sticky(want placement) (int32, float64, bool) {
	disk := r.group.EphemeralDisk
	if want.predecessor == nil || want.failed || disk == nil || !nomadish.Val(disk.Sticky) {
		return 0, 0, false
	}
	slot, ok := r.p.draft.Find(want.predecessor.NodeID)
	if !ok {
		return 0, 0, false
	}
	i, ok := r.at(slot)
	if !ok || r.nodes[i].heap < 0 {
		return 0, 0, false
	}
	score, open := r.score(i, false)
	return i, score, open
}

// grant chooses ports and cores. Plain groups need no choice: one grant serves all.
func (r *ranking) grant(slot int, seed uint64) (*capacity.Demand, *nomadish.AllocatedResources, error) {
	if r.granted != nil {
		return r.granted, r.resources, nil
	}
	granted, resources, err := r.p.draft.Grant(slot, r.demand, seed)
	if err == nil && r.demand.SameEverywhere() {
		r.granted, r.resources = granted, resources
	}
	return granted, resources, err
}

// newID makes an allocation's id of what it is for, so that the same decision has the same id.
func (p *placer) newID(name string, predecessor *nomadish.Allocation) string {
	previous := ""
	if predecessor != nil {
		previous = predecessor.ID
	}
	for n := 0; ; n++ {
		id := derivedID(p.eval.ID, name, previous, strconv.Itoa(n))
		if !p.taken[id] {
			return id
		}
	}
}

// derivedID makes a UUID of some texts.
func derivedID(parts ...string) string {
	var buf [256]byte
	b := buf[:0]
	for _, s := range parts {
		b = append(append(b, s...), 0)
	}
	sum := sha256.Sum256(b)
	var id [16]byte
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return nomadish.FormatID(id)
}

// idSeed makes a number of a UUID.
func idSeed(id string) uint64 {
	b, err := nomadish.ParseID(id)
	if err != nil {
		sum := sha256.Sum256([]byte(id))
		return binary.LittleEndian.Uint64(sum[:])
	}
	return binary.LittleEndian.Uint64(b[:]) ^ binary.LittleEndian.Uint64(b[8:])
}
