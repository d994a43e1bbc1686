package server

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/bootstrap"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/gossip"
	"github.com/nomadish/nomadish/server/leader/members"
)

// Pool knows the servers of all regions.
type Pool interface {
	Members() []gossip.Member
	Changed() <-chan struct{}
	Since(id string) time.Duration // for which a member has its status
	// Update changes what this server tells the others of itself.
	Update(ctx context.Context, change func(*gossip.Member)) error
}

// joinPool makes what a server of several needs.
func (s *Server) joinPool() {
	if s.cfg.Pool == nil {
		return
	}
	s.bootstrap = bootstrap.New(bootstrap.Config{
		ID: s.cfg.ID, Region: s.cfg.Region, Expect: s.cfg.Expect, Logger: s.cfg.Logger,
	}, beginner{s.consensus}, s.cfg.Pool, s.cfg.AskBootstrap)
	c := s.cfg.Members
	c.ID, c.Region, c.Now, c.Logger = s.cfg.ID, s.cfg.Region, s.cfg.Now, s.cfg.Logger
	c.Cluster, c.Ask = s.consensus.Cluster, s.askServer
	c.Wanted = func() *nomadish.AutopilotConfiguration { return s.store.Reader().Autopilot(nil) }
	s.keeper = members.New(c, s.consensus, s.cfg.Pool, s.autopilot)
}

// beginner is consensus as bootstrap knows it.
type beginner struct{ *consensus.Consensus }

// HasState says whether this server belongs to a cluster.
func (b beginner) HasState() bool { return len(b.Peers()) > 0 }

// pooled runs what a server of several does besides, until ctx ends.
func (s *Server) pooled(ctx context.Context) error {
	if s.cfg.Pool == nil {
		<-ctx.Done()
		return nil
	}
	return lifecycle.Run(ctx, s.fetchWrapKey, s.announce, func(ctx context.Context) error {
		if err := s.bootstrap.Run(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// keepMembers has the cluster consist of the servers that the pool knows. Only the leader runs it.
func (s *Server) keepMembers(ctx context.Context) error {
	if s.keeper == nil {
		<-ctx.Done()
		return nil
	}
	return s.keeper.Run(ctx)
}

// announceEvery is the time between two looks at whether this server belongs to a cluster.
const announceEvery = 500 * time.Millisecond

// announce tells the pool whether this server belongs to a cluster, and to which.
func (s *Server) announce(ctx context.Context) error {
	for {
		has, cluster := beginner{s.consensus}.HasState(), s.consensus.Cluster()
		err := s.cfg.Pool.Update(ctx, func(m *gossip.Member) { m.HasState, m.Cluster = has, cluster })
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.Debug("the pool is not told of this server's cluster", "err", err)
		}
		if lifecycle.Sleep(ctx, announceEvery) != nil {
			return nil
		}
	}
}

// OfferBootstrap answers another server that wants to begin a cluster with this one.
func (s *Server) OfferBootstrap(_ context.Context, o *nomadish.BootstrapOffer) (*nomadish.BootstrapAnswer, error) {
	if s.bootstrap == nil {
		return &nomadish.BootstrapAnswer{Reason: "it is a cluster of its own"}, nil
	}
	return s.bootstrap.Offer(o), nil
}
