package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/logstore"
)

// ErrUnknownOutcome says that a command may or may not be carried out: it was handed to raft, and this
// server lost its leadership, its disk or its patience before it saw the end. Every other error of Propose
// means that the command is not carried out and never will be, or that it was and answered with that error.
var ErrUnknownOutcome = errors.New("outcome is unknown")

var errStopped = nomadish.Errorf(nomadish.KindNoLeader, "server is stopping")

// Result is what became of a command.
type Result struct {
	Index uint64 // the command's index in the log
	Value any    // what the state machine answered
}

// enqueueTimeout bounds the wait for raft to take a command, where the caller does not.
const enqueueTimeout = 10 * time.Second

// ProposeEntry commits an encoded command and applies it here, on the leader only. An error that the
// state machine answered comes back with the index.
func (c *Consensus) ProposeEntry(ctx context.Context, entry []byte) (Result, error) {
	if len(entry) > EntryLimit {
		return Result{}, nomadish.Errorf(nomadish.KindTooLarge, "command of %d bytes: more than %d", len(entry), EntryLimit)
	}
	r := c.running()
	if r == nil || r.State() != raft.Leader {
		return Result{}, c.errNotLeader()
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
		res := Result{Index: future.Index(), Value: future.Response()}
		if err, ok := res.Value.(error); ok {
			return Result{Index: res.Index}, err
		}
		return res, nil
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
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nomadish.Errorf(nomadish.KindNoLeader, "leadership is being handed over")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return nomadish.Errorf(nomadish.KindLimited, "too busy to take the command in time")
	case errors.Is(err, raft.ErrAbortedByRestore):
		return nomadish.Errorf(nomadish.KindConflict, "a snapshot was restored meanwhile")
	case errors.Is(err, logstore.ErrFull):
		return nomadish.Errorf(nomadish.KindLimited, "%w", err)
	default:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
}
