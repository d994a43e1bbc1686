package evals

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// room collects the classes of nodes that got room, until blocked evaluations are let go.
type room struct {
	classes map[string]bool
	index   uint64
	flushed time.Time
}

// follow keeps the table up with the state and passes evaluations on.
func (s *session) follow(ctx context.Context, f *state.Follower) error {
	r := &room{classes: map[string]bool{}}
	for {
		changes, err := s.nextChanges(ctx, f, r)
		if ended(ctx, err) {
			return nil
		}
		switch {
		case err == nil:
			s.apply(changes, r)
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if len(r.classes) > 0 && time.Since(r.flushed) >= s.cfg.UnblockEvery {
			s.unblock(r)
		}
	}
}

// nextChanges waits for changes, but no longer than until room is to be given out.
func (s *session) nextChanges(ctx context.Context, f *state.Follower, r *room) (state.Changes, error) {
	if len(r.classes) == 0 {
		return f.Next(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, r.flushed.Add(s.cfg.UnblockEvery))
	defer cancel()
	return f.Next(ctx)
}

// apply takes over what one command changed. The table comes first, so that who sees an
// evaluation sees the room that it is about.
func (s *session) apply(c state.Changes, r *room) {
	now := s.cfg.Now().UnixNano()
	var evals []*nomadish.Evaluation
	for _, change := range c.Changes {
		switch change.Table {
		case state.TableNodes:
			s.nodeChanged(change, r)
		case state.TableAllocations:
			s.allocationChanged(change, r, now)
		case state.TableEvaluations:
			eval, _ := change.After.(*nomadish.Evaluation)
			if before, _ := change.Before.(*nomadish.Evaluation); eval == nil && before != nil {
				s.forget(before)
			}
			if eval != nil {
				evals = append(evals, eval)
			}
		case state.TableSchedulerConfig:
			if config, ok := change.After.(*nomadish.SchedulerConfiguration); ok && config != nil {
				s.broker.Pause(config.PauseEvalBroker)
			}
		}
	}
	r.index = c.Index
	s.table.Advance(c.Index)
	s.applied.reach(c.Index)
	for _, eval := range evals {
		s.offer(eval)
	}
}

func (s *session) nodeChanged(change state.Change, r *room) {
	before, _ := change.Before.(*nomadish.Node)
	after, _ := change.After.(*nomadish.Node)
	if after == nil {
		if before != nil {
			s.table.DeleteNode(before.ID)
		}
		return
	}
	s.table.PutNode(after)
	// Any change of a node that may be used can be what a job waits for: a driver that is
	// healthy again, an attribute, more memory.
	if after.Ready() {
		r.classes[after.ComputedClass] = true
	}
}

func (s *session) allocationChanged(change state.Change, r *room, now int64) {
	before, _ := change.Before.(*nomadish.Allocation)
	after, _ := change.After.(*nomadish.Allocation)
	switch {
	case after != nil:
		s.table.PutAllocation(after, now)
	case before != nil:
		s.table.DeleteAllocation(before.ID, now)
	}
	s.countLost(before, after)
	if before == nil || before.ClientTerminal() || after != nil && !after.ClientTerminal() {
		return
	}
	if n := s.table.Node(before.NodeID); n != nil && n.Ready() {
		r.classes[n.ComputedClass] = true
	}
}

// countLost counts allocations that are lost with their nodes, and what replaces them.
func (s *session) countLost(before, after *nomadish.Allocation) {
	if before == nil || after == nil {
		return
	}
	lost := after.ClientStatus == nomadish.AllocClientLost
	if lost && before.ClientStatus != nomadish.AllocClientLost {
		s.lost.Add(1)
	}
	if before.NextAllocation == "" && after.NextAllocation != "" && (lost || after.ClientStatus == nomadish.AllocClientUnknown) {
		s.replaced.Add(1)
	}
}

// unblock lets those blocked evaluations go that may find room now.
func (s *session) unblock(r *room) {
	s.release(s.blocked.Unblock(r.index, slices.Sorted(maps.Keys(r.classes))...))
	clear(r.classes)
	r.flushed = time.Now()
}

// unblockAll lets all blocked evaluations go: no class in particular got room.
func (s *session) unblockAll() {
	view := s.table.View()
	s.release(s.blocked.Unblock(view.Index(), ""))
}

// release offers evaluations that were blocked.
func (s *session) release(evals []*nomadish.Evaluation) {
	for _, eval := range evals {
		if err := s.broker.Enqueue(eval); err != nil {
			s.missed.Store(true)
			s.cfg.Logger.Warn("evaluation waits in the state alone", "eval_id", eval.ID, "err", err)
		}
	}
}

// progress is an index that only grows, and that may be waited for.
type progress struct {
	mu    sync.Mutex
	index uint64
	more  chan struct{}
}

func newProgress() *progress { return &progress{more: make(chan struct{})} }

func (p *progress) reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if index > p.index {
		p.index = index
		close(p.more)
		p.more = make(chan struct{})
	}
}

// wait returns once the index is reached.
func (p *progress) wait(ctx context.Context, index uint64) error {
	for {
		p.mu.Lock()
		at, more := p.index, p.more
		p.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
