package consensus

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
)

// read is a caller of ReadIndex.
type read struct{ answer chan readAnswer }

type readAnswer struct {
	index uint64
	err   error
}

// ReadIndex returns the index of the newest command that was committed when it was called, or of a newer
// one: state that includes it includes every command that was acknowledged before the call. It works on the
// leader only, which asks a majority whether it still is; callers that wait at the same time share the question.
func (c *Consensus) ReadIndex(ctx context.Context) (uint64, error) {
	if r := c.running(); r == nil || r.State() != raft.Leader {
		return 0, c.errNotLeader()
	}
	q := &read{answer: make(chan readAnswer, 1)}
	select {
	case c.reads <- q:
	default:
		return 0, nomadish.Errorf(nomadish.KindLimited, "%d reads wait already", cap(c.reads))
	}
	select {
	case a := <-q.answer:
		return a.index, a.err
	case <-c.dead:
		return 0, errStopped
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// WaitIndex returns once this server has applied the command at index, or a newer one.
func (c *Consensus) WaitIndex(ctx context.Context, index uint64) error {
	store := c.machine.Store()
	if store.Reader().Index() >= index {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-c.dead:
			cancel(errStopped)
		case <-ctx.Done():
		}
	})
	err := store.WaitIndex(ctx, index)
	cancel(nil)
	watch.Wait()
	return err
}

// answerReads answers all callers that wait, then those that came meanwhile.
func (c *Consensus) answerReads(ctx context.Context, r *raft.Raft) {
	for {
		var batch []*read
		select {
		case q := <-c.reads:
			batch = append(batch, q)
		case <-ctx.Done():
			return // the callers see that the server is dead
		}
		for more := true; more; {
			select {
			case q := <-c.reads:
				batch = append(batch, q)
			default:
				more = false
			}
		}
		index, err := c.confirm(ctx, r)
		for _, q := range batch {
			q.answer <- readAnswer{index, err}
		}
	}
}

// confirm returns the index of the newest committed command, if this server leads now.
func (c *Consensus) confirm(ctx context.Context, r *raft.Raft) (uint64, error) {
	l, changed := c.leadership()
	for l.leading && !l.ready {
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, errStopped
		}
		l, changed = c.leadership()
	}
	if !l.ready {
		return 0, c.errNotLeader()
	}
	index := max(l.start, c.log.LastOfType(raft.LogCommand, r.CommitIndex()))
	if err := c.verify(r, l); err != nil {
		return 0, err
	}
	return index, nil
}

// verify asks a majority whether this server still leads in the term of l. Raft's own check is not enough: it
// takes the answer to a question that was on its way before, which is as old as a pause of this machine was
// long, and counts servers that have no vote. It is made nevertheless, since it has raft ask at once.
func (c *Consensus) verify(r *raft.Raft, l leadership) error {
	round := c.answers.begin()
	done := make(chan error, 1)
	go func() { done <- r.VerifyLeader().Error() }()
	select {
	case err := <-done:
		if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) {
			return c.errNotLeader()
		}
		if err != nil {
			return err
		}
	case <-c.dead: // raft's main goroutine may be gone with its disk, and never answer
		return errStopped
	}
	for {
		now, changed := c.leadership()
		if now.round != l.round {
			return c.errNotLeader()
		}
		enough, more := c.answers.enough(l.term, round, c.Peers(), c.cfg.ID)
		if enough {
			return nil
		}
		select {
		case <-more:
		case <-changed:
		case <-c.dead:
			return errStopped
		}
	}
}
