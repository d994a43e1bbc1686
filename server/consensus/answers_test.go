package consensus

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A follower that refuses entries has them nevertheless if the last entry of its log is the leader's: it has got
// them with a snapshot, and knows no entry before its end. One whose last entry is another's, or that lacks
// some, is believed.
func TestRefusedEntriesThatAreThere(t *testing.T) {
	log := raft.NewInmemStore()
	for i := range uint64(30) {
		must(t, log.StoreLog(&raft.Log{Index: i + 1, Term: 1 + i/10}))
	}
	for name, tt := range map[string]struct {
		last, term uint64 // of the follower's log, of which it knows the last entry alone
		want       bool
	}{
		"the leader's entry":       {20, 2, true},
		"the entries' last one":    {16, 2, true},
		"another leader's entry":   {20, 3, false},
		"some are missing":         {15, 2, false},
		"more than the leader has": {31, 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			leader, follower := pair(t)
			follow(t, follower, tt.last, tt.term)
			answers := &answers{}
			round := answers.begin()
			var resp raft.AppendEntriesResponse
			must(t, transport{leader, answers, log}.AppendEntries("f", follower.LocalAddr(), &raft.AppendEntriesRequest{
				Term: 5, PrevLogEntry: 14, PrevLogTerm: 2, Entries: []*raft.Log{{Index: 15, Term: 2}, {Index: 16, Term: 2}},
			}, &resp))
			if resp.Success != tt.want {
				t.Errorf("success %t, want %t", resp.Success, tt.want)
			}
			enough, _ := answers.enough(5, round, []Peer{{ID: "f", Voter: true}}, "l")
			if enough != tt.want {
				t.Errorf("it counts as an answer: %t, want %t", enough, tt.want)
			}
		})
	}
}

// pair is two transports on the loopback interface.
func pair(t *testing.T) (leader, follower *raft.NetworkTransport) {
	t.Helper()
	var both []*raft.NetworkTransport
	for range 2 {
		tr, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Minute, io.Discard)
		must(t, err)
		t.Cleanup(func() { must(t, tr.Close()) })
		both = append(both, tr)
	}
	return both[0], both[1]
}

// follow answers as a follower whose log consists of one entry.
func follow(t *testing.T, tr *raft.NetworkTransport, last, term uint64) {
	t.Helper()
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	go func() {
		for {
			select {
			case rpc := <-tr.Consumer():
				req := rpc.Command.(*raft.AppendEntriesRequest)
				ok := req.PrevLogEntry == last && req.PrevLogTerm == term
				rpc.Respond(&raft.AppendEntriesResponse{Term: req.Term, LastLog: last, Success: ok}, nil)
			case <-ended:
				return
			}
		}
	}()
}
