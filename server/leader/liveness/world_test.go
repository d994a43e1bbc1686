package liveness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// world is servers and nodes on a network that loses packets, by a clock of its own: what the
// kernels and servers of such a cluster would do, and a judge that is told of it.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	now     time.Duration
	loss    float64 // of each packet
	cfg     Config
	servers []*machine
	nodes   []*machine
	leader  int
	judge   *judge
	term    time.Duration // when the judge's term began
	rounds  []*probing
	down    map[string]nomadish.NodeVerdict
	at      map[string]time.Duration
}

// machine is a server or a node.
type machine struct {
	id     string
	cut    bool          // from everybody
	paused time.Duration // until then it does nothing
	agent  bool          // runs

	server int           // that a node's session is with; -1: none
	acked  time.Duration // when the server last had an answer on it
	asked  time.Duration
	again  time.Duration // when a node connects again
	beat   time.Duration // when it renews its lease
	ttl    time.Duration
	told   map[string]bool // a server's: nodes of which the leader knows
	ended  []nomadish.SessionEnd
	beats  []nomadish.NodeBeat
	report time.Duration // a server's next report
	last   time.Duration // and its last
	whole  bool
}

type probing struct {
	server   int
	began    time.Duration
	ids      []string
	answered map[string]bool
	tries    int
}

const worldStep = 100 * time.Millisecond

func newWorld(t testing.TB, seed uint64, servers, nodes int, loss float64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), loss: loss, cfg: Config{Peers: nobody{}}.withDefaults(),
		down: map[string]nomadish.NodeVerdict{}, at: map[string]time.Duration{},
	}
	for i := range servers {
		w.servers = append(w.servers, &machine{id: fmt.Sprintf("s%d", i), agent: true, told: map[string]bool{}, whole: true})
	}
	for i := range nodes {
		w.nodes = append(w.nodes, &machine{id: fmt.Sprintf("n%03d", i), agent: true, server: -1, beat: time.Duration(w.rng.Int64N(int64(time.Second)))})
	}
	w.lead(0)
	return w
}

// nobody is Peers that are never asked.
type nobody struct{ Peers }

// lead begins the term of a server.
func (w *world) lead(server int) {
	var ids []string
	for _, n := range w.nodes {
		if _, down := w.down[n.id]; !down {
			ids = append(ids, n.id)
		}
	}
	w.leader, w.term, w.rounds = server, w.now, nil
	w.judge = newJudge(w.cfg, w.servers[server].id, ids)
	for _, s := range w.servers {
		s.whole = true
	}
}

func (w *world) awake(m *machine) bool { return !m.cut && w.now >= m.paused }

// passes says whether a question and its answer get through.
func (w *world) passes(a, b *machine) bool {
	return w.awake(a) && w.awake(b) && w.rng.Float64() >= w.loss && w.rng.Float64() >= w.loss
}

// run lets time go by.
func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += worldStep {
		for _, n := range w.nodes {
			w.kernel(n)
			w.agent(n)
		}
		for i, s := range w.servers {
			w.tell(i, s)
		}
		w.probe()
		if w.awake(w.servers[w.leader]) {
			w.judgeStep()
		}
	}
}

// kernel asks and answers on a node's session.
func (w *world) kernel(n *machine) {
	if n.server < 0 {
		return
	}
	s := w.servers[n.server]
	if w.now-n.acked >= time.Second && w.now-n.asked >= time.Second && w.awake(s) {
		if n.asked = w.now; w.passes(s, n) {
			n.acked = w.now
		}
	}
	if w.now-n.acked >= 4*time.Second { // both sides give it up
		s.ended = append(s.ended, nomadish.SessionEnd{NodeID: n.id, How: nomadish.SessionTimedOut})
		n.server, n.again = -1, w.now+500*time.Millisecond
	}
}

// agent is a node's: it connects and renews its lease.
func (w *world) agent(n *machine) {
	if !n.agent {
		if n.server >= 0 && w.awake(n) { // its kernel says so
			s := w.servers[n.server]
			s.ended = append(s.ended, nomadish.SessionEnd{NodeID: n.id, How: nomadish.SessionClosed})
			n.server = -1
		}
		return
	}
	if n.server < 0 && w.now >= n.again && w.awake(n) {
		n.again = w.now + time.Second
		if i := w.rng.IntN(len(w.servers)); w.passes(n, w.servers[i]) {
			n.server, n.acked, n.asked = i, w.now, w.now
		}
	}
	if n.server >= 0 && w.now >= n.beat && w.passes(n, w.servers[n.server]) {
		n.ttl = 10*time.Second + time.Duration(w.rng.Int64N(int64(10*time.Second)))
		n.beat = w.now + n.ttl/2 + time.Duration(w.rng.Int64N(int64(n.ttl/4)))
		n.acked = w.now
		s := w.servers[n.server]
		s.beats = append(s.beats, nomadish.NodeBeat{NodeID: n.id, TTL: n.ttl})
	}
}

// tell has a server report to the leader.
func (w *world) tell(i int, s *machine) {
	if w.now < s.report || !w.awake(s) || !s.agent {
		return
	}
	silent := slices.ContainsFunc(w.nodes, func(n *machine) bool { return n.server == i && w.now-n.acked >= silentFrom })
	if len(s.beats)+len(s.ended) == 0 && !silent && w.now-s.last < reportEvery {
		return
	}
	after := w.now - s.last
	s.last = w.now
	if i != w.leader && !w.passes(s, w.servers[w.leader]) {
		s.report = w.now + 2*worldStep
		return // it arrives with the next
	}
	r := &nomadish.WitnessReport{Server: s.id, Whole: s.whole, Ended: s.ended, Beats: s.beats, After: after}
	here := map[string]bool{}
	for _, n := range w.nodes {
		if n.server != i {
			continue
		}
		here[n.id] = true
		if s.whole || !s.told[n.id] {
			r.Held = append(r.Held, n.id)
		}
		if silent := w.now - n.acked; silent >= silentFrom {
			r.Silent = append(r.Silent, nomadish.NodePulse{NodeID: n.id, Silent: silent})
		}
	}
	r.Live = len(here) - len(r.Silent)
	s.told, s.ended, s.beats = here, nil, nil
	s.whole, _ = w.judge.tell(w.now-w.term, r)
	for _, b := range r.Beats {
		if v, wasDown := w.down[b.NodeID]; wasDown && v.Cause != "" {
			delete(w.down, b.NodeID)
		}
	}
}

// probe goes on with the probes that are under way, and tells of those that are over.
func (w *world) probe() {
	w.rounds = slices.DeleteFunc(w.rounds, func(p *probing) bool {
		s := w.servers[p.server]
		if p.tries < probeTries {
			p.tries++ // one in each step
			for _, n := range w.nodes {
				if slices.Contains(p.ids, n.id) && w.passes(s, n) {
					p.answered[n.id] = true
				}
			}
		}
		if w.now-p.began < probeTimeout {
			return false
		}
		if !w.awake(s) || !w.awake(w.servers[w.leader]) {
			return true
		}
		var results []nomadish.ProbeResult
		for _, id := range p.ids {
			results = append(results, nomadish.ProbeResult{NodeID: id, Answered: p.answered[id], Before: true})
		}
		w.judge.probedBy(w.now-w.term, p.began-w.term, s.id, results)
		return true
	})
}

func (w *world) judgeStep() {
	now := w.now - w.term
	probe, down := w.judge.step(now)
	free := w.judge.probers(now)
	busy := map[string]int{}
	for _, p := range w.rounds {
		busy[w.servers[p.server].id]++
	}
	free = slices.DeleteFunc(free, func(id string) bool { return busy[id] >= probesAtOnce })
	if len(probe) > 0 && len(free) > 0 {
		w.judge.given(now, probe)
		for _, id := range free {
			i := slices.IndexFunc(w.servers, func(s *machine) bool { return s.id == id })
			w.rounds = append(w.rounds, &probing{server: i, began: w.now, ids: probe, answered: map[string]bool{}})
		}
	}
	for _, v := range down {
		w.judge.marked(now, v.NodeID, 0)
		w.down[v.NodeID], w.at[v.NodeID] = v, w.now
	}
}
