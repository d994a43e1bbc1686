// Package drain empties nodes: on the leader, it has the allocations on nodes that drain leave
// them, and ends drains when nothing is left.
//
//	err := drain.New(drain.Config{}, store, raft).Run(ctx) // for one term
//
// What is to be done is decided by Decide from the state and the time alone. A new leader
// therefore goes on where another has stopped.
package drain

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Config of a Drainer.
type Config struct {
	Pace   time.Duration    // between two decisions, in which changes gather; default 50ms
	Retry  time.Duration    // after which a command that failed is tried again; default 1s
	Batch  int              // allocations or drains in one command; default 500
	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

// Drainer empties nodes. Only the leader runs it.
type Drainer struct {
	cfg   Config
	store *state.Store
	raft  Proposer
}

// New returns a drainer.
func New(cfg Config, store *state.Store, raft Proposer) *Drainer {
	cfg.Pace = cmp.Or(cfg.Pace, 50*time.Millisecond)
	cfg.Retry = cmp.Or(cfg.Retry, time.Second)
	cfg.Batch = cmp.Or(cfg.Batch, 500)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Drainer{cfg: cfg, store: store, raft: raft}
}

// Run empties nodes until ctx ends.
func (d *Drainer) Run(ctx context.Context) error {
	w := &watch{store: d.store}
	w.start()
	for {
		var next time.Time
		if len(w.draining) > 0 {
			var err error
			if next, err = d.pass(ctx); err != nil && ctx.Err() == nil {
				d.cfg.Logger.Warn("drain nodes", "err", err) // a later pass tries again
				next = d.cfg.Now().Add(d.cfg.Retry)
			}
		}
		err := w.wait(ctx, next, d.cfg)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pass does what is to be done now, and says when to look again at the latest.
func (d *Drainer) pass(ctx context.Context) (time.Time, error) {
	now := d.cfg.Now()
	todo := Decide(d.store.Reader(), now)
	evals := make([]*nomadish.Evaluation, len(todo.Jobs))
	for i, job := range todo.Jobs {
		at := now
		if job.Since.After(at) {
			at = job.Since
		}
		evals[i] = &nomadish.Evaluation{
			ID: nomadish.NewID(), Namespace: nomadish.Val(job.Namespace), JobID: nomadish.Val(job.ID),
			JobModifyIndex: nomadish.Val(job.JobModifyIndex), Type: nomadish.Val(job.Type), Priority: nomadish.Val(job.Priority),
			TriggeredBy: nomadish.EvalTriggerNodeDrain, Status: nomadish.EvalStatusPending,
			CreateTime: at.UnixNano(), ModifyTime: at.UnixNano(),
		}
	}
	// The evaluations go with the last of the marks: they are to see all of them.
	parts := slices.Collect(slices.Chunk(todo.Migrate, d.cfg.Batch))
	if len(parts) == 0 && len(evals) > 0 {
		parts = [][]string{nil}
	}
	for i, part := range parts {
		c := &fsm.TransitionAllocs{AllocIDs: part, Transition: nomadish.DesiredTransition{Migrate: nomadish.Ptr(true)}}
		if i == len(parts)-1 {
			c.Evals = evals
		}
		if _, _, err := d.raft.Propose(ctx, c); err != nil {
			return time.Time{}, err
		}
	}
	return todo.Next, errors.Join(d.finish(ctx, todo.Done, nil), d.finish(ctx, todo.Forced, map[string]string{"deadline_reached": "true"}))
}

// finish ends drains.
func (d *Drainer) finish(ctx context.Context, drains []fsm.FinishedDrain, details map[string]string) error {
	for part := range slices.Chunk(drains, d.cfg.Batch) {
		event := &nomadish.NodeEvent{Message: "Node drain complete", Subsystem: "Drain", Details: details}
		if _, _, err := d.raft.Propose(ctx, &fsm.FinishDrains{Drains: part, Event: event}); err != nil {
			return err
		}
	}
	return nil
}

// watch tells when something has changed that a decision may depend on.
type watch struct {
	store    *state.Store
	follower *state.Follower
	draining map[string]bool // nodes
}

// start follows the state from here on.
func (w *watch) start() {
	r, follower := w.store.Follow()
	w.follower, w.draining = follower, map[string]bool{}
	for n := range r.Nodes(nil) {
		if n.DrainStrategy != nil {
			w.draining[n.ID] = true
		}
	}
}

// wait returns a little after something has changed, or at a time unless that is zero.
func (w *watch) wait(ctx context.Context, next time.Time, cfg Config) error {
	if !next.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(next.Sub(cfg.Now()), cfg.Pace))
		defer cancel()
	}
	for {
		relevant, err := w.next(ctx)
		if err != nil {
			return err
		}
		if relevant {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Pace) // what comes now is seen in one go
	defer cancel()
	for ctx.Err() == nil {
		if _, err := w.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// next takes the next changes, and says whether a decision may depend on them. When ctx ends
// there are none.
func (w *watch) next(ctx context.Context) (relevant bool, err error) {
	changes, err := w.follower.Next(ctx)
	switch {
	case err == nil:
		return w.see(changes), nil
	case errors.Is(err, state.ErrLagged):
		w.start()
		return true, nil
	case ctx.Err() != nil:
		return false, nil
	}
	return false, err
}

// see says whether a decision may depend on what has changed.
func (w *watch) see(changes state.Changes) bool {
	relevant := false
	for _, c := range changes.Changes {
		switch c.Table {
		case state.TableNodes:
			relevant = w.seeNode(c) || relevant
		case state.TableAllocations, state.TableJobs:
			relevant = relevant || len(w.draining) > 0
		}
	}
	return relevant
}

func (w *watch) seeNode(c state.Change) bool {
	before, _ := c.Before.(*nomadish.Node)
	after, _ := c.After.(*nomadish.Node)
	if after == nil {
		if before != nil {
			delete(w.draining, before.ID)
		}
		return false
	}
	if after.DrainStrategy == nil {
		delete(w.draining, after.ID)
		return false
	}
	w.draining[after.ID] = true
	return before == nil || !after.DrainStrategy.Equal(before.DrainStrategy)
}
