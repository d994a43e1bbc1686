// Package liveness notices nodes that are gone: their machines answer nobody any more, or they
// have not renewed their leases.
//
// Every server runs a [Leases]: its Witness part tells the leader which nodes have sessions with
// this server, which of these are silent and whose heartbeats it took. On the leader its Run part
// judges by that, has servers probe the machines of nodes that seem to be gone, and marks nodes
// as down. What it decides is a function of what it was told and when: see judge.
package liveness

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Config of Leases.
type Config struct {
	ServerID string // of the server that this is

	MinTTL time.Duration // shortest lease; default 10s
	// Grace is how long after its lease a node is taken for down. Where it or MinTTL is set, no node
	// is before that. Default: 10s for a node of which nothing is known, AliveGrace for one whose
	// machine answers, and none for one whose machine is silent for SilentAfter.
	Grace       time.Duration
	AliveGrace  time.Duration // default 90s
	SilentAfter time.Duration // default 3s
	Exact       bool          // leases alone decide; implied by a Grace or MinTTL
	Failover    time.Duration // the lease of every node when a server becomes the leader; default 5m
	PerSec      float64       // heartbeats a second that leases are stretched to keep below; default 50

	Peers  Peers // default: leases alone decide
	Nodes  Nodes // default: none are probed
	Jitter func() float64
	Dial   Dial
	Logger *slog.Logger // default: discard
}

// Nodes returns those of the state that are not down, and an index that grows with each change of
// them; none when it is still the one given.
type Nodes func(since uint64) (nodes []Node, index uint64)

// Node is where a node can be probed.
type Node struct {
	ID   string
	Addr string // host:port; empty: nowhere
}

// Peers is what a server knows and asks of the other agents.
type Peers interface {
	// Pulses tells of the sessions that nodes have with this server.
	Pulses() []nomadish.NodePulse
	// Address returns where nodes reach another server.
	Address(server string) (addr string, err error)
	// Tell gives the leader, which is another server, a report.
	Tell(ctx context.Context, r *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error)
	// Neighbours has nodes that have sessions with this server, others than those of the IDs, see
	// whether the machines at addresses answer them. What it can't find out is false.
	Neighbours(ctx context.Context, ids, addrs []string) []bool
	// Probe has another server probe nodes.
	Probe(ctx context.Context, server string, ids []string) ([]nomadish.ProbeResult, error)
}

// Watcher is told of nodes that are gone.
type Watcher interface {
	// Down marks a node as down. If it may come back first, it returns for how long.
	Down(ctx context.Context, v *nomadish.NodeVerdict) (park time.Duration, err error)
	// Up is told that a node lives: another server took its heartbeat, or it was taken for down and has
	// a session again.
	Up(ctx context.Context, nodeID string) error
}

func (c Config) withDefaults() Config {
	c.Exact = c.Exact || c.Grace > 0 || c.MinTTL > 0
	c.MinTTL = cmp.Or(c.MinTTL, 10*time.Second)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.AliveGrace = cmp.Or(c.AliveGrace, 90*time.Second)
	c.SilentAfter = cmp.Or(c.SilentAfter, 3*time.Second)
	c.Failover = cmp.Or(c.Failover, 5*time.Minute)
	c.PerSec = cmp.Or(c.PerSec, 50)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Nodes == nil {
		c.Nodes = func(uint64) ([]Node, uint64) { return nil, 0 }
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	return c
}

// ttl is the shortest lease where there are so many nodes.
func (c Config) ttl(nodes int) time.Duration {
	return max(c.MinTTL, time.Duration(float64(nodes)/c.PerSec*float64(time.Second)))
}

// Times and bounds of judging.
const (
	tick         = 100 * time.Millisecond  // between two steps
	reportEvery  = 500 * time.Millisecond  // at most between two reports of a server
	lookEvery    = 100 * time.Millisecond  // at least between two looks at its sessions
	lookShare    = 500 * time.Microsecond  // and for each session that there is
	silentSoon   = 750 * time.Millisecond  // a session that was silent for so long is reported where there are few
	silentFrom   = 1100 * time.Millisecond // and where there are many, which only the kernel asks
	fewSessions  = 64
	askEvery     = time.Second             // after which the kernel asks whether the other machine is there
	staleAfter   = 2 * time.Second         // a server that told nothing for so long is not counted on
	sleptAfter   = 1500 * time.Millisecond // a pause of one's own after which what one saw counts for nothing
	settleAfter  = time.Second             // of a term, before nodes without a session are probed
	calmProbe    = time.Second             // between probes of a machine that answers without its agent
	probeTimeout = 300 * time.Millisecond  // of one probe
	vouchTimeout = 400 * time.Millisecond  // of what a neighbour is asked
	probeTries   = 3                       // connections that one probe tries
	probesAtOnce = 3                       // rounds of probes under way at a server
	retryAfter   = time.Second             // to mark a node that could not be marked
	lostFor      = 10 * time.Second        // how long a session that timed out counts against its server
	massAfter    = time.Second             // a node that was silent for so long counts when many are
	massLeast    = 3                       // fewer silent nodes are not many
	massShare    = 10                      // more than one in so many silent nodes are many
	maxProbes    = 64                      // nodes that are probed at a time
	maxProbers   = 3                       // servers that probe
	surveyEvery  = 200 * time.Millisecond  // between looks for nodes that were never probed
	surveyAgain  = 10 * time.Second        // before a node is probed again that did not answer
)

// Leases holds what this server knows of nodes: on the leader, the leases of all.
type Leases struct {
	cfg    Config
	prober *prober

	mu        sync.Mutex
	begun     time.Time
	judge     *judge // nil: this server does not lead
	watcher   Watcher
	pending   pending
	shares    shares
	silent    int           // sessions whose nodes did not answer at the newest look
	known     int           // nodes that are not down
	delivered time.Time     // when the leader last took a report
	notable   chan struct{} // poked when there is something to report
}

// New returns leases without nodes.
func New(cfg Config) *Leases {
	cfg = cfg.withDefaults()
	return &Leases{cfg: cfg, prober: newProber(cfg.Dial), pending: newPending(), notable: make(chan struct{}, 1)}
}

// Renew gives a node another lease and returns its length: the shortest, or what keeps the
// heartbeats of all nodes below the rate, and up to as much again at random. Where another server
// leads, it is told with the next report.
func (l *Leases) Renew(nodeID string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.known
	if l.judge != nil {
		n = max(n, len(l.judge.nodes))
	}
	ttl := l.cfg.ttl(n)
	ttl += time.Duration(l.cfg.Jitter() * float64(ttl))
	if l.judge != nil {
		l.judge.beat(l.now(), nodeID, ttl)
	} else {
		l.pending.beats[nodeID] = ttl
	}
	return ttl
}

// InTouch says whether the leader learns of leases that this server gives.
func (l *Leases) InTouch() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg.Peers == nil || l.judge != nil || time.Since(l.delivered) < l.cfg.SilentAfter
}

// Heard notes that neighbours of nodes say that these answer.
func (l *Leases) Heard(nodeIDs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range nodeIDs {
		l.pending.heard[id] = true
	}
}

// Holder returns the server that has a session with a node, as far as the leader knows.
func (l *Leases) Holder(nodeID string) (server string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.judge == nil {
		return "", false
	}
	server = l.judge.held.newest(nodeID)
	return server, server != "" && l.judge.fresh(l.now(), server)
}

// now is the time since the term began. The caller holds mu.
func (l *Leases) now() time.Duration { return time.Since(l.begun) }

// Run judges the nodes while this server leads. nodes are those that are not down when its term
// begins: each has the failover lease.
func (l *Leases) Run(ctx context.Context, nodes []string, w Watcher) error {
	l.begin(nodes, w)
	defer l.end()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &round{l: l, w: w, ctx: ctx, tasks: &tasks, busy: map[string]int{}}
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
			r.step()
		}
	}
}

func (l *Leases) begin(nodes []string, w Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun, l.watcher = time.Now(), w
	l.judge = newJudge(l.cfg, l.cfg.ServerID, nodes)
	l.pending.whole = true // also this server's own sessions
	l.poke()
}

func (l *Leases) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judge, l.watcher = nil, nil
	l.pending.whole = true
}

// poke has the next report made at once.
func (l *Leases) poke() {
	select {
	case l.notable <- struct{}{}:
	default:
	}
}

// round does what the judge's steps ask for, without holding it up.
type round struct {
	l     *Leases
	w     Watcher
	ctx   context.Context //nolint:containedctx // lives no longer than the call of Run whose it is
	tasks *sync.WaitGroup
	busy  map[string]int // rounds of probes under way, by server; guarded by l.mu
}

func (r *round) step() {
	l := r.l
	l.mu.Lock()
	now := l.now()
	probe, down := l.judge.step(now)
	var free []string
	if l.cfg.Peers != nil && len(probe) > 0 {
		for _, server := range l.judge.probers(now) {
			if r.busy[server] < probesAtOnce {
				free = append(free, server)
				r.busy[server]++
			}
		}
		if len(free) > 0 {
			l.judge.given(now, probe)
		}
	}
	l.mu.Unlock()
	for _, server := range free {
		r.tasks.Go(func() { r.probe(server, probe) })
	}
	if len(down) > 0 {
		r.tasks.Go(func() { r.mark(down) })
	}
}

// probeWithin bounds a server's answer to what it is to probe.
const probeWithin = 1500 * time.Millisecond

func (r *round) probe(server string, ids []string) {
	l := r.l
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, probeWithin)
	defer cancel()
	var results []nomadish.ProbeResult
	var err error
	if server == l.cfg.ServerID {
		results = l.Probe(ctx, ids)
	} else {
		results, err = l.cfg.Peers.Probe(ctx, server, ids)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.busy[server]--
	if err != nil {
		l.cfg.Logger.Debug("have nodes probed", "server", server, "err", err)
	} else if l.judge != nil {
		l.judge.probedBy(l.now(), began.Sub(l.begun), server, results)
	}
}

func (r *round) mark(down []nomadish.NodeVerdict) {
	l := r.l
	for _, v := range down {
		park, err := r.w.Down(r.ctx, &v)
		back := false
		l.mu.Lock()
		switch {
		case l.judge == nil:
		case err == nil:
			back = l.judge.marked(l.now(), v.NodeID, park)
		default:
			l.judge.unmarked(l.now(), v.NodeID)
		}
		l.mu.Unlock()
		if back {
			l.up(r.ctx, r.w, v.NodeID)
		}
		if err != nil && r.ctx.Err() == nil {
			l.cfg.Logger.Warn("mark node as down", "node", v.NodeID, "err", err)
		}
	}
}

// Told takes another server's report, on the leader.
func (l *Leases) Told(ctx context.Context, report *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error) {
	l.mu.Lock()
	if l.judge == nil {
		l.mu.Unlock()
		return nil, nomadish.Errorf(nomadish.KindNoLeader, "this server does not judge nodes")
	}
	w := l.watcher
	again, back := l.judge.tell(l.now(), report)
	answer := &nomadish.WitnessAnswer{Whole: again, Sessions: l.judge.sessions(l.now())}
	l.mu.Unlock()
	for _, b := range report.Beats {
		l.up(ctx, w, b.NodeID)
	}
	for _, id := range back {
		l.up(ctx, w, id)
	}
	return answer, nil
}

func (l *Leases) up(ctx context.Context, w Watcher, nodeID string) {
	if err := w.Up(ctx, nodeID); err != nil {
		l.cfg.Logger.Warn("take a node for back", "node", nodeID, "err", err) // its next heartbeat says so again
	}
}
