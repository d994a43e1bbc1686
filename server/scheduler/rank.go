package scheduler

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// topScores is how many of the best nodes a placement's metrics show.
const topScores = 5

// ranking orders the nodes for the placements of one group. All nodes are scored once; after
// a placement only its own node is scored again. Nodes that can't be told apart but by their
// own load share a heap, so that a spread's change of heart touches heaps, not nodes.
type ranking struct {
	p          *placer
	group      *nomadish.TaskGroup
	name       string
	demand     *capacity.Demand
	count      int
	nodes      []candidate
	bySlot     []int32 // candidate in each slot, from 1; 0: none
	properties []*property
	spreads    int
	tuples     []tuple
	tupleIDs   map[string]int32
	heaps      []nodeHeap
	heapIDs    map[heapKey]int32
	distinct   hostRule
	feasible   *feasibility
	metrics    metrics
	granted    *capacity.Demand // of a group whose grants are all the same
	resources  *nomadish.AllocatedResources
}

// hostRule says whose presence on a node keeps the group away.
type hostRule int

const (
	anyHost hostRule = iota
	oneOfGroup
	oneOfJob
)

// candidate is a node as a group sees it.
type candidate struct {
	slot     int
	hash     uint64
	tuple    int32
	heap     int32 // -1: it can't take an allocation now
	at       int32 // place in the heap
	others   int32 // allocations of the group on it
	reason   string
	short    string // the resource that it lacks
	affinity float64
	fit      float64
	sum      float64 // of the parts that belong to the node alone
	parts    int
	meta     *nomadish.NodeScoreMeta
}

type heapKey struct {
	tuple int32
	parts int
}

func (p *placer) rank(tg *nomadish.TaskGroup, f *feasibility) *ranking {
	name := nomadish.Val(tg.Name)
	r := &ranking{
		p: p, group: tg, name: name, feasible: f,
		demand:     capacity.Asked(tg, p.config.MemoryOversubscriptionEnabled),
		count:      nomadish.Val(tg.Count),
		bySlot:     make([]int32, p.draft.Len()),
		nodes:      make([]candidate, 0, len(p.field.slots)),
		properties: properties(p.job, tg),
		tupleIDs:   map[string]int32{},
		heapIDs:    map[heapKey]int32{},
		distinct:   hostRuleOf(p.job, tg),
	}
	for _, pr := range r.properties {
		if pr.spread != nil {
			r.spreads++
		}
	}
	r.metrics.begin(p.field, p.job)
	affinity := newAffinities(p.job, tg)
	for _, slot := range p.field.slots {
		r.add(slot, affinity)
	}
	r.countUsed()
	for i := range r.nodes {
		r.assess(int32(i))
	}
	return r
}

// add takes in a node, or counts why it can never run the group.
func (r *ranking) add(slot int, affinity *affinities) {
	site := r.p.draft.Site(slot)
	r.metrics.evaluated++
	if reason := r.feasible.reject(site); reason != "" {
		r.metrics.filter(site.Node.NodeClass, reason, 1)
		return
	}
	c := candidate{slot: slot, hash: mix(site.Hash ^ r.p.seed), heap: -1, affinity: affinity.score(site.Node)}
	if len(r.properties) > 0 {
		c.tuple = r.tupleOf(site.Node)
	} else if len(r.tuples) == 0 {
		r.tuples = append(r.tuples, tuple{})
	}
	r.nodes = append(r.nodes, c)
	r.bySlot[slot] = int32(len(r.nodes))
}

// at returns the candidate in a slot.
func (r *ranking) at(slot int) (int32, bool) {
	i := r.bySlot[slot]
	return i - 1, i > 0
}

func (r *ranking) tupleOf(n *nomadish.Node) int32 {
	values := make([]value, len(r.properties))
	for i, p := range r.properties {
		values[i] = resolve(n, p.attribute)
		p.seen[values[i].text] = p.seen[values[i].text] || values[i].set
	}
	key := tupleKey(values)
	id, ok := r.tupleIDs[key]
	if !ok {
		id = int32(len(r.tuples))
		r.tupleIDs[key] = id
		r.tuples = append(r.tuples, tuple{values: values, stale: true})
	}
	return id
}

// countUsed counts the allocations that stay by the properties' values and by node.
func (r *ranking) countUsed() {
	for _, p := range r.properties {
		for v, seen := range p.seen {
			if !seen {
				delete(p.seen, v)
			}
		}
	}
	for slot, groups := range r.p.present {
		for g, n := range groups {
			r.countAt(slot, g, n)
		}
	}
}

// countAt notes n more allocations of a group of the job on a node.
func (r *ranking) countAt(slot int, group string, n int) {
	if site := r.p.draft.Site(slot); site != nil && len(r.properties) > 0 {
		for _, p := range r.properties {
			if v := resolve(site.Node, p.attribute); v.set && (p.wholeJob || group == r.name) {
				p.used[v.text] += n
				p.ranged = false
			}
		}
		for i := range r.tuples {
			r.tuples[i].stale = true
		}
	}
	if i, ok := r.at(slot); ok && group == r.name {
		r.nodes[i].others += int32(n)
	}
}

// assess scores a node anew and puts it in its place.
func (r *ranking) assess(i int32) {
	c := &r.nodes[i]
	r.remove(i)
	site := r.p.draft.Site(c.slot)
	class := site.Node.NodeClass
	if c.short != "" {
		r.metrics.exhaust(class, c.short, -1)
		c.short = ""
	}
	if c.reason != "" {
		r.metrics.filter(class, c.reason, -1)
		c.reason = ""
	}
	if r.occupied(c) {
		c.reason = distinctHosts
		r.metrics.filter(class, c.reason, 1)
		return
	}
	if c.short = r.p.draft.Fit(c.slot, r.demand); c.short != "" {
		r.metrics.exhaust(class, c.short, 1)
		return
	}
	after := r.p.draft.Free(c.slot)
	after.CPU -= r.demand.CPU + int64(r.demand.Cores)*site.MHz
	after.Memory -= r.demand.Memory
	c.fit = fitScore(site.Total, after, r.p.spread)
	c.sum, c.parts, c.meta = c.fit, 1, nil
	if c.others > 0 {
		c.sum += colocateScore(int(c.others), r.count)
		c.parts++
	}
	if c.affinity != 0 {
		c.sum += c.affinity
		c.parts++
	}
	r.insert(i)
}

// occupied says that distinct_hosts keeps the group off the node.
func (r *ranking) occupied(c *candidate) bool {
	switch r.distinct {
	case oneOfGroup:
		return c.others > 0
	case oneOfJob:
		for _, n := range r.p.present[c.slot] {
			if n > 0 {
				return true
			}
		}
	}
	return false
}

func hostRuleOf(job *nomadish.Job, tg *nomadish.TaskGroup) hostRule {
	wants := func(cs []*nomadish.Constraint) bool {
		for _, c := range cs {
			if c != nil && c.Operand == distinctHosts && c.RTarget != "false" {
				return true
			}
		}
		return false
	}
	switch {
	case wants(job.Constraints):
		return oneOfJob
	case wants(tg.Constraints):
		return oneOfGroup
	}
	return anyHost
}

// choose returns the best node for a placement, or ok false. Nodes to avoid are chosen only
// when nothing better is left.
func (r *ranking) choose(avoid []int) (best int32, score float64, ok bool) {
	var avoided []int32
	for _, slot := range avoid {
		if i, known := r.at(slot); known && r.nodes[i].heap >= 0 {
			r.remove(i)
			avoided = append(avoided, i)
		}
	}
	for h := range r.heaps {
		if len(r.heaps[h].order) == 0 {
			continue
		}
		i := r.heaps[h].order[0]
		if s, open := r.score(i, false); open && (!ok || r.beats(i, s, best, score)) {
			best, score, ok = i, s, true
		}
	}
	for _, i := range avoided {
		if s, open := r.score(i, true); open && (!ok || r.beats(i, s, best, score)) {
			best, score, ok = i, s, true
		}
	}
	for _, i := range avoided {
		r.insert(i)
	}
	return best, score, ok
}

func (r *ranking) beats(i int32, score float64, j int32, other float64) bool {
	return score > other || score == other && r.nodes[i].hash > r.nodes[j].hash
}

// score is a node's whole score; open is false when its tuple takes no more.
func (r *ranking) score(i int32, avoided bool) (score float64, open bool) {
	c := &r.nodes[i]
	sum, parts := c.sum, c.parts
	if len(r.properties) > 0 {
		t := r.freshTuple(c.tuple)
		if t.full != "" {
			return 0, false
		}
		if r.spreads > 0 {
			sum += t.boost
			parts++
		}
	}
	if avoided {
		sum--
		parts++
	}
	return sum / float64(parts), true
}

// freshTuple works out a tuple's standing when allocations came or went since.
func (r *ranking) freshTuple(id int32) *tuple {
	t := &r.tuples[id]
	if !t.stale {
		return t
	}
	t.stale, t.boost, t.full = false, 0, ""
	for k, p := range r.properties {
		v := t.values[k]
		if p.spread != nil {
			t.boost += p.weight * p.score(v, r.count)
		} else if p.full(v) {
			t.full = p.text(v)
		}
	}
	return t
}

// mix spreads the bits of x; it is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
