// Package bootstrap begins a cluster of several servers, once, when as many as are expected have found each
// other and none of them belongs to a cluster.
//
// Not every server begins it: of those that see each other the one with the smallest ID does, after all the
// others have agreed to be in that very cluster and in no other. So two servers that see different ones
// can't begin two clusters. The others begin nothing and hear from the new leader.
package bootstrap

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/gossip"
)

// Raft is this server's part in replication.
type Raft interface {
	HasState() bool // it belongs to a cluster
	Bootstrap(ctx context.Context, ids []string) error
}

// Pool knows the other servers.
type Pool interface {
	Members() []gossip.Member
	Changed() <-chan struct{}
}

// Ask puts an offer to another server.
type Ask func(ctx context.Context, id string, offer *nomadish.BootstrapOffer) (*nomadish.BootstrapAnswer, error)

// Config of a Bootstrap.
type Config struct {
	ID     string
	Region string
	Expect int // servers to wait for; 0: this server begins no cluster, and agrees to none

	Again   time.Duration // after which it is tried again; default 500ms
	Timeout time.Duration // in which all others have to agree; default 3s
	Promise time.Duration // for which an agreement holds that nobody withdraws; default 60s, at least 4 times Timeout

	Logger *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	c.Again = cmp.Or(c.Again, 500*time.Millisecond)
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.Promise = max(cmp.Or(c.Promise, time.Minute), 4*c.Timeout)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Bootstrap is one server's part in beginning a cluster.
type Bootstrap struct {
	cfg  Config
	raft Raft
	pool Pool
	ask  Ask

	mu       sync.Mutex
	promised string // ID of the server whose offer was agreed to; empty: none
	since    time.Time
	told     string // the last reason for waiting that was logged
}

// New returns a Bootstrap. It starts nothing.
func New(cfg Config, raft Raft, pool Pool, ask Ask) *Bootstrap {
	return &Bootstrap{cfg: cfg.withDefaults(), raft: raft, pool: pool, ask: ask}
}

// Run waits until this server belongs to a cluster, which it begins if it is the one to do so.
func (b *Bootstrap) Run(ctx context.Context) error {
	for !b.raft.HasState() {
		changed := b.pool.Changed()
		if b.cfg.Expect > 0 {
			b.try(ctx)
		} else {
			b.waits("bootstrap_expect is not set: this server waits until a cluster that it joins adds it")
		}
		select {
		case <-changed:
		case <-time.After(b.cfg.Again):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// try begins the cluster if it is time to.
func (b *Bootstrap) try(ctx context.Context) {
	ids, wait := candidates(b.cfg, b.pool.Members())
	if wait != "" {
		b.waits(wait)
		return
	}
	if ids[0] != b.cfg.ID {
		b.waits("server " + ids[0] + " is to begin the cluster")
		return
	}
	if err := b.begin(ctx, ids); err != nil && ctx.Err() == nil {
		b.waits(err.Error())
	}
}

// candidates are the IDs of a cluster's first servers, the one that begins it in front; or what is
// waited for.
func candidates(cfg Config, members []gossip.Member) (ids []string, wait string) {
	for _, m := range members {
		if m.Region != cfg.Region || m.Status != gossip.StatusAlive {
			continue
		}
		switch {
		case m.HasState:
			return nil, fmt.Sprintf("server %s belongs to a cluster, whose leader will add this one", m.FullName())
		case m.Nonvoter:
		case m.Expect > 0 && m.Expect != cfg.Expect:
			return nil, fmt.Sprintf("bootstrap_expect is %d here and %d on server %s", cfg.Expect, m.Expect, m.FullName())
		case m.Expect > 0:
			ids = append(ids, m.ID)
		}
	}
	if !slices.Contains(ids, cfg.ID) {
		return nil, "this server is not in the pool yet"
	}
	if len(ids) < cfg.Expect {
		return nil, fmt.Sprintf("%d of %d expected servers are there", len(ids), cfg.Expect)
	}
	slices.Sort(ids)
	return ids, ""
}

// begin asks all others to agree, and begins the cluster if they do.
func (b *Bootstrap) begin(ctx context.Context, ids []string) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	offer := &nomadish.BootstrapOffer{From: b.cfg.ID, Servers: ids, Expect: b.cfg.Expect}
	if a := b.Offer(offer); !a.Agreed {
		return fmt.Errorf("this server is asked for already: %s", a.Reason)
	}
	refusals := make([]string, len(ids))
	var asking sync.WaitGroup
	for i, id := range ids {
		if id == b.cfg.ID {
			continue
		}
		asking.Go(func() {
			a, err := b.ask(ctx, id, offer)
			switch {
			case err != nil:
				refusals[i] = fmt.Sprintf("server %s: %v", id, err)
			case !a.Agreed:
				refusals[i] = fmt.Sprintf("server %s: %s", id, a.Reason)
			}
		})
	}
	asking.Wait()
	refusals = slices.DeleteFunc(refusals, func(s string) bool { return s == "" })
	// Agreements hold for long. Whoever got them long ago may have slept since, and asks again.
	if len(refusals) == 0 && time.Since(began) < b.cfg.Promise/2 {
		b.cfg.Logger.Info("a cluster begins", "servers", ids)
		return b.raft.Bootstrap(context.WithoutCancel(ctx), ids)
	}
	b.release(context.WithoutCancel(ctx), *offer)
	return fmt.Errorf("not all servers agree to begin a cluster: %s", strings.Join(refusals, "; "))
}

// release withdraws an offer.
func (b *Bootstrap) release(ctx context.Context, offer nomadish.BootstrapOffer) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	offer.Release = true
	var asking sync.WaitGroup
	for _, id := range offer.Servers {
		if id == b.cfg.ID {
			b.Offer(&offer)
			continue
		}
		asking.Go(func() { _, _ = b.ask(ctx, id, &offer) }) // what is not withdrawn lapses
	}
	asking.Wait()
}

// Offer answers another server that wants to begin a cluster.
func (b *Bootstrap) Offer(o *nomadish.BootstrapOffer) *nomadish.BootstrapAnswer {
	other := b.cluster()
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.Release {
		if b.promised == o.From {
			b.promised = ""
		}
		return &nomadish.BootstrapAnswer{}
	}
	refuse := func(format string, args ...any) *nomadish.BootstrapAnswer {
		return &nomadish.BootstrapAnswer{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case b.raft.HasState():
		return refuse("it belongs to a cluster already")
	case other != "":
		return refuse("it sees server %s, which belongs to a cluster", other)
	case b.cfg.Expect == 0:
		return refuse("it has no bootstrap_expect and waits to be added to a cluster")
	case o.Expect != b.cfg.Expect:
		return refuse("bootstrap_expect is %d there, %d here", b.cfg.Expect, o.Expect)
	case !slices.Contains(o.Servers, b.cfg.ID) || !slices.Contains(o.Servers, o.From) || len(o.Servers) < o.Expect:
		return refuse("the offer lacks servers")
	case b.promised != "" && b.promised != o.From && time.Since(b.since) < b.cfg.Promise:
		return refuse("it has agreed to what server %s asked", b.promised)
	}
	b.promised, b.since = o.From, time.Now()
	return &nomadish.BootstrapAnswer{Agreed: true}
}

// cluster names a server of this region that is there and belongs to a cluster; empty: none does.
func (b *Bootstrap) cluster() string {
	for _, m := range b.pool.Members() {
		if m.Region == b.cfg.Region && m.Status == gossip.StatusAlive && m.HasState {
			return m.FullName()
		}
	}
	return ""
}

// waits logs what is waited for, when it has changed.
func (b *Bootstrap) waits(reason string) {
	b.mu.Lock()
	known := b.told == reason
	b.told = reason
	b.mu.Unlock()
	if !known {
		b.cfg.Logger.Info("no cluster yet", "reason", reason)
	}
}
