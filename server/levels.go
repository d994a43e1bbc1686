package server

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// serverLevels asks all servers which levels they can speak. One that is down may be of any program.
func (s *Server) serverLevels(ctx context.Context) ([]fsm.Levels, error) {
	peers := s.consensus.Peers()
	reports := s.autopilot.Reports(ctx, peers)
	var all []fsm.Levels
	for _, p := range peers {
		report := reports[p.ID]
		if report == nil {
			return nil, fmt.Errorf("server %s does not say which levels it speaks", p.ID)
		}
		all = append(all, fsm.Levels{Min: cmp.Or(report.MinLevel, state.FirstLevel), Max: cmp.Or(report.MaxLevel, state.FirstLevel)})
	}
	return all, nil
}
