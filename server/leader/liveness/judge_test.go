package liveness

import (
	"os"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// A machine whose power is cut is down within 4.6 s, and no other, whichever server it talked to and
// whenever it was cut.
func TestPowerCutIsNoticedInSeconds(t *testing.T) {
	var sum time.Duration
	const seeds = 40
	for seed := range uint64(seeds) {
		w := newWorld(t, seed, 3, 5, 0)
		w.run(20*time.Second + time.Duration(w.rng.IntN(20))*worldStep)
		cut := w.now
		w.nodes[2].cut = true
		w.run(10 * time.Second)
		v, ok := w.down["n002"]
		took := w.at["n002"] - cut
		if !ok || len(w.down) != 1 || v.Cause != nomadish.NodeGoneSilent || took > 4600*time.Millisecond {
			t.Errorf("seed %d: down are %v after %s, want n002 alone, for its silence, within 4.6s", seed, w.down, took)
		}
		sum += took
	}
	t.Logf("a cut is noticed after %s on average", sum/seeds)
}

// An agent that is gone while its machine answers keeps its node for a minute and longer.
func TestDeadAgentKeepsItsNode(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed, 3, 5, 0.05)
		w.run(30 * time.Second)
		w.nodes[1].agent = false
		w.run(75 * time.Second)
		w.nodes[1].agent = true
		w.run(30 * time.Second)
		if len(w.down) > 0 {
			t.Errorf("seed %d: down are %v, want none", seed, w.down)
		}
	}
}

// In the end a lease is over also of a machine that answers.
func TestAnsweringMachineLosesItsLeaseInTheEnd(t *testing.T) {
	w := newWorld(t, 1, 3, 5, 0)
	w.run(30 * time.Second)
	w.nodes[1].agent = false
	w.run(3 * time.Minute)
	if v := w.down["n001"]; v.Cause != nomadish.NodeGoneLease || len(w.down) != 1 {
		t.Errorf("down are %v, want n001 for its lease", w.down)
	}
}

// A third of the nodes cut off for 8 s is the network's fault: none is down. When they stay away,
// they are taken for down after the grace, one after the other.
func TestManySilentNodesAreTheNetwork(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 3, 60, 0)
		w.run(30 * time.Second)
		cut := func(cut bool) {
			for _, n := range w.nodes[:20] {
				n.cut = cut
			}
		}
		cut(true)
		w.run(8 * time.Second)
		cut(false)
		w.run(30 * time.Second)
		if len(w.down) > 0 {
			t.Fatalf("seed %d: down are %v, want none after 8s", seed, w.down)
		}
		cut(true)
		w.run(9 * time.Second)
		early := len(w.down)
		w.run(4 * time.Second)
		some := len(w.down)
		w.run(60 * time.Second)
		if early > 0 || some == 0 || some > 6 || len(w.down) != 20 {
			t.Errorf("seed %d: %d down after 9s, %d after 13s and %d after 73s; want 0, a few and 20", seed, early, some, len(w.down))
		}
	}
}

// A leader that is lost together with a node: the next one finds the node within 6 s of its term.
func TestNextLeaderNoticesWhatWasLostWithTheLast(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 3, 5, 0)
		w.run(30 * time.Second)
		w.nodes[3].cut, w.servers[0].cut = true, true
		w.run(1500 * time.Millisecond)
		w.lead(1)
		term := w.now
		w.run(6 * time.Second)
		if took := w.at["n003"] - term; len(w.down) != 1 || took <= 0 {
			t.Errorf("seed %d: down are %v %s after the term began, want n003 alone", seed, w.down, took)
		}
		w.run(time.Minute)
		if len(w.down) != 1 {
			t.Errorf("seed %d: down are %v a minute later, want n003 alone", seed, w.down)
		}
	}
}

// A server that is cut off from the nodes suspects itself, and a leader that was paused nobody.
func TestServersSuspectThemselves(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, 3, 9, 0)
		w.run(30 * time.Second)
		w.servers[seed%3].paused = w.now + 20*time.Second
		w.run(time.Minute)
		if len(w.down) > 0 {
			t.Errorf("seed %d: down are %v, want none", seed, w.down)
		}
	}
}

// Neighbours keep a silent node up to its lease, and no longer.
func TestNeighboursVouch(t *testing.T) {
	w := newWorld(t, 1, 3, 5, 0)
	w.run(30 * time.Second)
	w.nodes[0].cut = true
	cut := w.now
	for w.now-cut < 60*time.Second && len(w.down) == 0 {
		w.judge.tell(w.now-w.term, &nomadish.WitnessReport{Server: "s1", Live: 1, Heard: []string{"n000"}})
		w.run(500 * time.Millisecond)
	}
	v, took := w.down["n000"], w.at["n000"]-cut
	if v.Cause != nomadish.NodeGoneLease || took < 10*time.Second || took > 32*time.Second {
		t.Errorf("down for %q after %s, want for its lease after 10s to 32s", v.Cause, took)
	}
}

// A grace that was set is never shortened: nothing is down before lease and grace are over.
func TestConfiguredGraceIsKept(t *testing.T) {
	w := newWorld(t, 1, 3, 5, 0)
	w.cfg = Config{Grace: 30 * time.Second, Peers: nobody{}}.withDefaults()
	w.lead(0)
	w.run(30 * time.Second)
	n := w.nodes[4]
	n.cut = true
	end := n.beat - n.ttl*3/4 + n.ttl + 30*time.Second
	w.run(2 * time.Minute)
	if at, ok := w.at["n004"]; !ok || at < end || len(w.down) != 1 {
		t.Errorf("n004 is down at %s (down: %v), want not before %s", at, w.down, end)
	}
}

// With 10 % loss, pauses of 3 s of nodes and servers and changes of the leader, no node is taken for
// down: for 20 minutes, or for 24 hours with NOMADISH_SOAK.
func TestNoFalseEviction(t *testing.T) {
	long := 20 * time.Minute
	if os.Getenv("NOMADISH_SOAK") != "" {
		long = 24 * time.Hour
	}
	w := newWorld(t, uint64(long), 3, 64, 0.1)
	pauses, terms := 0, 0
	for second := range int(long.Seconds()) {
		if n := w.nodes[w.rng.IntN(len(w.nodes))]; w.rng.IntN(10) == 0 && w.now > n.paused+10*time.Second {
			n.paused = w.now + 3*time.Second
			pauses++
		}
		if s := w.servers[w.rng.IntN(len(w.servers))]; w.rng.IntN(300) == 0 && w.now > s.paused+10*time.Second {
			s.paused = w.now + 3*time.Second
			pauses++
		}
		if w.rng.IntN(600) == 0 {
			w.lead(w.rng.IntN(len(w.servers)))
			terms++
		}
		w.run(time.Second)
		if len(w.down) > 0 {
			t.Fatalf("after %ds and %d pauses: down are %v, want none", second, pauses, w.down)
		}
	}
	t.Logf("%s, %d pauses, %d changes of the leader", long, pauses, terms)
}
