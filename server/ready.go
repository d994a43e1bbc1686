package server

import (
	"context"
	"time"
)

// caughtUpAgain is the pause between two attempts to catch up.
const caughtUpAgain = 20 * time.Millisecond

// CaughtUp returns once this server's state has held, at any moment since its start, all that was
// acknowledged until then. Before that it knows no node by its secret, and thousands that come
// back would only keep it from reading its log.
func (s *Server) CaughtUp(ctx context.Context) error {
	for !s.caughtUp.Load() {
		err := s.Sync(ctx)
		if err == nil {
			s.caughtUp.Store(true)
			break
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(caughtUpAgain):
		}
	}
	return nil
}
