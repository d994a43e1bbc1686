package consensus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
)

var errHandingOver = nomadish.Errorf(nomadish.KindNoLeader, "leadership is being handed over")

// TransferLeadership hands leadership over to a voter, or to the best one if id is empty, and returns when this
// server does not lead any more. Proposals are refused meanwhile, for two election time-outs at most; a server
// that has not taken over by then is an error, and this one leads on.
//
// Raft's own way is not taken: when it fails, a part of it may wait for ever for a follower that the leader has
// stopped to talk to, and the server then refuses all proposals whenever it leads.
func (c *Consensus) TransferLeadership(ctx context.Context, id string) error {
	l, _ := c.leadership()
	r := c.running()
	if r == nil || !l.leading {
		return c.errNotLeader()
	}
	if i := slices.IndexFunc(c.Peers(), func(p Peer) bool { return p.ID == id && p.Voter }); i < 0 && id != "" {
		return nomadish.Errorf(nomadish.KindInvalid, "server %q has no vote, so it can't lead", id)
	}
	if !c.handing.CompareAndSwap(false, true) {
		return errHandingOver
	}
	defer c.handing.Store(false)
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.ElectionTimeout)
	defer cancel()
	h := &handover{Consensus: c, raft: r, term: r.CurrentTerm()}
	id, err := h.awaitSuccessor(ctx, id)
	if err != nil {
		return err
	}
	return h.release(ctx, id)
}

// handover is one attempt of a leader to have another server lead.
type handover struct {
	*Consensus
	raft *raft.Raft
	term uint64
}

// over says whether this server has lost the lead, and returns a channel that is closed when that may change.
func (h *handover) over() (bool, <-chan struct{}) {
	now, changed := h.leadership()
	return !now.leading || now.ready && now.term != h.term, changed
}

// awaitSuccessor waits until the server, or the best one if id is empty, has all entries.
func (h *handover) awaitSuccessor(ctx context.Context, id string) (string, error) {
	for {
		to, has, more := h.answers.furthest(h.term, h.candidates(id), time.Now().Add(-2*h.cfg.HeartbeatTimeout))
		last := h.raft.LastIndex()
		if to != "" && has >= last {
			return to, nil
		}
		over, changed := h.over()
		if over {
			return "", h.errNotLeader()
		}
		select {
		case <-more:
		case <-changed:
		case <-h.dead:
			return "", errStopped
		case <-ctx.Done():
			if to == "" {
				return "", fmt.Errorf("hand over the lead: %s does not answer: %w", cmp.Or(id, "any other voter"), ctx.Err())
			}
			return "", fmt.Errorf("hand over the lead: server %s has %d of %d entries: %w", to, has, last, ctx.Err())
		}
	}
}

// candidates are the servers that could lead, or the one.
func (h *handover) candidates(id string) []string {
	var ids []string
	for _, p := range h.Peers() {
		if p.Voter && p.ID != h.cfg.ID && (id == "" || p.ID == id) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// release has a server ask for votes at once, and waits for it to get them.
func (h *handover) release(ctx context.Context, id string) error {
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(h.cfg.ID), Addr: []byte(h.cfg.ID),
	}}
	answer := make(chan error, 1)
	h.waiters.Go(func() {
		answer <- h.transport.TimeoutNow(raft.ServerID(id), raft.ServerAddress(id), req, &raft.TimeoutNowResponse{})
	})
	for {
		over, changed := h.over()
		if over {
			return nil
		}
		select {
		case err := <-answer:
			if err != nil {
				return fmt.Errorf("hand over the lead: ask server %s to lead: %w", id, err)
			}
			answer = nil
		case <-changed:
		case <-h.dead:
			return errStopped
		case <-ctx.Done():
			return fmt.Errorf("hand over the lead: server %s has not taken it: %w", id, ctx.Err())
		}
	}
}
