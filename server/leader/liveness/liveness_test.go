package liveness_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/leader/liveness"
)

// deaths notes when which node was marked as down.
type deaths struct {
	mu   sync.Mutex
	fail int // marks that fail before one works
	park time.Duration
	at   map[string]time.Duration
	from time.Time
}

func (d *deaths) Down(_ context.Context, v *nomadish.NodeVerdict) (time.Duration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail > 0 {
		d.fail--
		return 0, errors.New("no leader")
	}
	d.at[v.NodeID] = time.Since(d.from)
	return d.park, nil
}

func (d *deaths) Up(context.Context, string) error { return nil }

func start(t *testing.T, l *liveness.Leases, d *deaths, nodes ...string) {
	d.at, d.from = map[string]time.Duration{}, time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx, nodes, d) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

func newLeases() *liveness.Leases {
	return liveness.New(liveness.Config{
		MinTTL: 10 * time.Second, Grace: 5 * time.Second, Failover: time.Minute, Jitter: func() float64 { return 0 },
	})
}

// A node is down when its lease and the grace are over, and not before, however often it
// was renewed; after a change of leader every node has the failover lease.
func TestSilentNodesGoDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := newLeases(), &deaths{}
		start(t, l, d, "known", "silent")
		for range 10 {
			if ttl := l.Renew("known"); ttl != 10*time.Second {
				t.Fatalf("lease of %s, want 10s", ttl)
			}
			time.Sleep(9 * time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := map[string]time.Duration{"silent": time.Minute, "known": 81*time.Second + 15*time.Second}
		for id, at := range want {
			if d.at[id] != at {
				t.Errorf("%s went down after %s, want %s", id, d.at[id], at)
			}
		}
	})
}

// A node that could not be marked is tried again.
func TestMarkIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := newLeases(), &deaths{fail: 2}
		start(t, l, d)
		l.Renew("n")
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := 17 * time.Second; d.at["n"] != want {
			t.Errorf("down after %s, want %s", d.at["n"], want)
		}
	})
}

// Many nodes get longer leases, so that their heartbeats stay below the rate.
func TestLeasesStretchWithTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := newLeases(), &deaths{}
		names := make([]string, 5000)
		for i := range names {
			names[i] = time.Duration(i).String()
		}
		start(t, l, d, names...)
		if ttl := l.Renew(names[0]); ttl != 100*time.Second {
			t.Errorf("lease of %s with 5000 nodes at 50 heartbeats a second, want 100s", ttl)
		}
	})
}

// The failover lease is over with the first heartbeat: a node that falls silent after it is
// down as soon as at any other time.
func TestHeartbeatEndsTheFailoverLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := newLeases(), &deaths{}
		start(t, l, d, "n")
		l.Renew("n")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if want := 15 * time.Second; d.at["n"] != want {
			t.Errorf("down after %s, want %s", d.at["n"], want)
		}
	})
}
