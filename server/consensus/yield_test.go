package consensus

import (
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// A leader goes on unless its disk is full, or slow for seconds, and a voter of its term has a much better one.
func TestYieldTo(t *testing.T) {
	disk := func(full bool, slow time.Duration, index uint64) *nomadish.ServerReport {
		return &nomadish.ServerReport{DiskFull: full, DiskSlow: nomadish.TextDuration(slow), LastTerm: 3, LastIndex: index}
	}
	late := disk(false, 0, 900)
	late.LastTerm = 2
	for _, tt := range []struct {
		name       string
		s1, s2, s3 *nomadish.ServerReport // s1 leads, s4 has no vote and is always well
		want       string
	}{
		{"all well", disk(false, 0, 900), disk(false, 0, 900), disk(false, 0, 900), ""},
		{"a hiccup", disk(false, 2*time.Second, 900), disk(false, 0, 900), disk(false, 0, 900), ""},
		{"slow, the furthest follower leads", disk(false, 4*time.Second, 900), disk(false, 0, 898), disk(false, 0, 899), "s3"},
		{"equally far", disk(false, 4*time.Second, 900), disk(false, 0, 899), disk(false, 0, 899), "s2"},
		{"all are slow", disk(false, 8*time.Second, 900), disk(false, 7*time.Second, 900), disk(false, 3*time.Second, 900), ""},
		{"full", disk(true, 0, 900), disk(false, 0, 850), nil, "s2"},
		{"all are full", disk(true, 0, 900), disk(true, 0, 900), disk(true, 0, 900), ""},
		{"the others are silent, or late", disk(true, 0, 900), nil, late, ""},
		{"nothing known of itself", nil, disk(false, 0, 900), disk(false, 0, 900), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := map[string]*nomadish.ServerReport{"s4": disk(false, 0, 1000)}
			for id, r := range map[string]*nomadish.ServerReport{"s1": tt.s1, "s2": tt.s2, "s3": tt.s3} {
				if r != nil {
					reports[id] = r
				}
			}
			peers := []Peer{{ID: "s1", Voter: true}, {ID: "s2", Voter: true}, {ID: "s3", Voter: true}, {ID: "s4"}}
			if got := yieldTo("s1", peers, reports); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Appends are judged over ten seconds, the one that hangs included.
func TestPace(t *testing.T) {
	p := newPace(100 * time.Millisecond)
	now := p.start
	do := func(took time.Duration) {
		p.begin(now)
		now = now.Add(took)
		p.end(now)
	}
	for range 99 {
		do(time.Millisecond)
	}
	if d := p.disk(now); d.P99 < time.Millisecond || d.P99 > 2*time.Millisecond || d.Slow != 0 {
		t.Errorf("fast: %+v", d)
	}
	for range 10 {
		do(300 * time.Millisecond)
	}
	if d := p.disk(now); d.P99 < 300*time.Millisecond || d.Slow != 3*time.Second {
		t.Errorf("slow: %+v, want 3s of slow appends", d)
	}
	now = now.Add(20 * time.Second)
	if d := p.disk(now); d != (Disk{}) {
		t.Errorf("after 20 quiet seconds: %+v", d)
	}
	p.begin(now)
	if d := p.disk(now.Add(4 * time.Second)); d.Slow != 4*time.Second || d.P99 < 4*time.Second {
		t.Errorf("an append that hangs: %+v", d)
	}
	if d := p.disk(now.Add(time.Hour)); d.Slow != 10*time.Second {
		t.Errorf("an append that hangs for an hour: %+v, want all ten seconds", d)
	}
}
