package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// transport is raft's, and notes which questions of the leader the others have answered.
type transport struct {
	*raft.NetworkTransport
	answers *answers
	log     raft.LogStore // this server's
}

// AppendEntries implements raft.Transport: heartbeats go this way, too.
func (t transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	round := t.answers.current()
	if err := t.NetworkTransport.AppendEntries(id, target, req, resp); err != nil {
		return err
	}
	if !resp.Success && resp.Term == req.Term {
		if err := t.compareEnds(id, target, req, resp); err != nil {
			return err
		}
	}
	if resp.Success && resp.Term == req.Term {
		t.answers.add(id, answered{term: req.Term, round: round, match: req.PrevLogEntry + uint64(len(req.Entries)), at: time.Now()})
	}
	return nil
}

// compareEnds makes a success of the refusal of entries that the other server has: one that has got a snapshot
// since can't say so of entries before it, and raft would go back through the log until it sends it an older
// snapshot. If the last entry of both is the same one, so are all before it.
func (t transport) compareEnds(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	var last raft.Log
	if resp.LastLog < req.PrevLogEntry+uint64(len(req.Entries)) || t.log.GetLog(resp.LastLog, &last) != nil {
		return nil // it lacks some, or this server can't tell any more
	}
	ask := &raft.AppendEntriesRequest{
		RPCHeader: req.RPCHeader, Term: req.Term,
		PrevLogEntry: last.Index, PrevLogTerm: last.Term, LeaderCommitIndex: req.LeaderCommitIndex,
	}
	var answer raft.AppendEntriesResponse
	if err := t.NetworkTransport.AppendEntries(id, target, ask, &answer); err != nil {
		return err
	}
	if answer.Success {
		*resp = answer
	}
	return nil
}

// answers knows of each server the newest question that it has answered as a follower of this one. Questions
// are told apart by rounds: one of a round was asked after the round began.
type answers struct {
	mu    sync.Mutex
	round uint64
	last  map[raft.ServerID]answered
	more  chan struct{} // closed at the next answer; nil: nobody waits
}

type answered struct {
	term, round uint64
	match       uint64    // up to which entry its log is this server's, as far as is known
	at          time.Time // of the answer
}

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

// add notes an answer. Those that cross each other add up.
func (a *answers) add(id raft.ServerID, now answered) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[raft.ServerID]answered{}
	}
	switch old := a.last[id]; {
	case old.term < now.term:
		a.last[id] = now
	case old.term == now.term:
		now.round, now.match = max(old.round, now.round), max(old.match, now.match)
		a.last[id] = now
	}
	if a.more != nil {
		close(a.more)
		a.more = nil
	}
}

// furthest returns which of the servers that have answered in term, and after a time, has the most entries and
// how many, and a channel that is closed at the next answer. It is none where none has.
func (a *answers) furthest(term uint64, ids []string, after time.Time) (id string, match uint64, more <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, other := range ids {
		last := a.last[raft.ServerID(other)]
		if last.term == term && last.at.After(after) && (id == "" || last.match > match) {
			id, match = other, last.match
		}
	}
	return id, match, a.moreLocked()
}

func (a *answers) moreLocked() <-chan struct{} {
	if a.more == nil {
		a.more = make(chan struct{})
	}
	return a.more
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
	return false, a.moreLocked()
}
