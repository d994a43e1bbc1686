package server

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/gossip"
	"github.com/nomadish/nomadish/server/leader/replicate"
)

// newReplicator makes what a region needs that is not the authoritative one. Without access control
// each region is its own.
func (s *Server) newReplicator(raft proposer) *replicate.Replicator {
	if !s.cfg.ACL.Enabled || s.cfg.Authoritative == s.cfg.Region || s.cfg.AskAuthoritative == nil {
		return nil
	}
	return replicate.New(replicate.Config{
		Region: s.cfg.Region, Authoritative: s.cfg.Authoritative, Now: s.cfg.Now, Logger: s.cfg.Logger,
	}, s.store, raft, s.keyring, s.cfg.AskAuthoritative)
}

// replicate replicates what all regions share. Only the leader runs it.
func (s *Server) replicate(ctx context.Context) error {
	if s.replicator == nil {
		<-ctx.Done()
		return nil
	}
	return s.replicator.Run(ctx)
}

// Replication tells how this region gets what all regions share. The leader knows.
func (s *Server) Replication(context.Context) (*nomadish.Replication, error) {
	if s.replicator == nil {
		return &nomadish.Replication{Region: s.cfg.Region, Authoritative: s.cfg.Region, Kinds: []*nomadish.ReplicationKind{}}, nil
	}
	return s.replicator.Status(), nil
}

// Members lists the servers of all regions that are known.
func (s *Server) Members() []gossip.Member {
	if s.cfg.Pool == nil {
		return nil
	}
	return s.cfg.Pool.Members()
}
