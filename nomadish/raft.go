package nomadish

// RaftServer is a server as the cluster's log has it.
type RaftServer struct {
	ID           string
	Node         string // its name; "(unknown)" when it does not answer
	Address      string
	Leader       bool
	Voter        bool
	RaftProtocol string
	LastIndex    uint64 `json:",omitempty"` // of its log; 0 when it does not answer
	LastTerm     uint64 `json:",omitempty"`
}

// RaftConfiguration lists the servers between which the state is replicated.
type RaftConfiguration struct {
	Servers []*RaftServer
	Index   uint64 // of the log entry that made the list what it is
}

// LeadershipTransferResponse says which server has handed leadership to which.
type LeadershipTransferResponse struct {
	From RaftServer
	To   RaftServer
	Noop bool // it led already
}

// ServerReport is what a server says of itself to the others.
type ServerReport struct {
	ID           string
	Name         string
	Address      string
	Version      string
	HasState     bool         // it belongs to a cluster
	Cluster      string       // that cluster, as servers tell it from others; empty: it can't name it yet
	LastContact  TextDuration // since it last heard of the leader
	LastTerm     uint64
	LastIndex    uint64 // of its log
	AppliedIndex uint64
	MinLevel     uint32      // the oldest level of a cluster that it can take part in
	MaxLevel     uint32      // the newest
	Hashes       []StateHash // the newest last

	DiskFull bool         // the log's disk has no space
	DiskP99  TextDuration // of appends to the log, of the last ten seconds
	DiskSlow TextDuration // of the last ten seconds, how long slow appends took
}

// StateHash is the hash of a server's state after a command. It is the same on all servers.
type StateHash struct {
	Index uint64
	Level uint32 // of the cluster; hashes of one level alone are comparable
	Hash  string
}

// StateHashReport compares the states of servers.
type StateHashReport struct {
	Index   uint64 // the newest at which all servers that answered know their hash; 0: there is none
	Equal   bool   // the hashes at that index
	Servers []*ServerHash
}

// ServerHash is the hash of a server's state.
type ServerHash struct {
	ID    string
	Name  string
	Hash  string `json:",omitempty"` // at the report's index
	Error string `json:",omitempty"` // why the server did not answer
}
