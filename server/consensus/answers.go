package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// transport is raft's, and notes which questions of the leader the others have answered.
type transport struct {
	*raft.NetworkTransport
	answers *answers
}

// AppendEntries implements raft.Transport: heartbeats go this way, too.
func (t transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	round := t.answers.current()
	err := t.NetworkTransport.AppendEntries(id, target, req, resp)
	if err == nil && resp.Success && resp.Term == req.Term {
		t.answers.add(id, req.Term, round)
	}
	return err
}

// answers knows of each server the newest question that it has answered as a follower of this one. Questions
// are told apart by rounds: one of a round was asked after the round began.
type answers struct {
	mu    sync.Mutex
	round uint64
	last  map[raft.ServerID]answered
	more  chan struct{} // closed at the next answer; nil: nobody waits
}

type answered struct{ term, round uint64 }

// begin begins a round.
func (a *answers) begin() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.round++
	return a.round
}

func (a *answers) current() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.round
}

// add notes that a server follows in term, or did when it was asked in round or later.
func (a *answers) add(id raft.ServerID, term, round uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[raft.ServerID]answered{}
	}
	if old := a.last[id]; old.term < term || old.term == term && old.round < round {
		a.last[id] = answered{term, round}
	}
	if a.more != nil {
		close(a.more)
		a.more = nil
	}
}

// enough says whether a majority of the voters, self among them if it is one, followed in term when they were
// asked in round or later. If not, more is closed at the next answer.
func (a *answers) enough(term, round uint64, peers []Peer, self string) (enough bool, more <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	voters, follow := 0, 0
	for _, p := range peers {
		if !p.Voter {
			continue
		}
		voters++
		if l := a.last[raft.ServerID(p.ID)]; p.ID == self || l.term == term && l.round >= round {
			follow++
		}
	}
	if follow > voters/2 {
		return true, nil
	}
	if a.more == nil {
		a.more = make(chan struct{})
	}
	return false, a.more
}
