//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Whatever becomes of the leader while the cluster is used: another one takes over, no acknowledged write
// is lost, and no read misses one. One that comes back has not answered from what it knew.
func TestLeaderLoss(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	for _, tt := range []struct {
		name          string
		fault, mend   func(*Machine) error
		median, worst time.Duration
	}{
		{"killed", (*Machine).Kill, (*Machine).Start, time.Second, 3 * time.Second},
		{"paused", (*Machine).Pause, (*Machine).Resume, 2 * time.Second, 3 * time.Second},
		{"unplugged", (*Machine).Unplug, (*Machine).Plug, 2 * time.Second, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outages := &figures{name: "outage of writes, leader " + tt.name, median: tt.median, worst: tt.worst}
			running, end := load(t, lab, tt.name)
			for range full(1, 20) {
				outages.add(loseLeader(t, lab, running, tt.fault, tt.mend))
			}
			checkLoad(t, lab, tt.name, end(), full(1, 20)*150)
			outages.report(t)
		})
	}
}

// loseLeader has a fault befall the leader under load, and measures how long no write is acknowledged.
func loseLeader(t *testing.T, lab *Lab, running *Load, fault, mend func(*Machine) error) time.Duration {
	t.Helper()
	ctx := testContext(t)
	must(t, acked(ctx, running, 50))
	leader, err := lab.Leader(ctx)
	must(t, err)
	begin := time.Now()
	must(t, fault(leader))
	must(t, acked(ctx, running, 100))
	outage := running.History().Outage(begin)
	must(t, mend(leader))
	must(t, freshReads(ctx, leader, running))
	must(t, lab.Ready(ctx))
	return outage
}

// freshReads asks a server that has come back, by itself, for what was acknowledged last: it may refuse, and
// if it answers it knows.
func freshReads(ctx context.Context, m *Machine, running *Load) error {
	var reads sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range 20 {
		reads.Go(func() {
			path := running.newest()
			err := brief(ctx, func(ctx context.Context) error {
				_, _, err := m.API.Variables().Variable(ctx, path, nil)
				return err
			})
			if errors.Is(err, nomadish.ErrNotFound) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s answers a read that it does not have %s: %w", m.cfg.Name, path, err))
			}
		})
		time.Sleep(2 * time.Millisecond) // so that they meet all that the server goes through
	}
	reads.Wait()
	return errors.Join(errs...)
}

// checkLoad ends a load and checks what its users were told.
func checkLoad(t *testing.T, lab *Lab, name string, h History, least int) {
	t.Helper()
	must(t, lab.Check(testContext(t), name, h, least))
	t.Logf("%s: %d writes acknowledged, %d refused (%s), %d unknown (%s), %d reads answered, %d not", name,
		len(h.Acked), len(h.Refused), last(h.Refused), len(h.Unknown), last(h.Why), h.Reads, h.Unread)
}

// All servers are killed at once under load, and have everything when they are back.
func TestAllServersKilled(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	running, end := load(t, lab, "all-killed")
	for range full(1, 5) {
		must(t, acked(testContext(t), running, 100))
		for _, m := range lab.Servers() {
			must(t, m.Kill())
		}
		for _, m := range lab.Servers() {
			must(t, m.Start())
		}
	}
	must(t, acked(testContext(t), running, 50))
	checkLoad(t, lab, "all-killed", end(), full(1, 5)*100)
}
