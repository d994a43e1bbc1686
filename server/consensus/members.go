package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
)

// Peer is a server of the cluster.
type Peer struct {
	ID    string
	Voter bool
}

// Peers returns the servers of the cluster, in the order in which they joined, as the newest configuration
// in this server's log has them.
func (c *Consensus) Peers() []Peer {
	r := c.running()
	if r == nil {
		return nil
	}
	var peers []Peer
	for _, s := range r.GetConfiguration().Configuration().Servers {
		peers = append(peers, Peer{ID: string(s.ID), Voter: s.Suffrage == raft.Voter})
	}
	return peers
}

// Bootstrap makes the named servers the voters of a new cluster. It fails if this server has data.
func (c *Consensus) Bootstrap(ctx context.Context, ids []string) error {
	return c.change(ctx, "bootstrap", func(r *raft.Raft) raft.Future { return r.BootstrapCluster(voters(ids)) })
}

// AddVoter adds a server, or gives one its vote. On the leader only, like what follows.
func (c *Consensus) AddVoter(ctx context.Context, id string) error {
	return c.change(ctx, "add voter "+id, func(r *raft.Raft) raft.Future {
		return r.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, enqueueTimeout)
	})
}

// AddNonvoter adds a server that follows without a vote.
func (c *Consensus) AddNonvoter(ctx context.Context, id string) error {
	return c.change(ctx, "add non-voter "+id, func(r *raft.Raft) raft.Future {
		return r.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, enqueueTimeout)
	})
}

// RemoveServer removes a server.
func (c *Consensus) RemoveServer(ctx context.Context, id string) error {
	return c.change(ctx, "remove server "+id, func(r *raft.Raft) raft.Future {
		return r.RemoveServer(raft.ServerID(id), 0, enqueueTimeout)
	})
}

// Snapshot writes a snapshot now.
func (c *Consensus) Snapshot(ctx context.Context) error {
	err := c.change(ctx, "snapshot", func(r *raft.Raft) raft.Future { return r.Snapshot() })
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// RenewSnapshots writes a snapshot, and removes the older ones: the state that they hold was wrong.
func (c *Consensus) RenewSnapshots(ctx context.Context) error {
	err := c.change(ctx, "snapshot", func(r *raft.Raft) raft.Future { return r.Snapshot() })
	if err != nil {
		return err
	}
	return c.snaps.reap(1)
}

// change asks raft for something and waits for its answer as long as the caller wants to.
func (c *Consensus) change(ctx context.Context, what string, ask func(*raft.Raft) raft.Future) error {
	r := c.running()
	if r == nil {
		return errStopped
	}
	if c.handing.Load() {
		return errHandingOver
	}
	done := make(chan error, 1)
	c.waiters.Go(func() { done <- ask(r).Error() })
	var err error
	select {
	case err = <-done:
	case <-c.dead:
		err = errStopped
	case <-ctx.Done():
		err = ctx.Err()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return c.errNotLeader()
	case errors.Is(err, raft.ErrCantBootstrap):
		return nomadish.Errorf(nomadish.KindConflict, "%s: this server has data already", what)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

// voters makes a configuration. A server's address is its ID: the network knows where it is.
func voters(ids []string) raft.Configuration {
	var conf raft.Configuration
	for _, id := range ids {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return conf
}

// isLoneVoter says whether this server is the whole electorate.
func (c *Consensus) isLoneVoter(r *raft.Raft) bool {
	n, self := 0, false
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			n++
			self = self || string(s.ID) == c.cfg.ID
		}
	}
	return n == 1 && self
}

func (c *Consensus) isPeer(id string) bool {
	return slices.ContainsFunc(c.Peers(), func(p Peer) bool { return p.ID == id })
}
