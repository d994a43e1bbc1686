// Package planner turns plans into allocations. Schedulers work side by side on snapshots, so
// two of them may give away the same room: the planner checks one plan after the other
// against what is free now, plans in flight included, with the same Fit that the schedulers
// used, and commits what still holds.
//
// While one log entry is being committed, the plans that come next are checked; all that are
// ready by then share the next entry.
package planner

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// Config sets the bounds of a Planner.
type Config struct {
	MaxQueued    int           // plans that may wait; default 1024
	EntrySize    int           // bytes of allocations that one log entry aims at; default 256 KiB
	MaxEntrySize int           // bytes that it never passes; default 960 KiB, which leaves room below 1 MiB
	RejectLimit  int           // rejections of a node within RejectWindow before it is left alone; default 15
	RejectWindow time.Duration // default 5m
	Exclusion    time.Duration // how long such a node is left alone; default 5m
	Now          func() time.Time
	Logger       *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	if c.MaxQueued <= 0 {
		c.MaxQueued = 1024
	}
	if c.EntrySize <= 0 {
		c.EntrySize = 256 << 10
	}
	if c.MaxEntrySize <= 0 {
		c.MaxEntrySize = 960 << 10
	}
	if c.RejectLimit <= 0 {
		c.RejectLimit = 15
	}
	if c.RejectWindow <= 0 {
		c.RejectWindow = 5 * time.Minute
	}
	if c.Exclusion <= 0 {
		c.Exclusion = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Part is what one log entry holds of one plan, in the order in which it is carried out.
type Part struct {
	EvalID    string
	Stopped   []*nomadish.Allocation
	Preempted []*nomadish.Allocation
	Placed    []*nomadish.Allocation // new, or updated in place
}

// Log commits the parts of plans in one entry, and returns its index once it is applied.
type Log interface {
	CommitPlans(ctx context.Context, parts []Part) (index uint64, err error)
}

// Planner is safe for concurrent use.
type Planner struct {
	cfg     Config
	table   *capacity.Table
	log     Log
	rejects *rejects

	mu    sync.Mutex
	queue []*submission
	more  chan struct{} // holds one token while the queue may have something
}

// submission is a plan on its way.
type submission struct {
	plan    *nomadish.Plan
	result  *nomadish.PlanResult
	flight  *capacity.Flight
	pending int // entries not committed yet
	err     error
	done    chan struct{}
}

// New returns a Planner that books in table, which its caller keeps up with the state.
func New(cfg Config, table *capacity.Table, log Log) *Planner {
	cfg = cfg.withDefaults()
	return &Planner{cfg: cfg, table: table, log: log, rejects: newRejects(cfg), more: make(chan struct{}, 1)}
}

// Submit has a plan checked and committed. When nodes were rejected, the result's RefreshIndex
// is set, and only the rest was committed.
func (p *Planner) Submit(ctx context.Context, plan *nomadish.Plan) (*nomadish.PlanResult, error) {
	s := &submission{plan: plan, done: make(chan struct{})}
	if err := p.enqueue(s); err != nil {
		return nil, err
	}
	select {
	case <-s.done:
		return s.result, s.err
	case <-ctx.Done():
		return nil, fmt.Errorf("plan of evaluation %s: %w", plan.EvalID, context.Cause(ctx))
	}
}

func (p *Planner) enqueue(s *submission) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) >= p.cfg.MaxQueued {
		return nomadish.Errorf(nomadish.KindLimited, "plan queue: max_queued is %d", p.cfg.MaxQueued)
	}
	p.queue = append(p.queue, s)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return nil
}

// next takes the most urgent plan, the oldest of equals, or returns nil.
func (p *Planner) next() *submission {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	best := 0
	for i, s := range p.queue {
		if s.plan.Priority > p.queue[best].plan.Priority {
			best = i
		}
	}
	s := p.queue[best]
	p.queue = slices.Delete(p.queue, best, best+1)
	return s
}

// Run checks and commits plans until ctx ends. It returns an error when it can't tell whether
// an entry was committed: the table is then in doubt, and has to be built again.
func (p *Planner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	entries := make(chan *entry)
	var committer sync.WaitGroup
	committer.Go(func() {
		for e := range entries {
			if err := p.commit(ctx, e); err != nil {
				cancel(err)
			}
		}
	})
	left := p.check(ctx, entries)
	close(entries)
	committer.Wait()
	for _, e := range left {
		p.settle(e, 0, context.Cause(ctx))
	}
	p.abandon(ctx)
	if err := context.Cause(ctx); err != nil && ctx.Err() != err {
		return err
	}
	return nil
}

// check checks plan after plan and hands entries to the committer as soon as that has time.
// When ctx ends it returns those that are left.
func (p *Planner) check(ctx context.Context, entries chan<- *entry) []*entry {
	var ready []*entry
	for ctx.Err() == nil {
		var out chan<- *entry
		var first *entry
		if len(ready) > 0 {
			out, first = entries, ready[0]
		}
		more := p.more
		if len(ready) > 1 {
			more = nil // enough is checked ahead
		}
		select {
		case <-ctx.Done():
		case out <- first:
			ready = ready[1:]
		case <-more:
			for s := p.next(); s != nil; s = p.next() {
				if ready = p.decide(s, ready); len(ready) > 1 {
					break
				}
			}
			p.remind()
		}
	}
	return ready
}

// remind lets the checker look again when plans are left.
func (p *Planner) remind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

// decide books what fits of a plan and adds it to the entries to be committed.
func (p *Planner) decide(s *submission, ready []*entry) []*entry {
	now := p.cfg.Now()
	flight, rejections := p.table.Book(s.plan, now.UnixNano())
	s.flight = flight
	s.result = &nomadish.PlanResult{
		NodeUpdate:      accepted(s.plan.NodeUpdate, rejections, s.plan.AllAtOnce),
		NodeAllocation:  accepted(s.plan.NodeAllocation, rejections, s.plan.AllAtOnce),
		NodePreemptions: accepted(s.plan.NodePreemptions, rejections, s.plan.AllAtOnce),
	}
	if len(rejections) > 0 {
		view := p.table.View()
		s.result.RefreshIndex = max(view.Index(), s.plan.SnapshotIndex, 1)
	}
	for _, r := range rejections {
		s.result.RejectedNodes = append(s.result.RejectedNodes, r.NodeID)
		p.rejects.note(r, now)
	}
	ready, s.err = p.pack(s, ready)
	if s.pending == 0 { // nothing of it is left, or it is too large
		p.table.Undo(flight, now.UnixNano())
		close(s.done)
	}
	return ready
}

// accepted leaves out the rejected nodes.
func accepted(part map[string][]*nomadish.Allocation, rejections []capacity.Rejection, allAtOnce bool) map[string][]*nomadish.Allocation {
	if len(rejections) == 0 {
		return part
	}
	if allAtOnce {
		return nil
	}
	kept := maps.Clone(part)
	for _, r := range rejections {
		delete(kept, r.NodeID)
	}
	return kept
}

// abandon answers the plans that were not looked at.
func (p *Planner) abandon(ctx context.Context) {
	for s := p.next(); s != nil; s = p.next() {
		s.err = fmt.Errorf("plan of evaluation %s: %w", s.plan.EvalID, context.Cause(ctx))
		close(s.done)
	}
}

// Excluded returns the nodes that are left alone for a while because plans for them were
// rejected again and again.
func (p *Planner) Excluded() map[string]bool { return p.rejects.excluded(p.cfg.Now()) }
