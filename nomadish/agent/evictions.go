package agent

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/leader/evals"
)

// nodes adds how it stands with nodes: their sessions, those that are gone, and the work that was lost.
func (f *figures) nodes(a *Agent, work evals.Stats) {
	s := a.server.Liveness()
	f.add("nomadish.sessions", float64(s.Sessions))
	f.add("nomadish.sessions.silent", float64(s.Silent))
	f.total("nomadish.sessions.moved", s.Sent)
	if s.Leads {
		f.add("nomad.nomad.heartbeat.active", float64(s.Active))
		f.add("nomadish.nodes.silent", float64(s.Open))
		f.add("nomadish.nodes.waiting", float64(s.Waiting))
		f.add("nomadish.nodes.away", float64(s.Away))
		f.add("nomadish.nodes.mass_silence", number(s.Mass))
	}
	gone := a.server.Endpoint().Evictions()
	for _, why := range evictions {
		f.total("nomadish.nodes.gone", gone.Gone[why], "cause", why.Cause, "status", why.Status)
	}
	f.total("nomadish.nodes.back", gone.Back)
	f.total("nomadish.allocations.lost", work.Lost)
	f.total("nomadish.allocations.replaced", work.Replaced)
}

// evictions are why nodes are taken for gone, and what they are then.
var evictions = []endpoint.Eviction{
	{Cause: nomadish.NodeGoneSilent, Status: nomadish.NodeStatusDown},
	{Cause: nomadish.NodeGoneSilent, Status: nomadish.NodeStatusDisconnected},
	{Cause: nomadish.NodeGoneLease, Status: nomadish.NodeStatusDown},
	{Cause: nomadish.NodeGoneLease, Status: nomadish.NodeStatusDisconnected},
	{Cause: nomadish.NodeGoneLong, Status: nomadish.NodeStatusDown},
}
