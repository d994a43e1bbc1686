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
	"github.com/nomadish/nomadish/server/fsm"
)

// Config sets the bounds of a Planner.
type Config struct {
	Term         uint64        // of the leader: plans of an earlier one are refused when they are applied
	MaxQueued    int           // plans that may wait; default 1024
	EntrySize    int           // bytes that one log entry aims at; default 256 KiB, which is less when it is packed
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

// Proposer commits a command and returns its index and what the state machine answered. An
// error that is no *nomadish.Error, or one of KindNoLeader or KindInternal, leaves open
// whether the command is carried out.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Planner is safe for concurrent use.
type Planner struct {
	cfg      Config
	table    *capacity.Table
	proposer Proposer
	rejects  *rejects

	mu    sync.Mutex
	queue []*submission
	more  chan struct{} // holds one token while the queue may have something
}

// submission is a plan on its way.
type submission struct {
	plan   *nomadish.Plan
	result *nomadish.PlanResult
	flight *capacity.Flight
	err    error
	done   chan struct{}
}

// New returns a Planner that books in table, which its caller keeps up with the state.
func New(cfg Config, table *capacity.Table, proposer Proposer) *Planner {
	cfg = cfg.withDefaults()
	return &Planner{cfg: cfg, table: table, proposer: proposer, rejects: newRejects(cfg), more: make(chan struct{}, 1)}
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
	p.wake()
	return nil
}

// wake lets the checker look at the queue.
func (p *Planner) wake() {
	select {
	case p.more <- struct{}{}:
	default: // it is about to look anyway
	}
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
	if len(p.queue) > 0 {
		p.wake()
	}
	return s
}

// Run checks and commits plans until ctx ends. It returns an error when it can't tell whether
// an entry was committed: the table is then in doubt, and has to be built again.
func (p *Planner) Run(ctx context.Context) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan []*submission)
	var committer sync.WaitGroup
	committer.Go(func() {
		for batch := range batches {
			if err := p.commit(work, batch); err != nil {
				cancel(err)
			}
		}
	})
	left := p.check(work, batches)
	close(batches)
	committer.Wait()
	for s := p.next(); s != nil; s = p.next() {
		left = append(left, s)
	}
	for _, s := range left {
		s.finish(context.Cause(work))
	}
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(work)
}

// check checks plan after plan, and hands those that are checked to the committer as soon as
// it has time. When ctx ends it returns those that are left.
func (p *Planner) check(ctx context.Context, batches chan<- []*submission) []*submission {
	var ready []*submission
	size := 0
	for {
		var out chan<- []*submission
		if len(ready) > 0 {
			out = batches
		}
		more := p.more
		if size > maxBatch {
			more = nil // enough is checked ahead
		}
		select {
		case <-ctx.Done():
			return ready
		case out <- ready:
			ready, size = nil, 0
		case <-more:
			if s := p.next(); s != nil && p.decide(s) {
				ready = append(ready, s)
				size += allocations(s.result)
			}
		}
	}
}

// maxBatch is how many allocations may be checked ahead of the log.
const maxBatch = 10_000

func allocations(r *nomadish.PlanResult) int {
	n := 0
	for _, part := range []map[string][]*nomadish.Allocation{r.NodeUpdate, r.NodeAllocation, r.NodePreemptions} {
		for _, list := range part {
			n += len(list)
		}
	}
	return n
}

// decide books what fits of a plan and says whether there is anything to commit. If not, the
// plan is answered.
func (p *Planner) decide(s *submission) bool {
	now := p.cfg.Now()
	flight, rejections := p.table.Book(s.plan, now.UnixNano())
	s.flight = flight
	s.result = &nomadish.PlanResult{
		NodeUpdate:      accepted(s.plan.NodeUpdate, rejections, s.plan.AllAtOnce),
		NodeAllocation:  accepted(s.plan.NodeAllocation, rejections, s.plan.AllAtOnce),
		NodePreemptions: accepted(s.plan.NodePreemptions, rejections, s.plan.AllAtOnce),
	}
	for _, r := range rejections {
		s.result.RejectedNodes = append(s.result.RejectedNodes, r.NodeID)
		p.rejects.note(r, now)
	}
	if len(rejections) > 0 {
		view := p.table.View()
		s.result.RefreshIndex = max(view.Index(), s.plan.SnapshotIndex, 1)
	}
	if allocations(s.result) > 0 {
		return true
	}
	s.finish(nil)
	return false
}

// finish answers a plan.
func (s *submission) finish(err error) {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("plan of evaluation %s: %w", s.plan.EvalID, err)
	}
	close(s.done)
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

// Excluded returns the nodes that are left alone for a while because plans for them were
// rejected again and again.
func (p *Planner) Excluded() map[string]bool { return p.rejects.excluded(p.cfg.Now()) }
