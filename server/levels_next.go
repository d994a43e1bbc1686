//go:build nextlevel

package server

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/server/fsm"
)

// leadNext writes the command of the next level as soon as the cluster speaks it, once in each term.
func (s *Server) leadNext(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for s.store.Reader().Level() < fsm.KindMark.Level() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	result, err := s.consensus.Propose(ctx, new(fsm.Mark))
	if err == nil {
		s.cfg.Logger.Info("a command of the next level is written", "index", result.Index)
	}
	<-ctx.Done()
	return nil
}
