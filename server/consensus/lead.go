package consensus

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// leadership is what this server knows of its own.
type leadership struct {
	round   uint64 // goes up with each change
	leading bool   // raft made it the leader
	// suspended: its term does not go on before a snapshot is restored.
	suspended bool
	ready     bool   // a command of this term is applied, and with it all of earlier terms
	term      uint64 // set when ready
	start     uint64 // index of the term's first command, set when ready
}

// retryBegin is the time after which a leader tries again to begin its term.
const retryBegin = 50 * time.Millisecond

// leadership returns the current one, and a channel that is closed when it changes.
func (c *Consensus) leadership() (leadership, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lead, c.changed
}

// setLeadership replaces it. If next is ready, it takes effect only in the round that it is about.
func (c *Consensus) setLeadership(next leadership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.ready && next.round != c.lead.round {
		return
	}
	c.replaceLeadership(next)
}

// replaceLeadership is for who has locked mu.
func (c *Consensus) replaceLeadership(next leadership) {
	next.round = c.lead.round + 1
	c.lead = next
	c.tell()
}

// tell wakes who waits for changed, for who has locked mu.
func (c *Consensus) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// follow notes what raft says. It never blocks, since raft waits for it.
func (c *Consensus) follow(ctx context.Context, notify <-chan bool) {
	for {
		select {
		case leading := <-notify:
			c.setLeadership(leadership{leading: leading})
		case <-ctx.Done():
			c.setLeadership(leadership{})
			return
		}
	}
}

// beginTerms begins each term of this server's with a command: once that is applied, so is everything
// that was acknowledged before, and the server may answer reads and lead.
func (c *Consensus) beginTerms(ctx context.Context) {
	for {
		now, changed := c.leadership()
		var retry <-chan time.Time
		if now.leading && !now.ready && !now.suspended {
			if err := c.beginTerm(ctx, now); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("begin term", "err", err)
			}
			retry = time.After(retryBegin)
		}
		select {
		case <-changed:
		case <-retry:
		case <-ctx.Done():
			return
		}
	}
}

// beginTerm proposes the term's first command. It names the term, so that the state knows which plans are
// of earlier ones; if another term came in between, the command is of no use and the caller tries again.
func (c *Consensus) beginTerm(ctx context.Context, seen leadership) error {
	r := c.running()
	if r == nil {
		return nil
	}
	term := r.CurrentTerm()
	res, err := c.propose(ctx, "", &fsm.TermStart{Term: term, ClusterID: nomadish.NewID()})
	if err != nil {
		return err
	}
	var l raft.Log
	if err := c.log.Store.GetLog(res.Index, &l); err != nil {
		return fmt.Errorf("read entry %d: %w", res.Index, err)
	}
	if l.Term == term {
		c.setLeadership(leadership{round: seen.round, leading: true, ready: true, term: term, start: res.Index})
	}
	return nil
}

// Lead calls run each time this server becomes the leader and has applied all that was acknowledged
// before. The context that run gets ends with the leadership. Lead returns when ctx has ended or run has
// failed, and only after run returned.
func (c *Consensus) Lead(ctx context.Context, run func(ctx context.Context, term uint64) error) error {
	for {
		now, changed := c.leadership()
		if now.ready {
			if err := c.leadTerm(ctx, now, run); err != nil {
				return err
			}
			now, changed = c.waitTerm(ctx, now)
		}
		if now.ready {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// leadTerm calls run for one term.
func (c *Consensus) leadTerm(ctx context.Context, l leadership, run func(context.Context, uint64) error) error {
	if !c.enterTerm(l) {
		return nil
	}
	defer c.leaveTerm()
	inner, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.waitTerm(inner, l)
		cancel()
	}()
	defer func() {
		cancel()
		<-ended
	}()
	return run(inner, l.term)
}

// enterTerm counts a call of run, unless leadership is no longer l.
func (c *Consensus) enterTerm(l leadership) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lead.round != l.round {
		return false
	}
	c.terms++
	return true
}

func (c *Consensus) leaveTerm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.terms--
	c.tell()
}

// waitTerm returns when leadership is no longer l, or ctx has ended.
func (c *Consensus) waitTerm(ctx context.Context, l leadership) (leadership, <-chan struct{}) {
	for {
		now, changed := c.leadership()
		if now.round != l.round {
			return now, changed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return leadership{}, changed
		}
	}
}

// IsLeader says whether this server leads and has applied all that was acknowledged before its term.
func (c *Consensus) IsLeader() bool {
	now, _ := c.leadership()
	return now.ready
}

// Term returns the term in which this server leads, or 0.
func (c *Consensus) Term() uint64 {
	now, _ := c.leadership()
	return now.term
}

// CurrentTerm returns the newest term that this server knows of; before Run it is 0.
func (c *Consensus) CurrentTerm() uint64 {
	if r := c.running(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// SinceContact is how long ago this server last heard of the leader: nothing on the leader
// itself, and since ever (the longest time there is) where there was none.
func (c *Consensus) SinceContact() time.Duration {
	r := c.running()
	switch {
	case r == nil:
		return math.MaxInt64
	case r.State() == raft.Leader:
		return 0
	}
	at := r.LastContact()
	if at.IsZero() {
		return math.MaxInt64
	}
	return time.Since(at)
}

// Leader returns the ID of the server that leads, as far as this one knows.
func (c *Consensus) Leader() (id string, ok bool) {
	r := c.running()
	if r == nil {
		return "", false
	}
	_, leader := r.LeaderWithID()
	return string(leader), leader != ""
}
