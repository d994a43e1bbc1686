package nomadish

import "time"

// NodeLease is a server's answer to a node that registers or says that it lives: it does
// so again within HeartbeatTTL, or the servers take it for down.
type NodeLease struct {
	HeartbeatTTL time.Duration
	Index        uint64
	Servers      []string // addresses (host:port) of the region's servers for other agents
	Move         string   // that of a server with fewer sessions, to which the node is to go over; empty: it stays
}

// NodePulse says for how long the machine of a node that has a session with a server has
// answered nothing.
type NodePulse struct {
	NodeID string
	Silent time.Duration
}

// How a node's session with a server ended.
const (
	SessionClosed   = "closed"    // by the node, or by its machine for it: the machine is there
	SessionTimedOut = "timed out" // nothing was answered
)

// WitnessReport is what a server tells the leader about nodes, several times a second.
type WitnessReport struct {
	Server string
	Whole  bool          // Held tells of all its sessions; otherwise of new ones
	Held   []string      // nodes with a session
	Silent []NodePulse   // of those with a session: which have not answered for a while
	Live   int           // sessions whose machines answer
	Ended  []SessionEnd  // nodes without a session any more
	Beats  []NodeBeat    // heartbeats taken since
	Heard  []string      // nodes of which others say that they answer
	Began  []string      // nodes whose agents have begun a session since
	After  time.Duration // since the report before, by the server's clock
}

// SessionEnd is the end of a node's session with a server.
type SessionEnd struct {
	NodeID string
	How    string // SessionClosed, SessionTimedOut, or empty where it is not known
}

// NodeBeat is a heartbeat that a server took, with the lease that it gave for it.
type NodeBeat struct {
	NodeID string
	TTL    time.Duration
}

// WitnessAnswer is what the leader says to a WitnessReport.
type WitnessAnswer struct {
	Whole    bool           // it wants to know all sessions
	Sessions map[string]int // by server: nodes with a session; empty: none is to be moved now
}

// ProbeRequest asks a server to see whether machines of nodes answer it.
type ProbeRequest struct{ NodeIDs []string }

// NeighbourRequest asks a node to see whether machines of other nodes answer it.
type NeighbourRequest struct{ Addrs []string }

// ProbeResult is what came of one probe.
type ProbeResult struct {
	NodeID   string
	Answered bool   // something answered, be it with a refusal
	How      string // in words
	Before   bool   // this server has had an answer from there earlier
	Vouched  bool   // a neighbour has had an answer
}

// Why a node was taken for down.
const (
	NodeGoneSilent = "silent" // its machine answers nobody
	NodeGoneLease  = "lease"  // it did not renew its lease in time
	NodeGoneLong   = "away"   // the time is over that its allocations could do without it
)

// NodeVerdict says that a node is taken for down, and why.
type NodeVerdict struct {
	NodeID    string
	Cause     string
	Silent    time.Duration // since it last answered anybody
	Witnesses []string      // servers that asked its machine in vain
	Together  int           // nodes that were silent at the same time, itself included
}
