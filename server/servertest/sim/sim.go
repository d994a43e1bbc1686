// Package sim runs whole clusters of servers in a bubble of testing/synctest, over a network and disks in
// memory, while a schedule made of a seed breaks one thing after the other: links, machines, disks, clocks,
// membership. Client nodes and users work with the servers' own methods meanwhile. For a minute anything may
// break; then all is mended, and the cluster has to do what it was asked for.
//
//	report := sim.Run(t, sim.Config{Seed: 7})
//
// Everything that clients are told, and every change of every server's state, is held to these invariants:
//
//   - I1: no acknowledged write is lost, none that was refused is there, none happens twice; servers start
//     with the disks that they were left with, and end only when these fail.
//   - I2: variables and jobs are linearizable (checked with porcupine, by key; an outcome that nobody saw is
//     pending for ever); stale reads go forward; locks have one holder, and their fences go up.
//   - I3: in each term one server leads at most, no server's term goes back, and no plan of an earlier term
//     is carried out.
//   - I4: at the same index all servers have the same state, by hash, also after a restart, a snapshot, or
//     when the log is applied from its beginning; the log's time never goes back.
//   - I5: of each job and name one allocation is there at most; what has ended stays so; in the end every job
//     has what it asks for, on nodes that run that and nothing else.
//   - I6: no node gives away more than it has, or a port twice.
//   - I8: what has ended of deployments stays so.
//   - I11: once nothing breaks any more, every server takes writes, and wakes who waits.
//
// A run in which too little happened fails as well. A seed fixes the faults and what is asked for, not the
// order of goroutines. What stops when a server freezes is its network, its disk and its clock: in a bubble
// its goroutines can't be stopped.
package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/servertest"
)

// Config says what a run is like.
type Config struct {
	Seed    uint64
	Faults  time.Duration // of the phase in which things break; default 60s
	Failure string        // directory for the history of a run that failed; default: none is written
}

// Run runs one schedule and fails t when an invariant was violated, or too little happened.
func Run(t *testing.T, cfg Config) *Report {
	t.Helper()
	if cfg.Faults == 0 {
		cfg.Faults = time.Minute
	}
	w := &world{cfg: cfg, report: newReport(cfg.Seed), ledger: newLedger()}
	w.log = newLog(&w.kept)
	w.wrapper = secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))
	synctest.Test(t, func(*testing.T) { w.run() })
	w.judge()
	w.report.finish(w)
	for _, v := range w.report.Violations {
		t.Errorf("%s: %s", v.Invariant, v.What)
	}
	if len(w.report.Violations) > 0 && cfg.Failure != "" {
		t.Logf("SEED=%d: history in %s", cfg.Seed, w.writeHistory(t))
	}
	return w.report
}

// world is one run.
type world struct {
	cfg       Config
	began     time.Time
	ctx       context.Context // ends with the run
	net       *servertest.Network
	wrapper   secrets.Wrapper
	consensus consensus.Config // of every server
	founders  []string
	crashes   *rand.Rand    // of what power cuts lose
	delay     time.Duration // that messages take at most while nothing is wrong
	lives     atomic.Int64
	log       *slog.Logger
	kept      keeper
	ledger    *ledger
	history   history
	watchers  sync.WaitGroup
	calm      atomic.Bool // nothing breaks any more
	nodes     []*node
	owners    []*owner

	mu      sync.Mutex // guards what follows
	members []*member
	report  *Report
}

// rng returns a source of randomness of its own for each part.
func (w *world) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.cfg.Seed, stream)) }

// Streams of randomness.
const (
	streamShape = iota + 1
	streamNetwork
	streamCrashes
	streamFaults   // one for each hand that breaks things
	streamRegister = 100
	streamOwner    = 200
	streamLocker   = 300
	streamNode     = 400
)

// How much goes on.
const (
	registerClients = 6
	jobOwners       = 3
	lockClients     = 2
	nodeCount       = 6
)

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	w.ctx, w.began = ctx, time.Now()
	w.shape()
	var nodes, clients, sampler sync.WaitGroup
	for _, m := range w.all() {
		w.boot(m)
	}
	w.await("I11", "a first leader", 20*time.Second, func() error { return w.oneLeader() })
	for i := range nodeCount {
		n := newNode(w, i)
		w.nodes = append(w.nodes, n)
		nodes.Go(func() { n.run(ctx) })
	}
	working, stop := context.WithCancel(ctx)
	for i := range registerClients {
		clients.Go(func() { w.register(working, i) })
	}
	for i := range jobOwners {
		o := newOwner(w, i)
		w.owners = append(w.owners, o)
		clients.Go(func() { o.run(working) })
	}
	for i := range lockClients {
		clients.Go(func() { w.lock(working, i) })
	}
	sampler.Go(func() { w.sample(ctx) })
	w.breakThings()
	w.heal()
	w.live()
	stop()
	clients.Wait()
	w.settle()
	cancel()
	nodes.Wait()
	sampler.Wait()
	for _, m := range w.all() {
		w.stop(m)
	}
	w.watchers.Wait()
}

// shape makes the servers as the seed says.
func (w *world) shape() {
	rng := w.rng(streamShape)
	w.delay = 2 * time.Millisecond
	if rng.IntN(3) == 0 { // servers in several places
		w.delay = time.Duration(10+rng.IntN(20)) * time.Millisecond
	}
	w.net = servertest.NewNetwork(w.rng(streamNetwork), w.delay)
	w.crashes = w.rng(streamCrashes)
	size := 3
	if rng.IntN(4) == 0 {
		size = 5
	}
	w.consensus = consensus.Config{
		SnapshotThreshold: 200, TrailingEntries: 50, SnapshotInterval: 2 * time.Second, SegmentSize: 64 << 10,
	}
	if rng.IntN(3) == 0 { // the whole log stays, to be replayed
		w.consensus.SnapshotThreshold, w.consensus.TrailingEntries = 1<<30, 1<<30
	}
	for range size {
		m := w.add(true)
		m.isMember.Store(true)
		m.confirmed.Store(true)
		w.founders = append(w.founders, m.id)
	}
	w.report.Servers = size
}

// count notes that something has happened.
func (w *world) count(what string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Counts[what] += n
}

// violationsKept bounds what is told of one run.
const violationsKept = 20

// violate notes that an invariant does not hold.
func (w *world) violate(invariant, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	at := time.Since(w.began)
	w.log.Error("VIOLATION", "invariant", invariant, "what", what)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.report.Violations) < violationsKept {
		w.report.Violations = append(w.report.Violations, Violation{Invariant: invariant, What: what, At: at.String()})
	}
}

// await waits for something that has to come about, and says whether it has.
func (w *world) await(invariant, what string, within time.Duration, check func() error) bool {
	end := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return true
		}
		if time.Now().After(end) {
			w.violate(invariant, "waited %s for %s: %v", within, what, err)
			return false
		}
		pause(w.ctx, 20*time.Millisecond)
	}
}

// oneLeader says why there is no leader that all can ask.
func (w *world) oneLeader() error {
	if w.leader() == nil {
		return nomadish.Errorf(nomadish.KindNoLeader, "there is none")
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
