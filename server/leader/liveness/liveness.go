// Package liveness notices nodes that have gone silent: each has a lease that its
// heartbeats renew, and one whose lease is over is down.
package liveness

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Config of Leases.
type Config struct {
	MinTTL   time.Duration // shortest lease; default 10s
	Grace    time.Duration // after a lease, before the node is taken for down; default 10s
	Failover time.Duration // the lease of every node when a server becomes the leader; default 5m
	PerSec   float64       // heartbeats a second that leases are stretched to keep below; default 50
	Jitter   func() float64
	Logger   *slog.Logger // default: discard
}

// Watcher is told of nodes that have gone silent.
type Watcher interface {
	// Down marks a node as down after it was silent for that long.
	Down(ctx context.Context, nodeID string, silent time.Duration) error
}

// Leases holds the leases of all nodes, on the leader.
type Leases struct {
	cfg Config

	mu      sync.Mutex
	active  bool                 // this server leads
	expires map[string]time.Time // by node, grace included
	renewed map[string]time.Time
	changed chan struct{} // poked when an earlier deadline may have come
}

// New returns leases without nodes.
func New(cfg Config) *Leases {
	cfg.MinTTL = cmp.Or(cfg.MinTTL, 10*time.Second)
	cfg.Grace = cmp.Or(cfg.Grace, 10*time.Second)
	cfg.Failover = cmp.Or(cfg.Failover, 5*time.Minute)
	cfg.PerSec = cmp.Or(cfg.PerSec, 50)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	return &Leases{cfg: cfg, changed: make(chan struct{}, 1)}
}

// Renew gives a node another lease and returns its length: the shortest, or what keeps the
// heartbeats of all nodes below the rate, and up to as much again at random.
func (l *Leases) Renew(nodeID string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	spread := time.Duration(float64(len(l.expires)) / l.cfg.PerSec * float64(time.Second))
	ttl := max(l.cfg.MinTTL, spread)
	ttl += time.Duration(l.cfg.Jitter() * float64(ttl))
	if l.active {
		now := time.Now()
		end := now.Add(ttl + l.cfg.Grace)
		// A lease gets shorter too, most of all the failover lease by the first heartbeat.
		if before, known := l.expires[nodeID]; !known || end.Before(before) {
			l.poke()
		}
		l.expires[nodeID], l.renewed[nodeID] = end, now
	}
	return ttl
}

func (l *Leases) poke() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Run watches the leases while this server leads. nodes are those that are not down when its
// term begins: each has the failover lease.
func (l *Leases) Run(ctx context.Context, nodes []string, w Watcher) error {
	l.begin(nodes)
	defer l.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Stop()
		if next, ok := l.earliest(); ok {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
		case <-timer.C:
		}
		for id, silent := range l.over() {
			if err := w.Down(ctx, id, silent); err != nil && ctx.Err() == nil {
				l.cfg.Logger.Warn("mark node as down", "node", id, "err", err)
				l.retry(id)
			}
		}
	}
}

func (l *Leases) begin(nodes []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = true
	l.expires, l.renewed = map[string]time.Time{}, map[string]time.Time{}
	now := time.Now()
	for _, id := range nodes {
		l.expires[id], l.renewed[id] = now.Add(l.cfg.Failover), now
	}
}

func (l *Leases) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.expires, l.renewed = false, nil, nil
}

func (l *Leases) earliest() (first time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.expires {
		if !ok || at.Before(first) {
			first, ok = at, true
		}
	}
	return first, ok
}

// over takes out the nodes whose leases are over, with how long they were silent.
func (l *Leases) over() map[string]time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	out := map[string]time.Duration{}
	for id, at := range l.expires {
		if !at.After(now) {
			out[id] = now.Sub(l.renewed[id])
			delete(l.expires, id)
			delete(l.renewed, id)
		}
	}
	return out
}

// retry puts back a node that could not be marked, unless it has spoken since.
func (l *Leases) retry(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, back := l.expires[id]; !back {
		now := time.Now()
		l.expires[id], l.renewed[id] = now.Add(time.Second), now
	}
}
