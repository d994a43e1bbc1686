package consensus

import (
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// A server is healthy when it answers, hears of the leader, is in its term and not far behind; the
// cluster when all are, and it can lose as many as leave a majority.
func TestJudge(t *testing.T) {
	want := nomadish.DefaultAutopilot()
	report := func(contact time.Duration, term, index uint64) *nomadish.ServerReport {
		return &nomadish.ServerReport{LastContact: nomadish.TextDuration(contact), LastTerm: term, LastIndex: index}
	}
	good := func() map[string]*nomadish.ServerReport {
		return map[string]*nomadish.ServerReport{"s1": report(0, 3, 1000), "s2": report(20*time.Millisecond, 3, 1000), "s3": report(0, 3, 751)}
	}
	for _, tt := range []struct {
		name      string
		third     *nomadish.ServerReport // of s3; nil: it does not answer
		nonvoter  bool                   // s3 has no vote
		healthy   bool
		tolerance int
	}{
		{name: "all well", third: report(0, 3, 750), healthy: true, tolerance: 1},
		{name: "far behind", third: report(0, 3, 749)},
		{name: "in an older term", third: report(0, 2, 1000)},
		{name: "does not hear of the leader", third: report(time.Second, 3, 1000)},
		{name: "silent", third: nil},
		{name: "silent without a vote", third: nil, nonvoter: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := good()
			if reports["s3"] = tt.third; tt.third == nil {
				delete(reports, "s3")
			}
			peers := []Peer{{ID: "s1", Voter: true}, {ID: "s2", Voter: true}, {ID: "s3", Voter: !tt.nonvoter}}
			got := judge(want, peers, reports, "s1")
			if got.Healthy != tt.healthy || got.FailureTolerance != tt.tolerance || got.Servers[2].Healthy != tt.healthy || !got.Servers[1].Healthy {
				t.Errorf("healthy %t, tolerance %d, s3 healthy %t, s2 healthy %t", got.Healthy, got.FailureTolerance, got.Servers[2].Healthy, got.Servers[1].Healthy)
			}
		})
	}
	if got := judge(want, []Peer{{ID: "s1", Voter: true}}, nil, ""); got.Healthy || got.FailureTolerance != 0 {
		t.Errorf("without a leader: %+v", got)
	}
	if got := judge(want, nil, nil, ""); got.Healthy {
		t.Error("no servers at all, and healthy")
	}
}
