package members

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/gossip"
)

// world is three servers with a vote that are well; changes make it what a test needs.
func world(change func(v *view)) view {
	v := view{
		self: "a", region: "global", cluster: "one", want: nomadish.DefaultAutopilot(), dead: 20 * time.Second,
		members: map[string]gossip.Member{}, gone: map[string]time.Duration{}, stable: map[string]time.Duration{},
	}
	for _, id := range []string{"a", "b", "c"} {
		v.peers = append(v.peers, consensus.Peer{ID: id, Voter: true})
		v.put(gossip.Member{ID: id, HasState: true, Cluster: "one"})
	}
	change(&v)
	return v
}

func (v *view) put(m gossip.Member) {
	if m.Status == "" {
		m.Status = gossip.StatusAlive
	}
	if m.Name == "" {
		m.Name = m.ID
	}
	m.Region, m.RPC = "global", m.ID+":4647"
	if _, ok := v.members[m.ID]; !ok {
		v.order = append(v.order, m.ID)
	}
	v.members[m.ID] = m
}

func (v *view) fail(id string, since time.Duration) {
	m := v.members[id]
	m.Status = gossip.StatusFailed
	v.put(m)
	v.gone[id] = since
}

func (v *view) follow(id string) { v.peers = append(v.peers, consensus.Peer{ID: id}) }

func TestDecide(t *testing.T) {
	const long, short = time.Hour, time.Second
	for name, tt := range map[string]struct {
		change func(v *view)
		want   string // kind and ID
		note   string // about whom it is left as it is, and why
	}{
		"all is well":                {func(*view) {}, "", ""},
		"a new server follows first": {func(v *view) { v.put(gossip.Member{ID: "d"}) }, "added d", ""},
		"one of another cluster is left alone": {
			func(v *view) { v.put(gossip.Member{ID: "d", HasState: true, Cluster: "two"}) }, "", "d it belongs to another cluster",
		},
		"one that can't name its cluster is left alone": {
			func(v *view) { v.put(gossip.Member{ID: "d", HasState: true}) }, "", "d it belongs to a cluster that it can't name",
		},
		"one that was here before comes back": {
			func(v *view) { v.put(gossip.Member{ID: "d", HasState: true, Cluster: "one"}) }, "added d", "",
		},
		"a follower votes when it is stable": {
			func(v *view) { v.put(gossip.Member{ID: "d"}); v.follow("d"); v.stable["d"] = 10 * time.Second }, "given a vote d", "",
		},
		"and not before": {
			func(v *view) { v.put(gossip.Member{ID: "d"}); v.follow("d"); v.stable["d"] = 9 * time.Second }, "", "",
		},
		"nor when it is ill": {func(v *view) { v.put(gossip.Member{ID: "d"}); v.follow("d") }, "", ""},
		"nor when it wants none": {
			func(v *view) { v.put(gossip.Member{ID: "d", Nonvoter: true}); v.follow("d"); v.stable["d"] = long }, "", "",
		},
		"who left is removed at once": {
			func(v *view) { v.put(gossip.Member{ID: "c", Status: gossip.StatusLeft}) }, "removed c", "",
		},
		"who is leaving is still there": {
			func(v *view) { v.put(gossip.Member{ID: "c", Status: gossip.StatusLeaving}) }, "", "",
		},
		"who died is removed after a while": {func(v *view) { v.fail("c", long) }, "removed c", ""},
		"and not at once":                   {func(v *view) { v.fail("c", short) }, "", ""},
		"nor where operators don't want it": {
			func(v *view) { v.want.CleanupDeadServers = false; v.fail("c", long) }, "", "",
		},
		"nor below the least quorum": {
			func(v *view) { v.want.MinQuorum = 3; v.fail("c", long) }, "", "c it is dead, and stays because at least 3",
		},
		"nor when a majority is gone": {
			func(v *view) { v.fail("b", long); v.fail("c", long) }, "", "c it is dead, and so are 2 of 3",
		},
		"one that just failed counts as dead, too": {
			func(v *view) { v.fail("b", short); v.fail("c", long) }, "", "c it is dead, and so are 2 of 3",
		},
		"a dead follower has no vote to miss": {
			func(v *view) { v.put(gossip.Member{ID: "d"}); v.follow("d"); v.fail("d", long) }, "removed d", "",
		},
		"who is replaced is removed at once": {
			func(v *view) { v.fail("c", short); v.put(gossip.Member{ID: "d", Name: "c"}) }, "removed c", "",
		},
		"but not where no majority is left": {
			func(v *view) { v.fail("b", short); v.fail("c", short); v.put(gossip.Member{ID: "d", Name: "c"}) }, "added d", "c it is dead",
		},
		"new servers count before dead ones go": {
			func(v *view) { v.fail("c", long); v.put(gossip.Member{ID: "d"}) }, "added d", "",
		},
		"a leader never removes itself": {
			func(v *view) { v.put(gossip.Member{ID: "a", Status: gossip.StatusLeft}); v.gone["a"] = long }, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, ok := decide(world(tt.change))
			got := ""
			if ok {
				got = s.kind.String() + " " + s.id
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			id, reason, _ := strings.Cut(tt.note, " ")
			if tt.note != "" && !strings.Contains(s.notes[id], reason) {
				t.Errorf("notes %q, want of %s: %s", s.notes, id, reason)
			}
		})
	}
}

// However many servers fail, in whatever order, those that are left with a vote are never fewer than a
// majority of those that were asked about each removal.
func TestRemovalsKeepAMajority(t *testing.T) {
	for voters := 1; voters <= 9; voters++ {
		for dead := range voters {
			v := world(func(v *view) {
				v.peers, v.members, v.order = nil, map[string]gossip.Member{}, nil
				for i := range voters {
					id := string(rune('a' + i))
					v.peers = append(v.peers, consensus.Peer{ID: id, Voter: true})
					v.put(gossip.Member{ID: id})
					if i >= voters-dead {
						v.fail(id, time.Hour)
					}
				}
			})
			for {
				s, ok := decide(v)
				if !ok {
					break
				}
				alive := 0
				for _, p := range v.peers {
					if _, gone := v.gone[p.ID]; !gone {
						alive++
					}
				}
				if s.kind != remove || alive <= len(v.peers)/2 {
					t.Fatalf("%d of %d dead: %v %s with %d alive of %d", dead, voters, s.kind, s.id, alive, len(v.peers))
				}
				delete(v.gone, s.id)
				v.peers = slices.DeleteFunc(v.peers, func(p consensus.Peer) bool { return p.ID == s.id })
			}
			if dead <= (voters-1)/2 && len(v.gone) > 0 {
				t.Errorf("%d of %d dead: %v stay", dead, voters, v.gone)
			}
		}
	}
}
