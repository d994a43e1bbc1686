//go:build linux

package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// distance is how far servers are from each other.
type distance struct {
	multiplier int           // server.raft_multiplier
	way        time.Duration // that a packet takes at least
	jitter     time.Duration // and up to this longer
	lost       int           // percent
	elections  int           // at most, while nothing else happens
}

func (d distance) String() string {
	return fmt.Sprintf("multiplier %d, %s to %s one way, %d%% lost", d.multiplier, d.way, d.way+d.jitter, d.lost)
}

// Servers that are as far from each other as the documentation allows keep their leader; wherever they are, no
// write is lost and no read misses one.
func TestDistance(t *testing.T) {
	for _, d := range full(
		[]distance{{multiplier: 1, way: 30 * time.Millisecond, jitter: 20 * time.Millisecond}},
		[]distance{
			{multiplier: 1, way: 50 * time.Millisecond, jitter: 25 * time.Millisecond},
			{multiplier: 1, way: 75 * time.Millisecond},
			{multiplier: 1, way: 100 * time.Millisecond, elections: 10}, // farther than is promised
			{multiplier: 1, way: 10 * time.Millisecond, lost: 5, elections: 10},
			{multiplier: 1, way: 10 * time.Millisecond, lost: 10, elections: 20},
			{multiplier: 2, way: 100 * time.Millisecond, jitter: 50 * time.Millisecond},
			{multiplier: 5, way: 100 * time.Millisecond, lost: 10},
			{multiplier: 5, way: 200 * time.Millisecond, jitter: 100 * time.Millisecond},
			{multiplier: 10, way: 500 * time.Millisecond, jitter: 100 * time.Millisecond},
		},
	) {
		t.Run(d.String(), func(t *testing.T) { farApart(t, d) })
	}
}

func farApart(t *testing.T, d distance) {
	far := Config{Server: true, ServerKeys: map[string]any{"raft_multiplier": d.multiplier}}
	lab := newLab(t, far, far, far)
	for _, m := range lab.Servers() {
		must(t, m.Delay(d.way, d.jitter, lab.Others(m)...))
		must(t, m.Lose(d.lost, lab.Others(m)...))
	}
	running, end := load(t, lab, "far")
	must(t, acked(testContext(t), running, 20))
	begin, before := time.Now(), term(t, lab)
	time.Sleep(full(5*time.Second, 30*time.Second)) // what is tested is that nothing happens
	elections, took := term(t, lab)-before, time.Since(begin)
	h := running.History()
	t.Logf("FIGURE %s: %d elections in %s, %d writes, worst outage %s", d, elections, took.Round(time.Second), len(h.Acked), h.Outage(begin).Round(time.Millisecond))
	if elections > d.elections {
		t.Errorf("%d elections, want at most %d", elections, d.elections)
	}
	lost, err := lab.Leader(testContext(t))
	must(t, err)
	begin = time.Now()
	must(t, lost.Kill())
	must(t, acked(testContext(t), running, 20))
	t.Logf("FIGURE %s: leader killed, outage %s", d, running.History().Outage(begin).Round(time.Millisecond))
	must(t, lost.Start())
	h = end()
	must(t, lab.Heal())
	must(t, lab.Ready(testContext(t)))
	checkLoad(t, lab, "far", h, 20)
}

// term is the one that the leader leads in.
func term(t *testing.T, lab *Lab) (newest int) {
	t.Helper()
	must(t, until(testContext(t), "the leader reports", func(ctx context.Context) error {
		health, err := lab.Servers()[0].API.Operator().AutopilotHealth(ctx)
		if err != nil {
			return err
		}
		for _, s := range health.Servers {
			newest = max(newest, int(s.LastTerm))
		}
		return nil
	}))
	return newest
}
