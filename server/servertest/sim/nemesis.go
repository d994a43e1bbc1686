package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
)

// fault is one thing that goes wrong, or that operators do.
type fault struct {
	name   string
	weight int
	// do breaks something and mends it again after hold.
	// m is the server that it befalls, where it befalls one; no other machine fault does meanwhile.
	do func(h *hand, m *member, hold time.Duration)
}

// hand breaks one thing after the other. Several hands work side by side, so that faults meet.
type hand struct {
	*world
	rng    *rand.Rand
	faults []fault
	rest   time.Duration // at most, between two faults
	claims bool          // its faults are those of one machine
}

// breakThings lets things go wrong for as long as the run's phase of faults lasts.
func (w *world) breakThings() {
	ctx, cancel := context.WithTimeout(w.ctx, w.cfg.Faults)
	defer cancel()
	var hands sync.WaitGroup
	for i, h := range []*hand{
		{faults: networkFaults, rest: 3 * time.Second},
		{faults: machineFaults, rest: 3 * time.Second, claims: true},
		{faults: operations, rest: 5 * time.Second},
		{faults: nodeFaults, rest: 5 * time.Second},
	} {
		h.world, h.rng = w, w.rng(streamFaults+uint64(i))
		hands.Go(func() { h.work(ctx) })
	}
	hands.Wait()
}

func (h *hand) work(ctx context.Context) {
	total := 0
	for _, f := range h.faults {
		total += f.weight
	}
	for {
		pause(ctx, time.Duration(h.rng.Int64N(int64(h.rest))))
		if ctx.Err() != nil {
			return
		}
		m := h.victim()
		if h.claims && !m.claimed.CompareAndSwap(false, true) {
			continue
		}
		h.one(h.rng.IntN(total), m)
		if h.claims {
			m.claimed.Store(false)
		}
	}
}

// one lets the fault happen that a number below the sum of all weights stands for.
func (h *hand) one(n int, m *member) {
	for _, f := range h.faults {
		if n -= f.weight; n >= 0 {
			continue
		}
		h.log.Info("FAULT", "kind", f.name, "victim", m.id)
		f.do(h, m, time.Duration(200+h.rng.IntN(5000))*time.Millisecond)
		h.log.Info("MENDED", "kind", f.name, "victim", m.id)
		h.count("fault: "+f.name, 1)
		return
	}
}

// victim is a server of the cluster, half of the time the leader.
func (h *hand) victim() *member {
	if m := h.leader(); m != nil && h.rng.IntN(2) == 0 {
		return m
	}
	return h.any()
}

func (h *hand) any() *member {
	all := h.voters()
	return all[h.rng.IntN(len(all))]
}

// another is a server that is not m.
func (h *hand) another(m *member) *member {
	for {
		if other := h.any(); other != m {
			return other
		}
	}
}

// networkFaults are those of the links between servers.
var networkFaults = []fault{
	{"partition", 4, func(h *hand, m *member, hold time.Duration) {
		h.cut(func(from, to string) bool { return from == m.id || to == m.id }, hold)
	}},
	{"partition in halves", 2, func(h *hand, _ *member, hold time.Duration) {
		side := map[string]bool{}
		for _, m := range h.voters() {
			side[m.id] = h.rng.IntN(2) == 0
		}
		h.cut(func(from, to string) bool { return side[from] != side[to] }, hold)
	}},
	{"one-way: hears nothing", 3, func(h *hand, m *member, hold time.Duration) {
		h.cut(func(_, to string) bool { return to == m.id }, hold)
	}},
	{"one-way: says nothing", 3, func(h *hand, m *member, hold time.Duration) {
		h.cut(func(from, _ string) bool { return from == m.id }, hold)
	}},
	{"bridge", 3, func(h *hand, m *member, hold time.Duration) {
		b := h.another(m)
		h.cut(func(from, to string) bool { return from == m.id && to == b.id || from == b.id && to == m.id }, hold)
	}},
	{"flapping link", 2, func(h *hand, m *member, hold time.Duration) {
		for end := time.Now().Add(hold); time.Now().Before(end); pause(h.ctx, time.Second) {
			h.cut(func(from, to string) bool { return from == m.id || to == m.id }, time.Second)
		}
	}},
	{"delay and loss", 3, func(h *hand, _ *member, hold time.Duration) {
		h.net.Disturb(time.Duration(20+h.rng.IntN(180))*time.Millisecond, 0.1*h.rng.Float64())
		pause(h.ctx, hold)
		h.net.Disturb(h.delay, 0)
	}},
}

// cut stops what is sent on some of the ways between servers.
func (h *hand) cut(which func(from, to string) bool, hold time.Duration) {
	type way struct{ from, to string }
	var ways []way
	for _, a := range h.all() {
		for _, b := range h.all() {
			if a != b && which(a.id, b.id) {
				ways = append(ways, way{a.id, b.id})
			}
		}
	}
	for _, x := range ways {
		h.net.Cut(x.from, x.to)
	}
	pause(h.ctx, hold)
	for _, x := range ways {
		h.net.Mend(x.from, x.to)
	}
}

// machineFaults are those of servers' machines.
var machineFaults = []fault{
	{"power cut", 5, func(h *hand, m *member, hold time.Duration) {
		h.kill(m)
		pause(h.ctx, hold)
		h.boot(m)
	}},
	{"power cut of all", 2, func(h *hand, _ *member, hold time.Duration) {
		all := h.voters()
		h.kill(all...)
		pause(h.ctx, hold/2)
		for _, m := range all {
			h.boot(m)
		}
	}},
	{"power cut, twice in a moment", 2, func(h *hand, m *member, hold time.Duration) {
		for range 3 {
			h.kill(m)
			pause(h.ctx, hold/10)
			h.boot(m)
			pause(h.ctx, time.Duration(h.rng.IntN(600))*time.Millisecond)
		}
	}},
	{"stop and start", 2, func(h *hand, m *member, hold time.Duration) {
		h.stop(m)
		pause(h.ctx, hold)
		h.boot(m)
	}},
	{"freeze", 8, func(h *hand, m *member, hold time.Duration) {
		h.freeze(m, hold)
	}},
	{"slow disk", 4, func(h *hand, m *member, hold time.Duration) {
		slow := time.Duration(20+h.rng.IntN(700)) * time.Millisecond
		m.disk.set(func(d *disk) { d.slow = slow })
		pause(h.ctx, hold)
		m.disk.set(func(d *disk) { d.slow = 0 })
	}},
	{"stuck disk", 2, func(h *hand, m *member, hold time.Duration) {
		h.stick(m, hold)
	}},
	{"failing sync", 3, func(h *hand, m *member, hold time.Duration) {
		m.disk.set(func(d *disk) { d.fail = true })
		pause(h.ctx, hold)
		h.kill(m) // it has ended by itself, or is made to: what it could not sync may be lost
		m.disk.set(func(d *disk) { d.fail, d.hit = false, false })
		h.boot(m)
	}},
	{"full disk", 3, func(h *hand, m *member, hold time.Duration) {
		m.disk.set(func(d *disk) { d.full = true })
		pause(h.ctx, hold)
		m.disk.set(func(d *disk) { d.full = false })
	}},
	{"clock jump of an hour", 2, func(h *hand, m *member, hold time.Duration) { h.jump(m, time.Hour, hold) }},
	{"clock jump of ten years", 1, func(h *hand, m *member, hold time.Duration) { h.jump(m, 10*365*24*time.Hour, hold) }},
}

// freeze pauses a machine: its network and disk, and its clock is behind afterwards.
func (h *hand) freeze(m *member, hold time.Duration) {
	h.net.Freeze(m.id)
	h.stick(m, hold)
	m.offset.Add(-int64(hold))
	h.net.Thaw(m.id)
}

// stick lets nothing through to a disk for a while.
func (h *hand) stick(m *member, hold time.Duration) {
	stuck := make(chan struct{})
	m.disk.set(func(d *disk) { d.stuck = stuck })
	pause(h.ctx, hold)
	m.disk.set(func(d *disk) { d.stuck = nil })
	close(stuck)
}

// jump sets a server's clock wrong for a while.
func (h *hand) jump(m *member, by, hold time.Duration) {
	if h.rng.IntN(2) == 0 {
		by = -by
	}
	m.offset.Add(int64(by))
	pause(h.ctx, hold)
	m.offset.Store(0)
}

// nodeFaults are those of client nodes.
var nodeFaults = []fault{
	{"node loses power", 3, func(h *hand, _ *member, hold time.Duration) {
		n := h.nodes[h.rng.IntN(len(h.nodes))]
		n.power(false)
		pause(h.ctx, hold*2)
		n.power(true)
	}},
	{"node is cut off", 3, func(h *hand, _ *member, hold time.Duration) {
		n := h.nodes[h.rng.IntN(len(h.nodes))]
		h.net.Freeze(n.name)
		pause(h.ctx, hold*2)
		h.net.Thaw(n.name)
	}},
}

// operations are what operators do, at the leader.
var operations = []fault{
	{"leadership transfer", 5, func(h *hand, _ *member, _ time.Duration) {
		_ = h.atLeader(func(ctx context.Context, s *server.Server) error { return s.Consensus().TransferLeadership(ctx, "") })
	}},
	{"server added", 2, func(h *hand, _ *member, hold time.Duration) { h.replace(true, false, hold) }},
	{"server removed", 2, func(h *hand, _ *member, hold time.Duration) { h.replace(false, true, hold) }},
	{"server replaced", 3, func(h *hand, _ *member, hold time.Duration) { h.replace(true, true, hold) }},
	{"snapshot", 3, func(h *hand, _ *member, hold time.Duration) {
		if s := h.any().up(); s != nil {
			ctx, cancel := context.WithTimeout(h.ctx, hold)
			defer cancel()
			_ = s.Consensus().Snapshot(ctx) // a server that is just dying can't
		}
	}},
	{"collection of garbage", 2, func(h *hand, _ *member, _ time.Duration) {
		_ = h.atLeader(func(ctx context.Context, s *server.Server) error { return s.Endpoint().CollectGarbage(ctx) })
	}},
}

// atLeader has the leader do something, if there is one. It may fail, as anything may in this phase.
func (h *hand) atLeader(do func(context.Context, *server.Server) error) error {
	m := h.leader()
	if m == nil {
		return errRefused
	}
	ctx, cancel := context.WithTimeout(h.ctx, 4*time.Second)
	defer cancel()
	return h.call(ctx, "operator", m, do)
}

// How many servers a cluster may have come to.
const (
	fewestServers = 3
	mostServers   = 5
)

// replace adds a server, or removes one, or both. What is not acknowledged is tried again when all is well.
func (h *hand) replace(add, remove bool, hold time.Duration) {
	if add && len(h.voters()) < mostServers {
		m := h.world.add(false)
		h.boot(m)
		m.isMember.Store(true)
		if h.rng.IntN(2) == 0 { // it follows for a while, and then votes
			_ = h.atLeader(func(ctx context.Context, s *server.Server) error { return s.Consensus().AddNonvoter(ctx, m.id) })
			pause(h.ctx, hold)
		}
		err := h.atLeader(func(ctx context.Context, s *server.Server) error { return s.Consensus().AddVoter(ctx, m.id) })
		m.confirmed.Store(err == nil)
		pause(h.ctx, hold)
	}
	m := h.any()
	if !remove || !h.spare(m) || !m.claimed.CompareAndSwap(false, true) {
		return
	}
	defer m.claimed.Store(false)
	m.confirmed.Store(false)
	ask := func(ctx context.Context, s *server.Server) error { return s.RemoveRaftPeer(ctx, m.id) }
	err := h.atLeader(ask)
	if nomadish.KindOf(err) == nomadish.KindNoLeader { // a leader has handed over before it is removed
		err = h.atLeader(ask)
	}
	if err == nil {
		m.isMember.Store(false)
		m.removed.Store(true)
		h.stop(m)
	}
}

// spare says that a voter can be removed, as its leader sees it: an operator who leaves two has a
// cluster that may not survive the next removal.
func (h *hand) spare(m *member) bool {
	leader := h.leader()
	if leader == nil {
		return false
	}
	s := leader.up()
	if s == nil {
		return false
	}
	voters := slices.DeleteFunc(s.Consensus().Peers(), func(p consensus.Peer) bool { return !p.Voter })
	there := slices.ContainsFunc(voters, func(p consensus.Peer) bool { return p.ID == m.id })
	return there && len(voters) > fewestServers
}
