package server

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/leader/liveness"
	"github.com/nomadish/nomadish/server/state"
)

// upNodes lists the nodes that are not down.
func (s *Server) upNodes() []string {
	var ids []string
	for n := range s.store.Reader().Nodes(nil) {
		if n.Status != nomadish.NodeStatusDown {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// nodesToProbe lists where the nodes that are not down can be probed, if that has changed.
func (s *Server) nodesToProbe(since uint64) (nodes []liveness.Node, index uint64) {
	r := s.store.Reader()
	if index = r.TableIndex(state.TableNodes); index == since {
		return nil, index
	}
	for n := range r.Nodes(nil) {
		if n.Status != nomadish.NodeStatusDown {
			nodes = append(nodes, liveness.Node{ID: n.ID, Addr: n.HTTPAddr})
		}
	}
	return nodes, index
}

// SessionBegins is told of nodes whose agents begin a session with this server. One that is not
// registered has shown nothing.
func (s *Server) SessionBegins(nodeID string) {
	if _, err := s.store.Reader().Node(nil, nodeID); err == nil {
		s.leases.Began(nodeID)
	}
}

// SessionEnded is told of nodes that have no session with this server any more, and how the last
// one ended.
func (s *Server) SessionEnded(nodeID, how string) { s.leases.Ended(nodeID, how) }

// Liveness returns figures of nodes and their sessions.
func (s *Server) Liveness() liveness.Stats { return s.leases.Stats() }

// Witness takes what another server sees of nodes, on the leader.
func (s *Server) Witness(ctx context.Context, r *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error) {
	return s.leases.Told(ctx, r)
}

// ProbeNodes sees whether the machines of nodes answer this server.
func (s *Server) ProbeNodes(ctx context.Context, ids []string) ([]nomadish.ProbeResult, error) {
	return s.leases.Probe(ctx, ids), nil
}

// NodeHolder returns the server that has a session with a node, on the leader.
func (s *Server) NodeHolder(_ context.Context, nodeID string) (string, error) {
	server, ok := s.leases.Holder(nodeID)
	if !ok {
		return "", nomadish.Errorf(nomadish.KindNotFound, "no server has a session with node %s", nodeID)
	}
	return server, nil
}
