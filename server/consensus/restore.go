package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// restoreGap is how far beyond the log a restored state begins. Entries that get into the log while the
// state is made ready for its index must not reach it.
const restoreGap = 1 << 20

// Restore replaces the state of all servers by another one, which the caller has checked and gives away. It
// works on the leader only. What Lead called has returned before, and runs again afterwards; reads wait
// meanwhile. Once begun, it goes on when ctx ends.
//
// Indexes do not go back: everything in the new state has changed, as of an index past all that were
// acknowledged before. The result is an index at which the new state is every server's.
func (c *Consensus) Restore(ctx context.Context, next *state.Store) (uint64, error) {
	select {
	case c.restoring <- struct{}{}:
	default:
		return 0, nomadish.Errorf(nomadish.KindConflict, "another snapshot is being restored, or the server is stopping")
	}
	done := func() { <-c.restoring }
	held, term, err := c.suspend(ctx)
	if err != nil {
		done()
		return 0, err
	}
	type outcome struct {
		index uint64
		err   error
	}
	answer := make(chan outcome, 1)
	c.waiters.Go(func() {
		defer done()
		err := c.replace(next, term)
		c.resume(held)
		if err != nil {
			answer <- outcome{err: err}
			return
		}
		index, err := c.awaitTerm()
		answer <- outcome{index, err}
	})
	select {
	case a := <-answer:
		return a.index, a.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// replace has raft give a state to all servers.
func (c *Consensus) replace(next *state.Store, term uint64) error {
	r := c.running()
	present := c.machine.Store().Reader()
	base := state.Base{
		Index: max(r.LastIndex(), present.Index(), next.Reader().Index()) + restoreGap,
		Term:  term, Level: present.Level(), Time: c.cfg.Now(),
	}
	if err := next.Rebase(base); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	size := &counter{}
	if err := next.Reader().WriteSnapshot(size); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	in, out := io.Pipe()
	c.waiters.Go(func() { out.CloseWithError(next.Reader().WriteSnapshot(out)) })
	// Raft restores at the index after the one that it is told.
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: base.Index - 1, Size: size.n}
	err := c.ask(func() error { return r.Restore(meta, in, 0) })
	err = errors.Join(err, in.Close())
	switch {
	case err == nil:
		c.cfg.Logger.Info("a snapshot is restored", "index", base.Index)
		return nil
	case c.machine.Store().Reader().Index() >= base.Index:
		return fmt.Errorf("%w: restore: %w", ErrUnknownOutcome, err)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return c.errNotLeader()
	default:
		return fmt.Errorf("restore: %w", err)
	}
}

// ask waits for an answer of raft, which does not come any more once the disk has failed.
func (c *Consensus) ask(question func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- question() }()
	select {
	case err := <-answer:
		return err
	case <-c.dead:
		return errStopped
	}
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// suspend ends what Lead called, and keeps the term from going on until resume.
func (c *Consensus) suspend(ctx context.Context) (held, term uint64, err error) {
	c.mu.Lock()
	if !c.lead.ready {
		c.mu.Unlock()
		return 0, 0, c.errNotLeader()
	}
	term = c.lead.term
	c.replaceLeadership(leadership{leading: true, suspended: true})
	held = c.lead.round
	c.mu.Unlock()
	for {
		c.mu.Lock()
		terms, changed := c.terms, c.changed
		c.mu.Unlock()
		if terms == 0 {
			return held, term, nil
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-c.dead:
			err = errStopped
		}
		c.resume(held)
		return 0, 0, err
	}
}

// resume lets the term go on that suspend has kept from it, if it is not over.
func (c *Consensus) resume(held uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lead.round == held {
		c.replaceLeadership(leadership{leading: true})
	}
}

// awaitTerm returns the index with which this server's term goes on.
func (c *Consensus) awaitTerm() (uint64, error) {
	for {
		now, changed := c.leadership()
		switch {
		case now.ready:
			return now.start, nil
		case !now.leading:
			return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, c.errNotLeader())
		}
		select {
		case <-changed:
		case <-c.dead:
			return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, errStopped)
		}
	}
}
