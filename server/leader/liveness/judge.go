package liveness

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// judge decides which nodes are down. It does only what it is told, at the times that it is told:
// it reads no clock, waits for nothing and asks nobody. Times are since its term began.
//
// A node answers when a server has a session with it whose machine acknowledges, when it renews
// its lease, when its machine answers a probe or when a neighbour says so. A question that it did
// not answer stays open until it answers anybody. One that has been open for too long, while every
// server that can tell has asked in vain, is the node's end; everything else is left to its lease.
type judge struct {
	cfg     Config
	nodes   map[string]*node
	held    holders
	servers map[string]*witness
	parked  map[string]time.Duration // disconnected nodes, by when they are down
	self    string                   // the server that judges
	last    time.Duration            // of the newest step
	massed  time.Duration            // when many were last silent together; meaningless unless mass
	mass    bool
	open    int     // nodes that had not answered for a while at the newest step
	waiting int     // nodes that were not taken for down at the newest step as too many were before them
	tokens  float64 // nodes that may be taken for down now
}

// node is what the judge knows of one node.
type node struct {
	lease    time.Duration            // when it is over, without the grace
	failover bool                     // the lease is a new leader's: no grace is added
	answered time.Duration            // when it last answered anybody
	direct   time.Duration            // when a server last had an answer of its machine
	open     bool                     // a question is open
	asked    time.Duration            // when it was asked
	since    time.Duration            // when servers began to probe in vain; 0: they have not
	probed   time.Duration            // when it was last given out to be probed
	vain     map[string]time.Duration // by server: when it last began to ask in vain, since the question
	judged   bool                     // it is being marked as down
}

// witness is a server that tells of nodes.
type witness struct {
	since  time.Duration   // its first report, since it was last not heard
	told   time.Duration   // its newest report
	silent map[string]bool // nodes with a session that does not answer
	live   int
	lost   []time.Duration // when sessions of it timed out
	slept  time.Duration   // when it was last found to have slept
	dozed  bool
}

// newJudge begins a term with the nodes that are not down.
func newJudge(cfg Config, self string, nodes []string) *judge {
	j := &judge{
		cfg: cfg, self: self, nodes: map[string]*node{}, held: holders{}, servers: map[string]*witness{},
		parked: map[string]time.Duration{}, tokens: 1,
	}
	for _, id := range nodes {
		j.nodes[id] = &node{lease: cfg.Failover, failover: true, vain: map[string]time.Duration{}}
	}
	return j
}

// beat renews the lease of a node, known or not.
func (j *judge) beat(now time.Duration, id string, ttl time.Duration) {
	n := j.nodes[id]
	if n == nil {
		n = &node{vain: map[string]time.Duration{}}
		j.nodes[id] = n
	}
	delete(j.parked, id)
	n.lease, n.failover, n.judged = now+ttl, false, false
	n.direct = max(n.direct, now)
	n.hear(now)
}

// hear closes the question that is open.
func (n *node) hear(at time.Duration) {
	n.answered = max(n.answered, at)
	if n.open && at >= n.asked {
		n.open, n.since = false, 0
		clear(n.vain)
	}
}

// ask opens a question, unless one is open or the node has answered since.
func (n *node) ask(at time.Duration) {
	if !n.open && at > n.answered {
		n.open, n.asked = true, at
	}
}

// tell takes a server's report, and says whether it has to tell of all its sessions, and which nodes
// are back of which it was thought that they are gone.
func (j *judge) tell(now time.Duration, r *nomadish.WitnessReport) (again bool, back []string) {
	w, known := j.servers[r.Server], true
	if w == nil || now-w.told > staleAfter {
		w, known = &witness{since: now}, false
		j.servers[r.Server] = w
	}
	if r.After > sleptAfter {
		w.slept, w.dozed = now, true
	}
	w.told, w.live = now, r.Live
	if r.Whole {
		j.held.clear(r.Server)
		known = true
	}
	w.silent = make(map[string]bool, len(r.Silent))
	for _, p := range r.Silent {
		w.silent[p.NodeID] = true
	}
	for _, id := range r.Held {
		j.held.add(id, r.Server, w.silent[id] && j.fresh(now, j.held.newest(id)))
	}
	for _, end := range r.Ended {
		j.ended(now, r.Server, w, end)
	}
	for _, p := range r.Silent {
		if n := j.nodes[p.NodeID]; n != nil && j.held.newest(p.NodeID) == r.Server {
			n.direct = max(n.direct, now-p.Silent)
			n.hear(now - p.Silent)
			n.ask(min(now, now-p.Silent+askEvery))
		}
	}
	for _, b := range r.Beats {
		j.beat(now, b.NodeID, b.TTL)
	}
	for _, id := range r.Heard {
		if n := j.nodes[id]; n != nil {
			n.hear(now)
		}
	}
	for _, id := range r.Began {
		if j.returned(now, id) {
			back = append(back, id)
		}
	}
	return !known, back
}

func (j *judge) ended(now time.Duration, server string, w *witness, end nomadish.SessionEnd) {
	j.held.remove(end.NodeID, server)
	n := j.nodes[end.NodeID]
	switch {
	case end.How == nomadish.SessionTimedOut:
		w.lost = append(w.lost, now)
	case n != nil && end.How == nomadish.SessionClosed:
		n.direct = max(n.direct, now)
		n.hear(now) // its machine says so: the machine is there
	}
}

// returned takes note that a node's agent has begun a session, and says whether it was gone. Only agents
// begin sessions: one that goes on may be of an agent that has stopped.
func (j *judge) returned(now time.Duration, id string) (gone bool) {
	n := j.nodes[id]
	if n != nil && !n.judged {
		n.direct = max(n.direct, now)
		n.hear(now)
		return false
	}
	j.beat(now, id, 2*j.cfg.ttl(len(j.nodes))) // it knows of a lease that it had, and renews that some time
	return true
}

// probedBy takes what came of a server's probes that began at a time.
func (j *judge) probedBy(now, began time.Duration, server string, results []nomadish.ProbeResult) {
	for _, r := range results {
		n := j.nodes[r.NodeID]
		switch {
		case n == nil:
		case r.Answered:
			n.direct = max(n.direct, now)
			n.hear(now)
		case r.Vouched:
			n.hear(now)
		case r.Before && j.trusts(now, server):
			n.ask(began)
			if n.open {
				n.vain[server] = began
				n.since = cmp.Or(n.since, began)
			}
		}
	}
}

// fresh says that a server has told something lately.
func (j *judge) fresh(now time.Duration, server string) bool {
	w := j.servers[server]
	return w != nil && now-w.told <= staleAfter
}

// trusts says that what a server does not hear is no fault of its own: one that has just slept, or
// to which most of its nodes are silent at once, has to suspect itself.
func (j *judge) trusts(now time.Duration, server string) bool {
	w := j.servers[server]
	if w == nil || now-w.told > staleAfter || w.dozed && now-w.slept < j.cfg.SilentAfter {
		return false
	}
	w.lost = slices.DeleteFunc(w.lost, func(at time.Duration) bool { return now-at > lostFor })
	silent := len(w.lost) + len(w.silent)
	return silent == 0 || w.live > 0 && (silent < 2 || silent < w.live)
}

// sessionAnswers says that a server has a session with the node whose machine answers, and since when
// that is known.
func (j *judge) sessionAnswers(now time.Duration, id string) (at time.Duration, ok bool) {
	for _, server := range j.held[id] {
		if w := j.servers[server]; j.fresh(now, server) && !w.silent[id] {
			at, ok = max(at, w.told), true
		}
	}
	return at, ok
}

// slept says that the judge itself did not run for a while: nothing that it was not told meanwhile
// counts against anybody.
func (j *judge) slept(now time.Duration) {
	for _, n := range j.nodes {
		n.direct = max(n.direct, now)
		n.hear(now)
		n.lease = max(n.lease, now+j.cfg.MinTTL)
	}
	for id, at := range j.parked {
		j.parked[id] = max(at, now+j.cfg.MinTTL)
	}
	clear(j.servers)
	j.tokens = 0
}

// step says which nodes are to be probed, and which are down.
func (j *judge) step(now time.Duration) (probe []string, down []nomadish.NodeVerdict) {
	if now-j.last > sleptAfter {
		j.slept(now)
	}
	j.refill(now)
	j.last = now
	var silent, over []string
	open := 0
	for id, n := range j.nodes {
		if at, ok := j.sessionAnswers(now, id); ok {
			n.direct = max(n.direct, at)
			n.hear(at)
		} else if now >= settleAfter && now-n.probed >= n.probeEvery() {
			probe = append(probe, id)
		}
		switch {
		case n.judged:
		case n.open && now-n.asked >= massAfter:
			open++
			if j.silent(now, n) {
				silent = append(silent, id)
			}
			fallthrough
		default:
			if now >= j.leaseEnd(now, n) {
				over = append(over, id)
			}
		}
	}
	j.open = open
	j.crowd(now, open)
	down = j.sentence(now, open, silent, over)
	for id, at := range j.parked {
		if now >= at && j.nodes[id] == nil {
			down = append(down, nomadish.NodeVerdict{NodeID: id, Cause: nomadish.NodeGoneLong})
			j.parked[id] = now + retryAfter
		}
	}
	return j.choose(probe), down
}

// probeEvery is how often a node is probed with which no server has a session that answers: without
// a pause while a question is open, and now and then where its machine answers without its agent.
func (n *node) probeEvery() time.Duration {
	if n.open || n.probed == 0 {
		return 0
	}
	return calmProbe
}

// choose takes the nodes that waited longest, as many as may be probed at once.
func (j *judge) choose(ids []string) []string {
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(j.nodes[a].probed, j.nodes[b].probed), strings.Compare(a, b))
	})
	return ids[:min(len(ids), maxProbes)]
}

// given notes that nodes were given out to be probed.
func (j *judge) given(now time.Duration, ids []string) {
	for _, id := range ids {
		if n := j.nodes[id]; n != nil {
			n.probed = now
		}
	}
}

// probers are the servers that are to probe: this one and at most two others, by their IDs.
func (j *judge) probers(now time.Duration) []string {
	var others []string
	for id := range j.servers {
		if id != j.self && j.fresh(now, id) {
			others = append(others, id)
		}
	}
	slices.Sort(others)
	return append([]string{j.self}, others[:min(len(others), maxProbers-1)]...)
}

// silent says that servers have probed in vain for too long, every one that can tell once more at the
// end of that time. What a session alone does not answer may be a packet that was lost.
func (j *judge) silent(now time.Duration, n *node) bool {
	wait := j.cfg.SilentAfter
	if j.mass {
		wait = j.cfg.Grace
	}
	if j.cfg.Exact || n.since == 0 || now-n.since < wait {
		return false
	}
	witnesses := 0
	for _, server := range j.probers(now) {
		began, asked := n.vain[server]
		switch {
		case !j.trusts(now, server):
		case !asked || now-began > staleAfter: // it can't tell, or does not get round to it
		case began < n.since+wait:
			return false
		default:
			witnesses++
		}
	}
	return witnesses > 0
}

// leaseEnd is when a node is down that does not renew its lease.
func (j *judge) leaseEnd(now time.Duration, n *node) time.Duration {
	switch {
	case n.failover:
		return n.lease
	case !j.cfg.Exact && now-n.direct < j.cfg.SilentAfter:
		return n.lease + j.cfg.AliveGrace // its machine is there, and so is what runs on it
	}
	return n.lease + j.cfg.Grace
}

// crowd notices that many nodes are silent together. It stays so until none is, for it to be no
// trick of who is marked first.
func (j *judge) crowd(now time.Duration, open int) {
	if open >= massLeast && open*massShare > len(j.nodes) {
		if !j.mass {
			j.tokens = min(j.tokens, 1)
		}
		j.mass, j.massed = true, now
	} else if open == 0 && now-j.massed > lostFor {
		j.mass = false
	}
}

// refill lets more nodes be taken for down: a hundredth of them a second, and at least one.
func (j *judge) refill(now time.Duration) {
	perSec := max(1, float64(len(j.nodes))/100)
	most := 3 + float64(len(j.nodes))/50
	j.tokens = min(most, j.tokens+perSec*max(0, min(now-j.last, sleptAfter)).Seconds())
}

// sentence takes nodes for down, as many as the pace allows.
func (j *judge) sentence(now time.Duration, open int, silent, over []string) []nomadish.NodeVerdict {
	slices.Sort(silent)
	slices.Sort(over)
	var down []nomadish.NodeVerdict
	waiting := map[string]bool{}
	add := func(id, cause string) {
		n := j.nodes[id]
		if n.judged {
			return
		}
		if j.tokens < 1 {
			waiting[id] = true
			return
		}
		j.tokens--
		n.judged = true
		v := nomadish.NodeVerdict{NodeID: id, Cause: cause, Silent: now - n.answered, Together: max(open, 1)}
		if cause == nomadish.NodeGoneSilent {
			v.Witnesses = slices.Sorted(maps.Keys(n.vain))
		}
		down = append(down, v)
	}
	for _, id := range silent {
		add(id, nomadish.NodeGoneSilent)
	}
	for _, id := range over {
		add(id, nomadish.NodeGoneLease)
	}
	j.waiting = len(waiting)
	return down
}

// marked takes out a node that was marked as down; with park it may come back until then. It says
// whether the node has spoken meanwhile.
func (j *judge) marked(now time.Duration, id string, park time.Duration) (back bool) {
	delete(j.parked, id)
	if n := j.nodes[id]; n != nil && !n.judged {
		return true
	}
	delete(j.nodes, id)
	if park > 0 {
		j.parked[id] = now + park
	}
	return false
}

// unmarked has a node judged again that could not be marked.
func (j *judge) unmarked(now time.Duration, id string) {
	if n := j.nodes[id]; n != nil && n.judged {
		n.judged, n.lease = false, now+retryAfter-j.cfg.Grace
		if n.failover {
			n.lease = now + retryAfter
		}
	}
}
