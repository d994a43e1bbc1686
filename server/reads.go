package server

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/server/leader/evals"
)

// Sync returns once this server's state holds every write that was acknowledged before the call.
func (s *Server) Sync(ctx context.Context) error {
	index, err := s.commitIndex(ctx)
	if err != nil {
		return err
	}
	return s.consensus.WaitIndex(ctx, index)
}

func (s *Server) commitIndex(ctx context.Context) (uint64, error) {
	if s.consensus.IsLeader() || s.cfg.AskLeader == nil {
		return s.CommitIndex(ctx)
	}
	return s.cfg.AskLeader(ctx)
}

// CommitIndex returns, on the leader, an index at or past all acknowledged writes.
func (s *Server) CommitIndex(ctx context.Context) (uint64, error) { return s.consensus.ReadIndex(ctx) }

// Contact says whether a leader is known, and when this server last heard of it.
func (s *Server) Contact() (knownLeader bool, lastContact time.Duration) {
	_, ok := s.consensus.Leader()
	return ok, s.consensus.SinceContact()
}

// Restored is the index at which the state was last replaced by a saved one; 0: never.
func (s *Server) Restored() uint64 { return s.store.Reader().Restored() }

// Evals returns what works on evaluations while this server leads.
func (s *Server) Evals() *evals.Evals { return s.evals }
