package server

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// unknownServer is the name of a server that does not say it.
const unknownServer = "(unknown)"

// Report tells how this server is.
func (s *Server) Report(context.Context) (*nomadish.ServerReport, error) {
	status, err := s.consensus.Status()
	if err != nil {
		return nil, err
	}
	r, levels, disk := s.store.Reader(), fsm.SupportedLevels(), s.consensus.Disk()
	return &nomadish.ServerReport{
		ID: s.cfg.ID, Name: s.cfg.Name, Address: s.cfg.Address(), Version: s.cfg.Version,
		LastContact: nomadish.TextDuration(status.LastContact), LastTerm: status.LastTerm,
		LastIndex: status.LastIndex, AppliedIndex: status.AppliedIndex,
		HasState: len(s.consensus.Peers()) > 0, Cluster: s.consensus.Cluster(),
		MinLevel: levels.Min, MaxLevel: levels.Max,
		DiskFull: disk.Full, DiskP99: nomadish.TextDuration(disk.P99), DiskSlow: nomadish.TextDuration(disk.Slow),
		Hashes: append(s.hashes.list(), nomadish.StateHash{Index: r.Index(), Level: r.Level(), Hash: r.Hash().String()}),
	}, nil
}

// askServer asks another server, or this one, for its report.
func (s *Server) askServer(ctx context.Context, id string) (*nomadish.ServerReport, error) {
	switch {
	case id == s.cfg.ID:
		return s.Report(ctx)
	case s.cfg.AskServer == nil:
		return nil, nomadish.Errorf(nomadish.KindInternal, "no path to server %s", id)
	}
	return s.cfg.AskServer(ctx, id)
}

// RaftConfiguration lists the servers of the cluster.
func (s *Server) RaftConfiguration(ctx context.Context) (*nomadish.RaftConfiguration, error) {
	index, peers := s.consensus.PeersIndex(), s.consensus.Peers()
	reports := s.autopilot.Reports(ctx, peers)
	leader, _ := s.consensus.Leader()
	out := &nomadish.RaftConfiguration{Servers: []*nomadish.RaftServer{}, Index: index}
	for _, p := range peers {
		out.Servers = append(out.Servers, raftServer(p, reports[p.ID], leader))
	}
	return out, nil
}

func raftServer(p consensus.Peer, report *nomadish.ServerReport, leader string) *nomadish.RaftServer {
	out := &nomadish.RaftServer{
		ID: p.ID, Node: unknownServer, Address: unknownServer, Leader: p.ID == leader, Voter: p.Voter, RaftProtocol: "3",
	}
	if report != nil {
		out.Node, out.Address = report.Name, report.Address
		out.LastIndex, out.LastTerm = report.LastIndex, report.LastTerm
	}
	return out
}

// RemoveRaftPeer removes a server from the cluster. The leader does not remove itself where another server can
// lead, which is then the one to be asked again: of two servers the other one could lead only after it has
// heard of the removal, and would never hear of it if this one went away with that.
func (s *Server) RemoveRaftPeer(ctx context.Context, id string) error {
	if _, ok := s.peer(id); !ok {
		return nomadish.Errorf(nomadish.KindInvalid, "id %q was not found in the Raft configuration", id)
	}
	if id != s.cfg.ID || !s.successors() {
		return s.consensus.RemoveServer(ctx, id)
	}
	if err := s.consensus.TransferLeadership(ctx, ""); err != nil {
		return fmt.Errorf("a leader is removed after it has handed over: %w", err)
	}
	return nomadish.Errorf(nomadish.KindNoLeader, "the leader has handed over, in order to be removed: ask again")
}

// successors says whether a server other than this one has a vote.
func (s *Server) successors() bool {
	return slices.ContainsFunc(s.consensus.Peers(), func(p consensus.Peer) bool { return p.Voter && p.ID != s.cfg.ID })
}

func (s *Server) peer(id string) (consensus.Peer, bool) {
	peers := s.consensus.Peers()
	i := slices.IndexFunc(peers, func(p consensus.Peer) bool { return p.ID == id })
	if i < 0 {
		return consensus.Peer{}, false
	}
	return peers[i], true
}

// TransferLeadership makes another server the leader, by its ID or address; the one that knows most
// where both are empty.
func (s *Server) TransferLeadership(ctx context.Context, id, address string) (*nomadish.LeadershipTransferResponse, error) {
	conf, err := s.RaftConfiguration(ctx)
	if err != nil {
		return nil, err
	}
	out := &nomadish.LeadershipTransferResponse{}
	var to *nomadish.RaftServer
	for _, server := range conf.Servers {
		if server.ID == s.cfg.ID {
			out.From = *server
		}
		if id != "" && server.ID == id || id == "" && address != "" && server.Address == address {
			to = server
		}
	}
	switch {
	case to == nil && id+address != "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "server %q was not found in the Raft configuration", id+address)
	case to == nil && !s.successors():
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no other server that could lead")
	case to == nil:
		return out, s.consensus.TransferLeadership(ctx, "")
	case !to.Voter:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "server %s has no vote, so it can't lead", to.ID)
	}
	if out.To = *to; to.ID == s.cfg.ID {
		out.Noop = true
		return out, nil
	}
	return out, s.consensus.TransferLeadership(ctx, to.ID)
}

// AutopilotHealth tells how well the servers are.
func (s *Server) AutopilotHealth(ctx context.Context) (*nomadish.OperatorHealthReply, error) {
	return s.autopilot.Health(ctx), nil
}

// LastHealth is how well the servers were a moment ago, as the leader saw it; nil on others.
func (s *Server) LastHealth() *nomadish.OperatorHealthReply {
	if !s.consensus.IsLeader() {
		return nil
	}
	return s.autopilot.Last()
}

// StateHashes compares the states of the servers.
func (s *Server) StateHashes(ctx context.Context) (*nomadish.StateHashReport, error) {
	peers := s.consensus.Peers()
	return compareHashes(peers, s.autopilot.Reports(ctx, peers)), nil
}

// compareHashes looks for the newest index at which all servers that answered know their hash.
func compareHashes(peers []consensus.Peer, reports map[string]*nomadish.ServerReport) *nomadish.StateHashReport {
	type place struct {
		index uint64
		level uint32
	}
	known := map[place]map[string]string{}
	for id, report := range reports {
		for _, h := range report.Hashes {
			at := place{h.Index, h.Level}
			if known[at] == nil {
				known[at] = map[string]string{}
			}
			known[at][id] = h.Hash
		}
	}
	out := &nomadish.StateHashReport{Servers: []*nomadish.ServerHash{}}
	var hashes map[string]string
	for at, byID := range known {
		if len(byID) == len(reports) && at.index > out.Index {
			out.Index, hashes = at.index, byID
		}
	}
	out.Equal = out.Index > 0
	first := ""
	for _, p := range peers {
		server := &nomadish.ServerHash{ID: p.ID, Name: unknownServer, Error: "it does not answer"}
		if report := reports[p.ID]; report != nil {
			server.Name, server.Error, server.Hash = report.Name, "", hashes[p.ID]
			if first == "" {
				first = server.Hash
			}
			out.Equal = out.Equal && server.Hash == first
		}
		out.Servers = append(out.Servers, server)
	}
	return out
}

// hashes are the newest state hashes of those that servers compare.
type hashes struct {
	mu   sync.Mutex
	last []nomadish.StateHash
}

// hashesKept is how many a server remembers: enough for one that is a little behind.
const hashesKept = 32

func (h *hashes) add(index uint64, level uint32, hash state.Hash) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.last) == hashesKept {
		h.last = slices.Delete(h.last, 0, 1)
	}
	h.last = append(h.last, nomadish.StateHash{Index: index, Level: level, Hash: hash.String()})
}

// newest is the index of the last one, 0 for none.
func (h *hashes) newest() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.last) == 0 {
		return 0
	}
	return h.last[len(h.last)-1].Index
}

// forget drops them: they are of a state that was wrong.
func (h *hashes) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = nil
}

func (h *hashes) list() []nomadish.StateHash {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.last)
}

// newAutopilot returns what judges the servers' health.
func (s *Server) newAutopilot() *consensus.Autopilot {
	return consensus.NewAutopilot(consensus.AutopilotConfig{Now: s.cfg.Now}, s.consensus,
		func() *nomadish.AutopilotConfiguration { return s.store.Reader().Autopilot(nil) }, s.askServer)
}

// machine returns what applies commands to the server's state.
func (s *Server) machine() *fsm.FSM {
	s.fsm = fsm.New(s.store, fsm.Config{Logger: s.cfg.Logger, OnHash: s.hashes.add})
	return s.fsm
}
