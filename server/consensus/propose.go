package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/fsm"
)

// ErrUnknownOutcome says that a command may or may not be carried out: it was handed to raft, and this
// server lost its leadership, its disk or its patience before it saw the end. Every other error of Propose
// means that the command is not carried out and never will be, or that it was and answered with that error.
var ErrUnknownOutcome error = nomadish.ErrUnknownOutcome

var errStopped = nomadish.Errorf(nomadish.KindNoLeader, "server is stopping")

// Result is what became of a command.
type Result struct {
	Index uint64 // the command's index in the log
	Value any    // what it answered
}

// enqueueTimeout bounds the wait for raft to take a command, where the caller does not.
const enqueueTimeout = 10 * time.Second

// Propose commits a command and applies it here; it works on the leader only. An error that the command
// answered comes back with the index.
func (c *Consensus) Propose(ctx context.Context, command fsm.Command) (Result, error) {
	return c.ProposeRequest(ctx, "", command)
}

// ProposeRequest is Propose for a request that may be made more than once: the command is carried out the
// first time only, and later ones get the first one's answer.
func (c *Consensus) ProposeRequest(ctx context.Context, requestID string, command fsm.Command) (Result, error) {
	if !c.log.reserve.isFull() {
		return c.propose(ctx, requestID, command)
	}
	if !c.IsLeader() {
		return Result{}, c.errNotLeader()
	}
	if requestID == "" {
		return Result{}, c.errNoSpace()
	}
	return c.answered(ctx, requestID, command)
}

// answered is for a request that can't be carried out now, but may have been: who makes it again has not got
// the answer, and must not be told that nothing was done.
func (c *Consensus) answered(ctx context.Context, requestID string, command fsm.Command) (Result, error) {
	index, err := c.ReadIndex(ctx)
	if err == nil {
		err = c.WaitIndex(ctx, index)
	}
	if err != nil {
		return Result{}, err
	}
	result, ok, err := fsm.Answered(c.machine.Store().Reader(), requestID, command)
	switch {
	case err != nil:
		return Result{}, err
	case !ok:
		return Result{}, c.errNoSpace()
	}
	return Result{Index: result.Index, Value: result.Value}, result.Err
}

// propose proposes also what a full disk has reserved its space for.
func (c *Consensus) propose(ctx context.Context, requestID string, command fsm.Command) (Result, error) {
	entry, err := fsm.Encode(command, requestID, c.cfg.Now())
	if err != nil {
		return Result{}, err
	}
	r := c.running()
	if r == nil || r.State() != raft.Leader {
		return Result{}, c.errNotLeader()
	}
	if c.handing.Load() {
		return Result{}, errHandingOver
	}
	select {
	case c.proposals <- struct{}{}:
	case <-c.dead:
		return Result{}, errStopped
	case <-ctx.Done():
		return Result{}, nomadish.Errorf(nomadish.KindLimited, "%d proposals are under way: %w", cap(c.proposals), ctx.Err())
	}
	return c.apply(ctx, r, entry)
}

// apply hands an entry to raft and waits as long as the caller wants to; raft's answer is then waited for
// without the caller, and takes no longer than the leader's lease.
func (c *Consensus) apply(ctx context.Context, r *raft.Raft, entry []byte) (Result, error) {
	wait := enqueueTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Until(deadline), 1)
	}
	done := make(chan raft.ApplyFuture, 1)
	c.waiters.Go(func() {
		defer func() { <-c.proposals }()
		future := r.Apply(entry, wait)
		_ = future.Error() // kept by the future
		done <- future
	})
	select {
	case future := <-done:
		if err := future.Error(); err != nil {
			return Result{}, c.proposalError(err)
		}
		res, ok := future.Response().(fsm.Result)
		if !ok {
			return Result{}, fmt.Errorf("%w: state machine answered %T", ErrUnknownOutcome, future.Response())
		}
		if errors.Is(res.Err, fsm.ErrStopped) {
			return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, res.Err)
		}
		return Result{Index: res.Index, Value: res.Value}, res.Err
	case <-c.dead:
		return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, errStopped)
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// proposalError tells the errors with which raft refuses a command from those that leave it open.
func (c *Consensus) proposalError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return c.errNotLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return nomadish.Errorf(nomadish.KindLimited, "too busy to take the command in time")
	case errors.Is(err, raft.ErrAbortedByRestore):
		return nomadish.Errorf(nomadish.KindConflict, "a snapshot was restored meanwhile")
	case errors.Is(err, logstore.ErrFull):
		return c.errNoSpace()
	default:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
}
