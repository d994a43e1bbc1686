package liveness

// Stats are figures of nodes and their sessions.
type Stats struct {
	Sessions int    // that nodes have with this server
	Silent   int    // of these, whose machines do not answer
	Sent     uint64 // nodes that were sent to other servers, since this one runs

	Leads   bool // the rest is of the leader alone
	Active  int  // nodes that have leases
	Open    int  // of these, that have not answered for a while
	Waiting int  // of these, that are down once the pace allows it
	Away    int  // disconnected nodes
	Mass    bool // many are silent together: the network is taken to be broken
}

// Stats returns how it stands with nodes.
func (l *Leases) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Stats{Sessions: len(l.pending.held), Silent: l.silent, Sent: l.shares.moved}
	if j := l.judge; j != nil {
		out.Leads, out.Active, out.Open, out.Waiting, out.Away, out.Mass = true, len(j.nodes), j.open, j.waiting, len(j.parked), j.mass
	}
	return out
}
