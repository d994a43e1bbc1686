package consensus

import (
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Status is what this server knows of its own part.
type Status struct {
	LastContact  time.Duration // since it heard of the leader
	LastTerm     uint64        // of the newest entry in its log
	LastIndex    uint64        // of that entry
	AppliedIndex uint64
}

// Status tells how far this server is.
func (c *Consensus) Status() (Status, error) {
	r := c.running()
	if r == nil {
		return Status{}, errStopped
	}
	// Raft gives the term in this form only.
	term, err := strconv.ParseUint(r.Stats()["last_log_term"], 10, 64)
	if err != nil {
		return Status{}, nomadish.Errorf(nomadish.KindInternal, "term of the log: %w", err)
	}
	return Status{LastContact: c.SinceContact(), LastTerm: term, LastIndex: r.LastIndex(), AppliedIndex: r.AppliedIndex()}, nil
}

// PeersIndex is the index of the log entry that made Peers what they are.
func (c *Consensus) PeersIndex() uint64 {
	if r := c.running(); r != nil {
		return r.GetConfiguration().Index()
	}
	return 0
}
