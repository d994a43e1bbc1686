// Package evals answers evaluations on the leader. From when leadership begins it follows the
// state's changes: it keeps the table of free capacity, feeds pending evaluations to the
// broker, holds blocked ones until a node gets room, and has workers ask the scheduler and
// submit what it says to the planner.
//
//	e := evals.New(evals.Config{}, store, proposer)
//	err := e.Run(ctx) // from when leadership begins until it ends
//
// Nothing here is kept: all that matters is in the state, and Run begins from there.
package evals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/broker"
	"github.com/nomadish/nomadish/server/capacity"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/planner"
	"github.com/nomadish/nomadish/server/state"
)

// Config sets how evaluations are worked on.
type Config struct {
	Workers      int            // that schedule side by side; default one less than the cores, at least 1
	Broker       broker.Config  // Now is taken from this Config
	Planner      planner.Config // Term, Now and Logger are set by Run
	MaxAttempts  int            // plans without progress before an evaluation is put off; default 5
	UnblockEvery time.Duration  // how often blocked evaluations are let go at most; default 100ms
	RetryFailed  time.Duration  // before an evaluation that failed is tried anew; default 1m
	Now          func() time.Time
	Logger       *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	if c.Workers <= 0 {
		c.Workers = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	if c.MaxAttempts <= 0 {
		c.MaxAttempts = 5
	}
	if c.UnblockEvery <= 0 {
		c.UnblockEvery = 100 * time.Millisecond
	}
	if c.RetryFailed <= 0 {
		c.RetryFailed = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Broker.Now, c.Planner.Now, c.Planner.Logger = c.Now, c.Now, c.Logger
	return c
}

// Proposer commits commands; see planner.Proposer.
type Proposer = planner.Proposer

// Evals works on evaluations while Run runs.
type Evals struct {
	cfg      Config
	store    *state.Store
	proposer Proposer
	current  atomic.Pointer[session]
	lost     atomic.Uint64 // allocations
	replaced atomic.Uint64 // of those
	crew     atomic.Pointer[crew]
}

// New returns an Evals that does nothing yet.
func New(cfg Config, store *state.Store, proposer Proposer) *Evals {
	e := &Evals{cfg: cfg.withDefaults(), store: store, proposer: proposer}
	e.crew.Store(&crew{workers: e.cfg.Workers, types: jobTypes, changed: make(chan struct{})})
	return e
}

// restartPause is the time between two tries to begin from the state.
const restartPause = 250 * time.Millisecond

// Run works on evaluations until ctx ends. When it loses track, of the state's changes or of
// what became of a plan, it begins again from the state.
func (e *Evals) Run(ctx context.Context) error {
	for {
		err := e.session(ctx)
		e.current.Store(nil)
		if ctx.Err() != nil {
			return nil
		}
		e.cfg.Logger.Warn("evaluations: begin again from the state", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartPause):
		}
	}
}

// session is one run from a state onwards.
type session struct {
	*Evals
	table   *capacity.Table
	broker  *broker.Broker
	blocked *broker.Blocked
	planner *planner.Planner
	applied *progress
	missed  atomic.Bool // the broker was full: some evaluations are only in the state
}

func (e *Evals) session(ctx context.Context) error {
	// All that an earlier session proposed is applied, or never will be, once this is.
	index, _, err := e.proposer.Propose(ctx, &fsm.Barrier{})
	if err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	if err := e.store.WaitIndex(ctx, index); err != nil {
		return err
	}
	reader, follower := e.store.Follow()
	s := &session{Evals: e, table: capacity.New(), applied: newProgress()}
	s.broker = broker.New(e.cfg.Broker)
	s.blocked = broker.NewBlocked(e.cfg.Broker.MaxWaiting, reader.Index())
	plans := e.cfg.Planner
	plans.Term = reader.Term()
	s.planner = planner.New(plans, s.table, e.proposer)
	s.load(reader)
	e.current.Store(s)
	parts := []lifecycle.Part{
		s.broker.Run,
		s.planner.Run,
		func(ctx context.Context) error { return s.follow(ctx, follower) },
		s.reap,
		s.reapFailed,
		s.rescan,
	}
	return lifecycle.Run(ctx, append(parts, s.workers)...)
}

// load takes over the state as it is.
func (s *session) load(r state.Reader) {
	fill(s.table, r, s.cfg.Now().UnixNano())
	s.applied.reach(r.Index())
	s.broker.Pause(r.SchedulerConfig(nil).PauseEvalBroker)
	for eval := range r.Evaluations(nil) {
		s.offer(eval)
	}
}

// fill makes a table of what the state says of nodes and allocations.
func fill(t *capacity.Table, r state.Reader, now int64) {
	for n := range r.Nodes(nil) {
		t.PutNode(n)
	}
	for a := range r.Allocations(nil) {
		t.PutAllocation(a, now)
	}
	t.Advance(r.Index())
}

// offer gives an evaluation to whom it belongs.
func (s *session) offer(eval *nomadish.Evaluation) {
	var err error
	switch eval.Status {
	case nomadish.EvalStatusPending:
		err = s.broker.Enqueue(eval)
	case nomadish.EvalStatusBlocked:
		var duplicate *nomadish.Evaluation
		var now bool
		duplicate, now, err = s.blocked.Block(eval)
		if duplicate != nil {
			s.broker.Supersede(duplicate)
		}
		if now {
			err = s.broker.Enqueue(eval)
		}
	default:
		s.forget(eval)
	}
	if err != nil {
		s.missed.Store(true)
		s.cfg.Logger.Warn("evaluation waits in the state alone", "eval_id", eval.ID, "err", err)
	}
}

// forget drops an evaluation that is over.
func (s *session) forget(eval *nomadish.Evaluation) {
	s.broker.Remove(eval.ID)
	s.blocked.Forget(eval)
}

// rescanEvery is how often evaluations that found the broker full are offered again.
const rescanEvery = 30 * time.Second

// rescan offers what the broker had no room for.
func (s *session) rescan(ctx context.Context) error {
	tick := time.NewTicker(rescanEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.missed.CompareAndSwap(true, false) {
			for eval := range s.store.Reader().Evaluations(nil) {
				if !eval.Terminal() {
					s.offer(eval)
				}
			}
		}
	}
}

// Stats says how many evaluations are where, which is nowhere while Run does not run, and what became
// of allocations whose nodes went away while this server led.
type Stats struct {
	broker.Stats
	Blocked  int
	Lost     uint64 // allocations that were lost with their nodes
	Replaced uint64 // those, or ones that are still away, that have a replacement
}

// Stats returns how many evaluations are where.
func (e *Evals) Stats() Stats {
	out := Stats{Lost: e.lost.Load(), Replaced: e.replaced.Load()}
	if s := e.current.Load(); s != nil {
		out.Stats, out.Blocked = s.broker.Stats(), s.blocked.Len()
	}
	return out
}

// View returns what every node has free, plans in flight included; ok is false while Run
// does not run.
func (e *Evals) View() (view capacity.View, ok bool) {
	s := e.current.Load()
	if s == nil {
		return capacity.View{}, false
	}
	return s.table.View(), true
}

// ended says that err only tells that ctx has ended.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err()))
}
