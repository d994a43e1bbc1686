package agent

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/httpapi"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/gossip"
)

// backends puts behind the API what this agent has.
func (a *Agent) backends() httpapi.Backends {
	b := httpapi.Backends{Router: (*router)(a), Agent: (*self)(a), Members: (*membership)(a), Metrics: a.metrics, Debug: (*debug)(a)}
	if a.server == nil {
		b.Authority = &authority{required: a.cfg.ACL, resolve: func(ctx context.Context, token string) (*nomadish.ResolvedCaller, error) {
			return a.link.ResolveToken(ctx, a.client.NodeID(), token)
		}}
	} else {
		e := a.server.Endpoint()
		b.Authority = e
		b.Server = &httpapi.Server{
			Reads: a.server, Status: (*status)(a), Jobs: e, JobWrites: e, JobVersions: e, Planner: e, Scaling: e, Launches: e, Parser: e, Allocations: e, Evaluations: e,
			Deployments: e, Nodes: e, NodeWrites: e, NodeAgents: e, Witness: a.server, Introductions: e, Callers: e, AccessSurvey: e, Shared: e, Replication: a.server, Operator: e, Raft: a.server, Servers: a.server, Autopilot: e, Snapshots: a.server, Catalog: e, System: e, Keyring: e, Authorities: (*authorities)(a), Events: a.server.Events(), Search: e,
			ACL: e, Spaces: e, NodePools: e, Drains: e, Variables: a.server.Variables(),
		}
	}
	if a.audit != nil {
		b.Audit = a.audit
	}
	if a.client != nil {
		b.Node = &httpapi.Node{ID: a.client.NodeID(), Files: a.client, Usage: a.client, Tasks: a.client, Metadata: a.client, Identity: a.client, Neighbours: neighbours{}, Images: imagesOf(a.cfg.Drivers)}
	}
	return b
}

// imagesOf returns the images of the first driver, by name, that keeps some.
func imagesOf(all map[string]drivers.Driver) httpapi.Images {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if k, ok := all[name].(drivers.ImageKeeper); ok {
			return k.Images()
		}
	}
	return nil
}

// router finds the way to the agent that has to answer.
type router Agent

func (r *router) Server(context.Context) (http.RoundTripper, error) {
	if r.server != nil {
		return nil, nil
	}
	return r.servers, nil
}

// An election takes a second at most. Who asks meanwhile waits for its end.
const (
	electionWait = 3 * time.Second
	electionLook = 25 * time.Millisecond
	reachWithin  = time.Second // a leader that takes longer may not be it any more
)

func (r *router) reach(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	return r.hub.Reach(ctx, id)
}

func (r *router) Leader(ctx context.Context) (http.RoundTripper, error) {
	if r.server == nil {
		return r.Server(ctx)
	}
	c := r.server.Consensus()
	for began := time.Now(); ; {
		if c.IsLeader() {
			return nil, nil
		}
		var unreached error
		if id, ok := c.Leader(); ok && id != r.id {
			if unreached = r.reach(ctx, id); unreached == nil {
				way, err := r.hub.Server(id)
				return &leaderWay{way: way, id: id, leader: c.Leader}, err
			}
		}
		if len(c.Peers()) == 0 || time.Since(began) > electionWait || lifecycle.Sleep(ctx, electionLook) != nil {
			if unreached != nil {
				return nil, nomadish.Errorf(nomadish.KindNoLeader, "the leader can't be reached: %w", unreached)
			}
			return nil, nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
		}
	}
}

func (r *router) Node(ctx context.Context, id string) (http.RoundTripper, error) {
	switch {
	case r.client != nil && r.client.NodeID() == id:
		return nil, nil
	case r.server == nil:
		return r.Server(ctx)
	}
	if way, err := r.hub.Node(id); err == nil {
		return way, nil
	}
	return (*witnesses)(r).holder(ctx, id)
}

func (r *router) Peer(ctx context.Context, server string) (http.RoundTripper, error) {
	switch {
	case server == "leader":
		return r.Leader(ctx)
	case r.server == nil:
		return r.Server(ctx)
	case server == r.id || server == r.cfg.Name || server == r.cfg.Name+"."+r.cfg.Region:
		return nil, nil
	}
	for _, p := range r.server.Consensus().Peers() {
		if p.ID == server {
			return r.hub.Server(p.ID)
		}
	}
	return nil, nomadish.Errorf(nomadish.KindInternal, "unknown Nomad server %s", server)
}

// status tells of the servers.
type status Agent

func (s *status) address(id string) string {
	if addr, err := (*Agent)(s).resolve(id); err == nil && addr != "" {
		return addr
	}
	return id
}

func outward(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort(outwardAddress(), port)
	}
	return addr.String()
}

func (s *status) Leader(context.Context) (string, error) {
	id, ok := s.server.Consensus().Leader()
	if !ok {
		return "", nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	}
	return s.address(id), nil
}

func (s *status) Peers(context.Context) ([]string, error) {
	peers := []string{}
	for _, p := range s.server.Consensus().Peers() {
		peers = append(peers, s.address(p.ID))
	}
	return peers, nil
}

// self tells of this agent.
type self Agent

func (s *self) Health(context.Context) *nomadish.AgentHealth {
	h := &nomadish.AgentHealth{}
	if s.server != nil {
		h.Server = &nomadish.HealthStatus{Ok: true, Message: "ok"}
		if _, ok := s.server.Consensus().Leader(); !ok {
			h.Server = &nomadish.HealthStatus{Message: "No cluster leader"}
		}
	}
	if s.client != nil {
		h.Client = &nomadish.HealthStatus{Ok: true, Message: "ok"}
	}
	return h
}

func (s *self) Servers(context.Context) ([]string, error) {
	if s.client == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "this agent runs no client")
	}
	if s.server != nil {
		return (*Agent)(s).serverAddrs(), nil
	}
	return s.servers.Servers(), nil
}

func (s *self) member() nomadish.Member {
	m := nomadish.Member{
		Name: s.cfg.Name + "." + s.cfg.Region, Status: "alive",
		ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
		Tags: map[string]string{
			"role": "nomad", "region": s.cfg.Region, "dc": s.cfg.Datacenter, "id": s.id, "build": s.cfg.Version,
			"raft_vsn": "3", "vsn": "1", "expect": "1", "bootstrap": "1",
		},
	}
	if s.pool != nil {
		if own, ok := s.pool.Member(s.id); ok {
			return asMember(own)
		}
	}
	if s.hub.Addr() != nil {
		host, port, err := net.SplitHostPort((*Agent)(s).rpcAddress())
		if n, convErr := strconv.ParseUint(port, 10, 16); err == nil && convErr == nil {
			m.Addr, m.Port = host, uint16(n)
			m.Tags["port"], m.Tags["rpc_addr"] = port, host
		}
	}
	return m
}

// Members lists the servers. The API asks a server for it.
func (s *self) Members(context.Context) (*nomadish.ServerMembers, error) {
	out := &nomadish.ServerMembers{ServerName: s.cfg.Name, ServerRegion: s.cfg.Region, ServerDC: s.cfg.Datacenter}
	if s.pool == nil {
		m := s.member()
		out.Members = []*nomadish.Member{&m}
		return out, nil
	}
	members := s.pool.Members()
	// Clients take the first one for the server that they ask.
	slices.SortStableFunc(members, func(x, y gossip.Member) int {
		switch s.id {
		case x.ID:
			return -1
		case y.ID:
			return 1
		}
		return 0
	})
	for _, m := range members {
		out.Members = append(out.Members, nomadish.Ptr(asMember(m)))
	}
	return out, nil
}

// asMember is a member in Nomad's words.
func asMember(m gossip.Member) nomadish.Member {
	return nomadish.Member{
		Name: m.FullName(), Addr: m.Addr, Port: m.Port, Tags: m.Tags, Status: m.Status,
		ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
	}
}

// Self shows the agent by the names of Nomad's agent configuration.
func (s *self) Self(context.Context) (*nomadish.AgentSelf, error) {
	out := &nomadish.AgentSelf{
		Config: map[string]any{
			"Name": s.cfg.Name, "NodeName": s.cfg.Name, "Region": s.cfg.Region, "Datacenter": s.cfg.Datacenter,
			"DataDir": s.cfg.DataDir,
			"Server":  map[string]any{"Enabled": s.server != nil, "BootstrapExpect": (*Agent)(s).bootstrapExpect()},
			"Client":  map[string]any{"Enabled": s.client != nil},
			"ACL":     map[string]any{"Enabled": s.cfg.ACL},
			"Version": map[string]any{"Version": s.cfg.Version},
		},
		Member: s.member(),
		Stats:  map[string]map[string]string{"nomad": {"server": strconv.FormatBool(s.server != nil), "version": s.cfg.Version}},
	}
	for key, value := range s.cfg.Show {
		out.Config[key] = value
	}
	if s.server != nil {
		(*Agent)(s).serverStats(out.Stats)
	}
	if s.client != nil {
		out.Stats["client"] = map[string]string{"node_id": s.client.NodeID()}
	}
	return out, nil
}
