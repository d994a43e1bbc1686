package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server/gossip"
)

// PoolConfig says how a server finds the others, of its region and of all.
type PoolConfig struct {
	Bind      string   // host:port of gossip, for UDP and TCP; required
	Advertise string   // host or host:port at which others reach Bind; default: that of RPC
	Keys      [][]byte // of 16, 24 or 32 bytes, that encrypt gossip: the first, others are read too; none: it is not
	Timing    GossipTiming

	// Expect is the number of servers that begin a new cluster, when as many have found each other; 1: this
	// one alone does at once; 0: it begins none, and is added to that of the servers that it joins.
	Expect   int
	Nonvoter bool // it follows, and is never given a vote

	StartJoin     []string      // host or host:port of servers to join at the start; that none answers is an error
	RetryJoin     []string      // the same, or questions as package discovery has them, tried again until one answers
	RetryMax      int           // attempts at RetryJoin after which the agent ends, if none ever succeeded; 0: without end
	RetryInterval time.Duration // between attempts, which begin faster; default 30s

	// Leave says whether the server says good-bye when its agent ends, by the cause with which the context
	// of Run ended: the cluster then does without it. Default: never, since it comes back.
	Leave            func(cause error) bool
	RejoinAfterLeave bool // after a good-bye, join those that were known when the agent starts again
}

// GossipTiming is how soon members of the pool notice each other's absence. The defaults of zero fields are
// those of package gossip.
type GossipTiming struct {
	ProbeInterval, ProbeTimeout, RejoinEvery time.Duration
}

// alone says whether this server is a cluster from the start, without finding others first.
func (c Config) alone() bool { return c.Pool == nil || c.Pool.Expect == 1 }

// newPool binds the sockets of gossip. The address for other agents is known by now.
func (a *Agent) newPool() (err error) {
	c := a.cfg.Pool
	if c == nil || a.cfg.Server == nil {
		return nil
	}
	dir := filepath.Join(a.cfg.DataDir, "server")
	advertise := c.Advertise
	if advertise == "" {
		if advertise, _, err = net.SplitHostPort(a.rpcAddress()); err != nil {
			return fmt.Errorf("gossip: others have no address for this agent: %w", err)
		}
	}
	a.pool, err = gossip.New(gossip.Config{
		Self: gossip.Member{
			ID: a.id, Name: a.cfg.Name, Region: a.cfg.Region, Datacenter: a.cfg.Datacenter, Build: a.cfg.Version,
			RPC: a.rpcAddress(), HTTP: a.advertised(), Expect: c.Expect, Nonvoter: c.Nonvoter,
		},
		Bind: c.Bind, Advertise: advertise, Keys: c.Keys,
		KeyringFile: filepath.Join(dir, "serf.keyring"), PeersFile: filepath.Join(dir, "peers.json"), RejoinAfterLeave: c.RejoinAfterLeave,
		ProbeInterval: c.Timing.ProbeInterval, ProbeTimeout: c.Timing.ProbeTimeout, RejoinEvery: c.Timing.RejoinEvery,
		Now: a.cfg.Now, Logger: a.cfg.Logger,
	})
	return err
}

// rpcAddress is where other agents reach this one; empty where they can't.
func (a *Agent) rpcAddress() string {
	if a.cfg.AdvertiseRPC != "" {
		return a.cfg.AdvertiseRPC
	}
	if a.hub == nil || a.hub.Addr() == nil {
		return ""
	}
	return outward(a.hub.Addr())
}

// SerfAddr returns the address of gossip, or nil without one.
func (a *Agent) SerfAddr() net.Addr {
	if a.pool == nil {
		return nil
	}
	return a.pool.Addr()
}

// resolve says where a server listens for agents.
func (a *Agent) resolve(id string) (string, error) {
	if id == a.id {
		return a.rpcAddress(), nil
	}
	if a.pool != nil {
		if m, ok := a.pool.Member(id); ok && m.RPC != "" {
			return m.RPC, nil
		}
	}
	return "", fmt.Errorf("server %s: its address is not known", id)
}

// knowsServer says whether a server of that ID and region may have a session: one of the cluster, or one
// that the pool knows. Where sessions are encrypted, its certificate was checked before.
func (a *Agent) knowsServer(h transport.Hello) bool {
	if h.Region == a.cfg.Region {
		for _, p := range a.server.Consensus().Peers() {
			if p.ID == h.ID {
				return true
			}
		}
	}
	if a.pool == nil {
		return false
	}
	m, ok := a.pool.Member(h.ID)
	return ok && m.Region == h.Region
}

// Join has this server join those at the addresses, host or host:port of gossip. It returns how many let it in.
func (a *Agent) Join(ctx context.Context, addrs []string) (int, error) {
	if a.pool == nil {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "this agent is no server that others could join")
	}
	return a.pool.Join(ctx, addrs)
}

// runPool takes part in gossip, and joins the servers that the configuration names.
func (a *Agent) runPool(ctx context.Context) error {
	return lifecycle.Run(ctx, a.pool.Run, a.joinServers)
}

// joinServers joins until the agent ends: a server that finds itself alone tries again.
func (a *Agent) joinServers(ctx context.Context) error {
	c := a.cfg.Pool
	if len(c.StartJoin) > 0 {
		n, err := a.pool.Join(ctx, c.StartJoin)
		if err != nil {
			return fmt.Errorf("server_join.start_join: %w", err)
		}
		a.cfg.Logger.Info("joined servers", "count", n)
	}
	if len(c.RetryJoin) == 0 {
		<-ctx.Done()
		return nil
	}
	had, pause := false, newPatience(c.RetryInterval)
	for attempt := 1; ; attempt++ {
		if !a.lonely() {
			had, attempt, pause = true, 0, newPatience(c.RetryInterval)
		} else if n, err := a.joinFound(ctx); err == nil {
			a.cfg.Logger.Info("joined servers", "count", n)
		} else if ctx.Err() == nil {
			if !had && c.RetryMax > 0 && attempt >= c.RetryMax {
				return fmt.Errorf("server_join.retry_join: %d attempts were in vain: %w", attempt, err)
			}
			a.cfg.Logger.Warn("no server could be joined yet", "attempt", attempt, "again", pause.next, "err", err)
		}
		if !pause.wait(ctx) {
			return nil
		}
	}
}

// joinFound joins the servers that retry_join names, or asks for. What could not be found out is no fault
// where another one answers.
func (a *Agent) joinFound(ctx context.Context) (int, error) {
	addrs, unknown := a.cfg.Discovery.Resolve(ctx, a.cfg.Pool.RetryJoin)
	if len(addrs) == 0 {
		return 0, unknown
	}
	n, err := a.pool.Join(ctx, addrs)
	if err != nil {
		return 0, errors.Join(unknown, err)
	}
	if unknown != nil {
		a.cfg.Logger.Warn("servers could not be looked up", "err", unknown)
	}
	return n, nil
}

// lonely says whether no other server is there. A server's own address may be among those that it joins.
func (a *Agent) lonely() bool {
	for _, m := range a.pool.Members() {
		if m.ID != a.id && m.Status == gossip.StatusAlive {
			return false
		}
	}
	return true
}

// untilLeft runs the agent's parts until ctx has ended, and what is to be done before has been.
func (a *Agent) untilLeft(ctx context.Context, parts []lifecycle.Part) error {
	if a.cfg.DrainAtEnd == nil && a.pool == nil {
		return lifecycle.Run(ctx, parts...)
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	left := make(chan error, 1)
	go func() {
		defer cancel()
		select {
		case <-ctx.Done():
			var errs []error
			for _, farewell := range a.farewells(context.Cause(ctx)) {
				errs = append(errs, farewell(inner))
			}
			left <- errors.Join(errs...)
		case <-inner.Done():
			left <- nil
		}
	}()
	err := lifecycle.Run(inner, parts...)
	cancel()
	return errors.Join(err, <-left)
}

// handOverWithin is how long a server that ends looks for another one to lead.
const handOverWithin = time.Second

// handOver has another server lead, if this one does: who is told takes over faster than who has to notice.
func (a *Agent) handOver(ctx context.Context) error {
	c := a.server.Consensus()
	if !c.IsLeader() || len(c.Peers()) < 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handOverWithin)
	defer cancel()
	if err := c.TransferLeadership(ctx, ""); err != nil {
		a.cfg.Logger.Info("no other server has taken the lead before the end", "err", err)
	}
	return nil
}

// leaveWithin is how long a good-bye may take.
const leaveWithin = 8 * time.Second

// leave says good-bye: another server leads, and the cluster goes on without this one. Where this server is
// the only one, nobody is told.
func (a *Agent) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	c := a.server.Consensus()
	var errs []error
	others := len(c.Peers()) > 1
	if c.IsLeader() && others {
		if err := c.TransferLeadership(ctx, ""); err != nil {
			errs = append(errs, fmt.Errorf("hand over the lead: %w", err))
		}
	}
	if err := a.pool.Leave(ctx); err != nil {
		errs = append(errs, err)
	}
	for others && a.isPeer() && lifecycle.Sleep(ctx, 50*time.Millisecond) == nil {
	}
	return errors.Join(errs...)
}

// isPeer says whether the leader counts this server among those of the cluster, as far as it knows.
func (a *Agent) isPeer() bool {
	for _, p := range a.server.Consensus().Peers() {
		if p.ID == a.id {
			return true
		}
	}
	return false
}
