package liveness_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/leader/liveness"
)

// site is servers and the machines of nodes, without a network between them.
type site struct {
	mu      sync.Mutex
	leases  map[string]*liveness.Leases
	leader  string
	holders map[string]string        // by node: the server that has a session with it
	leaving map[string]string        // and the server whose session it is about to end
	silent  map[string]time.Time     // machines that are cut off, since when
	refuse  map[string]bool          // machines without an agent
	off     map[string]bool          // servers
	near    map[string]bool          // machines that their neighbours reach
	down    map[string]time.Duration // nodes that were taken for down, since the test began
	why     map[string]string
	park    time.Duration        // for which nodes are disconnected first
	up      map[string]time.Time // nodes that are back, since when
	began   time.Time
}

// peer is what one server sees of the site.
type peer struct {
	s  *site
	id string
}

func (p peer) Pulses() (pulses []nomadish.NodePulse) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for node, server := range p.s.holders {
		if server != p.id && p.s.leaving[node] != p.id {
			continue
		}
		pulse := nomadish.NodePulse{NodeID: node}
		if since, cut := p.s.silent[node]; cut {
			pulse.Silent = time.Since(since)
		}
		pulses = append(pulses, pulse)
	}
	return pulses
}

func (p peer) Neighbours(_ context.Context, _, addrs []string) []bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	vouched := make([]bool, len(addrs))
	for i, addr := range addrs {
		vouched[i] = p.s.near[addr]
	}
	return vouched
}

func (peer) Address(server string) (string, error) { return server, nil }

func (p peer) Tell(ctx context.Context, r *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error) {
	p.s.mu.Lock()
	leader, off := p.s.leases[p.s.leader], p.s.off[p.id] || p.s.off[p.s.leader]
	p.s.mu.Unlock()
	if off {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return leader.Told(ctx, r)
}

func (p peer) Probe(ctx context.Context, server string, ids []string) ([]nomadish.ProbeResult, error) {
	p.s.mu.Lock()
	other, off := p.s.leases[server], p.s.off[p.id] || p.s.off[server]
	p.s.mu.Unlock()
	if off {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return other.Probe(ctx, ids), nil
}

func (s *site) dial(ctx context.Context, addr string) error {
	s.mu.Lock()
	_, cut := s.silent[addr]
	refuse := s.refuse[addr]
	s.mu.Unlock()
	switch {
	case cut:
		<-ctx.Done()
		return ctx.Err()
	case refuse:
		return syscall.ECONNREFUSED
	}
	return nil
}

func (s *site) Down(_ context.Context, v *nomadish.NodeVerdict) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.down[v.NodeID]; twice {
		return 0, errors.New("it is down already")
	}
	s.down[v.NodeID], s.why[v.NodeID] = time.Since(s.began), v.Cause
	return s.park, nil
}

func (s *site) Up(_ context.Context, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, down := s.down[node]; down {
		delete(s.down, node)
		s.up[node] = time.Now()
	}
	return nil
}

// newSite runs three servers, of which s0 leads, and as many nodes, which renew their leases.
func newSite(t *testing.T, nodes int) *site {
	s := newStillSite(t, nodes)
	s.run(t, func(ctx context.Context) error {
		for lifecycle.Sleep(ctx, 3*time.Second) == nil {
			s.beat()
		}
		return nil
	})
	return s
}

// newStillSite is newSite with nodes that do nothing.
func newStillSite(t *testing.T, nodes int) *site {
	s := &site{
		leases: map[string]*liveness.Leases{}, leader: "s0", holders: map[string]string{}, leaving: map[string]string{}, silent: map[string]time.Time{},
		refuse: map[string]bool{}, off: map[string]bool{}, near: map[string]bool{}, down: map[string]time.Duration{}, why: map[string]string{}, up: map[string]time.Time{}, began: time.Now(),
	}
	var all []liveness.Node
	for i := range nodes {
		id := fmt.Sprint("n", i)
		all = append(all, liveness.Node{ID: id, Addr: id})
		s.holders[id] = fmt.Sprint("s", i%3)
	}
	var parts []lifecycle.Part
	for i := range 3 {
		id := fmt.Sprint("s", i)
		s.leases[id] = liveness.New(liveness.Config{
			ServerID: id, Peers: peer{s, id}, Dial: s.dial, Nodes: func(uint64) ([]liveness.Node, uint64) { return all, 1 },
		})
		parts = append(parts, s.leases[id].Witness)
	}
	s.run(t, lifecycle.Part(func(ctx context.Context) error { return lifecycle.Run(ctx, parts...) }))
	return s
}

// run runs a part until the test ends, or the function that it returns is called.
func (s *site) run(t *testing.T, part lifecycle.Part) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// lead has a server judge all nodes that are not down.
func (s *site) lead(t *testing.T, id string) (stop func()) {
	s.mu.Lock()
	s.leader = id
	var up []string
	for node := range s.holders {
		if _, down := s.down[node]; !down {
			up = append(up, node)
		}
	}
	s.mu.Unlock()
	slices.Sort(up)
	return s.run(t, func(ctx context.Context) error { return s.leases[id].Run(ctx, up, s) })
}

// beat has all nodes renew their leases that can.
func (s *site) beat() {
	s.mu.Lock()
	takes := map[string]*liveness.Leases{}
	for node, server := range s.holders {
		if _, cut := s.silent[node]; !cut && !s.refuse[node] && !s.off[server] {
			takes[node] = s.leases[server]
		}
	}
	s.mu.Unlock()
	for node, l := range takes {
		l.Renew(node)
	}
}

// gone returns the nodes that were taken for down, when and why.
func (s *site) gone() (at map[string]time.Duration, why map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.down), maps.Clone(s.why)
}

func (s *site) cut(nodes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, node := range nodes {
		s.silent[node] = time.Now()
	}
}

// A node whose power is cut is down within 5 s, for its machine's silence, and the others are not.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 5)
		s.lead(t, "s0")
		time.Sleep(30 * time.Second)
		s.cut("n4")
		time.Sleep(5 * time.Second)
		if down, why := s.gone(); len(down) != 1 || why["n4"] != nomadish.NodeGoneSilent || down["n4"] > 35*time.Second {
			t.Errorf("down are %v (%v), want n4 alone for its silence", down, why)
		}
		time.Sleep(2 * time.Minute)
		if down, _ := s.gone(); len(down) != 1 {
			t.Errorf("later down are %v, want n4 alone", down)
		}
	})
}

// A node that no server reaches, and a neighbour does, keeps its lease, and no more than that.
func TestNeighbourKeepsALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 5)
		s.lead(t, "s0")
		time.Sleep(30 * time.Second)
		s.mu.Lock()
		s.near["n4"] = true
		s.mu.Unlock()
		s.cut("n4")
		time.Sleep(10 * time.Second)
		if down, _ := s.gone(); len(down) != 0 {
			t.Errorf("down are %v, want none", down)
		}
		time.Sleep(30 * time.Second)
		if down, why := s.gone(); len(down) != 1 || why["n4"] != nomadish.NodeGoneLease {
			t.Errorf("later down are %v (%v), want n4 alone for its lease", down, why)
		}
	})
}

// A server that begins to lead finds what was lost with the one before, and nothing else: neither
// agents that are gone while their machines are there, nor nodes that talked to the lost server.
func TestLeaderAndNodeAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 6)
		stop := s.lead(t, "s0")
		time.Sleep(30 * time.Second)
		s.cut("n0") // it talked to s0, as n3 does
		s.mu.Lock()
		s.off["s0"], s.refuse["n3"] = true, true
		delete(s.holders, "n3")
		s.holders["n3"] = ""
		s.mu.Unlock()
		stop()
		time.Sleep(1500 * time.Millisecond) // the election
		s.lead(t, "s1")
		time.Sleep(6 * time.Second)
		if down, why := s.gone(); len(down) != 1 || why["n0"] != nomadish.NodeGoneSilent {
			t.Errorf("down are %v (%v), want n0 alone for its silence", down, why)
		}
		time.Sleep(time.Minute)
		if down, _ := s.gone(); len(down) != 1 {
			t.Errorf("a minute later down are %v, want n0 alone", down)
		}
	})
}

// The heartbeats that other servers take renew the leases at the leader.
func TestHeartbeatsOfAllServersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 9)
		s.lead(t, "s0")
		time.Sleep(10 * time.Minute)
		if down, _ := s.gone(); len(down) != 0 {
			t.Errorf("down are %v, want none", down)
		}
		if holder, ok := s.leases["s0"].Holder("n4"); holder != "s1" || !ok {
			t.Errorf("n4 is held by %q, want s1", holder)
		}
	})
}

// While many nodes are silent together the figures say so, and how many wait for the pace.
func TestStatsOfMassSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 30)
		s.lead(t, "s0")
		time.Sleep(30 * time.Second)
		if got := s.leases["s0"].Stats(); got != (liveness.Stats{Sessions: 10, Leads: true, Active: 30}) {
			t.Errorf("when all is well: %+v", got)
		}
		for i := range 9 {
			s.cut(fmt.Sprint("n", i))
		}
		time.Sleep(4 * time.Second)
		if got := s.leases["s0"].Stats(); !got.Mass || got.Open != 9 || got.Silent != 3 {
			t.Errorf("when 9 are silent: %+v", got)
		}
		most := 0
		for range 30 {
			time.Sleep(time.Second)
			most = max(most, s.leases["s0"].Stats().Waiting)
		}
		if down, _ := s.gone(); len(down) != 9 || most < 3 {
			t.Errorf("%d are down and up to %d waited, want 9, most of which waited", len(down), most)
		}
		if got := s.leases["s1"].Stats(); got.Leads || got.Active != 0 {
			t.Errorf("a follower's: %+v", got)
		}
	})
}

// A server that the leader does not hear gives no leases.
func TestLeasesNeedTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 3)
		s.lead(t, "s0")
		time.Sleep(5 * time.Second)
		if !s.leases["s1"].InTouch() || !s.leases["s0"].InTouch() {
			t.Error("servers of a cluster that works are out of touch")
		}
		s.mu.Lock()
		s.off["s1"] = true
		s.mu.Unlock()
		time.Sleep(5 * time.Second)
		if s.leases["s1"].InTouch() {
			t.Error("a server that was cut off is in touch")
		}
	})
}

// A node that was taken for down, or is disconnected, is back as soon as its agent begins a session, and
// not only with its next heartbeat. A session that has been there all the time says nothing: the agent may
// have stopped.
func TestSessionBringsANodeBack(t *testing.T) {
	for name, park := range map[string]time.Duration{"down": 0, "disconnected": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 5)
				s.park = park
				stop := s.lead(t, "s0")
				time.Sleep(30 * time.Second)
				s.cut("n4")
				time.Sleep(10 * time.Second)
				stop()
				s.lead(t, "s1") // which is told of all sessions
				time.Sleep(10 * time.Second)
				s.mu.Lock()
				if len(s.up) != 0 {
					t.Errorf("back are %v, want none: n4 is silent", s.up)
				}
				delete(s.silent, "n4")
				s.refuse["n4"] = true // it sends no heartbeat yet
				s.holders["n4"] = "s2"
				s.mu.Unlock()
				at := time.Now()
				s.leases["s2"].Began("n4")
				time.Sleep(20 * time.Second)
				s.mu.Lock()
				if back, ok := s.up["n4"]; !ok || back.Sub(at) > 100*time.Millisecond || len(s.up) != 1 {
					t.Errorf("back are %v, want n4 at %v", s.up, at)
				}
				s.mu.Unlock()
				if down, _ := s.gone(); len(down) != 0 {
					t.Errorf("later down are %v, want none: it has a lease", down)
				}
			})
		})
	}
}
