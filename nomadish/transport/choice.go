package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// ChoiceConfig says between which servers a Choice chooses.
type ChoiceConfig struct {
	Servers []string             // addresses that are known from the start
	Every   time.Duration        // time between two pings; default 1s
	Shuffle func(addrs []string) // puts addresses in the order in which they are tried; default: at random
	// MoveWithin is the time over which agents spread that are told to go to another server; default 5s.
	MoveWithin time.Duration
	Logger     *slog.Logger // default: discard
}

// Choice is the way to one of several servers: a session with one of them, as long as that answers
// pings, and then with another. A request is sent to one of them only. Methods may be called
// concurrently.
type Choice struct {
	hub    *Hub
	cfg    ChoiceConfig
	linger time.Duration
	moves  chan string // where to go over to; nobody takes it while this agent does so

	mu      sync.Mutex
	every   time.Duration
	addrs   []string             // in the order in which they are tried
	failed  map[string]time.Time // when one did not answer
	current string
	useless time.Time // since when the current one has answered nothing but that it can't; zero: it has not
}

// Times of choosing.
const (
	connectWithin = 1500 * time.Millisecond // to connect to one of several
	avoidFor      = 10 * time.Second        // one that did not answer is tried last
	uselessFor    = 3 * time.Second         // a server without a leader is given that long
	everyLeast    = time.Second             // between two pings
	everyMost     = 10 * time.Second
	pingLeast     = time.Second // for the answer to a ping
	pingMost      = 5 * time.Second
)

// Choose returns the way to one of several servers. Run keeps watch over it.
func (h *Hub) Choose(cfg ChoiceConfig) *Choice {
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	cfg.MoveWithin = cmp.Or(cfg.MoveWithin, 5*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Shuffle == nil {
		cfg.Shuffle = func(addrs []string) {
			rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
		}
	}
	c := &Choice{hub: h, cfg: cfg, every: cfg.Every, failed: map[string]time.Time{}, moves: make(chan string), linger: linger}
	c.Set(cfg.Servers)
	return c
}

// Set changes the addresses. The session that there is goes on, also when its server is not among them.
func (c *Choice) Set(addrs []string) {
	addrs = slices.Compact(slices.Sorted(slices.Values(addrs)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(addrs, slices.Sorted(slices.Values(c.addrs))) {
		return
	}
	c.cfg.Shuffle(addrs)
	c.addrs = addrs
	for addr := range c.failed {
		if !slices.Contains(addrs, addr) {
			delete(c.failed, addr)
		}
	}
}

// Leased is told of a lease that a server gave this node: the servers come with it, to which also are
// added, and how busy they are says how often they may be pinged. If it names a server with fewer
// sessions, this agent goes over to that one.
func (c *Choice) Leased(lease *nomadish.NodeLease, also []string) {
	if len(lease.Servers) > 0 {
		c.Set(slices.Concat(lease.Servers, also))
	}
	c.mu.Lock()
	c.every = min(max(lease.HeartbeatTTL/20, everyLeast), everyMost)
	c.mu.Unlock()
	if lease.Move != "" {
		select {
		case c.moves <- lease.Move:
		default: // it is about to go over already, or streams still keep it where it was before
		}
	}
}

// Servers returns the addresses, that of the current server first.
func (c *Choice) Servers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.addrs)
	if i := slices.Index(out, c.current); i > 0 {
		out[0], out[i] = out[i], out[0]
	}
	return out
}

// Connected says whether there is a session with one of the servers.
func (c *Choice) Connected() bool {
	c.mu.Lock()
	current := c.current
	c.mu.Unlock()
	return current != "" && c.hub.Dial(current).(*dialled).current() != nil
}

// RoundTrip makes a request to one of the servers.
func (c *Choice) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		l, err := c.connect(r.Context())
		if err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // as RoundTrippers must
			}
			return nil, err
		}
		resp, err := l.questions.ask(l.client, r)
		if errors.Is(err, errRetired) {
			continue // at the server where this agent is now
		}
		if err == nil {
			c.judge(l.peer.Addr, resp.StatusCode == http.StatusServiceUnavailable)
		}
		return resp, err
	}
}

// judge goes over to another server when the current one has had nothing to offer for a while: it may
// have lost the others.
func (c *Choice) judge(addr string, useless bool) {
	c.mu.Lock()
	over := false
	switch {
	case !useless || addr != c.current:
		c.useless = time.Time{}
	case c.useless.IsZero():
		c.useless = time.Now()
	default:
		over = time.Since(c.useless) >= uselessFor && len(c.addrs) > 1
	}
	c.mu.Unlock()
	if over {
		c.cfg.Logger.Warn("the server has no leader; this agent goes over to another", "server", addr)
		c.leave(addr)
	}
}

// connect returns a session with the current server or the first that can be reached.
func (c *Choice) connect(ctx context.Context) (*link, error) {
	candidates, current := c.candidates()
	if len(candidates) == 0 {
		return nil, nomadish.Errorf(nomadish.KindNoLeader, "no server is known")
	}
	var errs []error
	for _, addr := range candidates {
		l, err := c.try(ctx, addr, current, len(candidates) > 1)
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no server can be reached: %w", errors.Join(errs...))
}

// try returns a session with a server, which is the current one from then on, unless that has changed.
func (c *Choice) try(ctx context.Context, addr, current string, hurry bool) (*link, error) {
	within := ctx
	if hurry {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, connectWithin)
		defer cancel()
	}
	l, err := c.hub.Dial(addr).(*dialled).connect(within)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		delete(c.failed, addr)
		if c.current == current || c.current == "" {
			c.current = addr
		}
	case ctx.Err() == nil:
		c.failed[addr] = time.Now()
	}
	return l, err
}

// candidates lists the addresses in the order in which to try them: the current one, then the others,
// and those last that have not answered a moment ago.
func (c *Choice) candidates() (addrs []string, current string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rank := func(addr string) int {
		at, failed := c.failed[addr]
		switch {
		case failed && time.Since(at) < avoidFor:
			return 2
		case addr == c.current:
			return 0
		}
		return 1
	}
	out := slices.Clone(c.addrs)
	if c.current != "" && !slices.Contains(out, c.current) {
		out = append(out, c.current)
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return out, c.current
}

// Run pings the current server until ctx ends, and goes over to another when it does not answer, or
// when another one has fewer sessions.
func (c *Choice) Run(ctx context.Context) error {
	var even sync.WaitGroup
	defer even.Wait()
	even.Go(func() { c.keepEven(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.mu.Lock()
		every, current := c.every, c.current
		c.mu.Unlock()
		timer.Reset(every)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if current == "" {
			continue // the first request connects
		}
		if err := c.ping(ctx, current, min(max(every, pingLeast), pingMost)); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("the server does not answer; this agent goes over to another", "server", current, "err", err)
			c.leave(current)
			if _, err := c.connect(ctx); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("no server can be reached", "err", err) // requests go on trying
			}
		}
	}
}

// ping asks the current server for a sign of life, if there is a session with it.
func (c *Choice) ping(ctx context.Context, addr string, within time.Duration) error {
	l := c.hub.Dial(addr).(*dialled).current()
	if l == nil {
		return nil
	}
	p, ok := l.session.(interface {
		Ping(ctx context.Context) error
	})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return p.Ping(ctx)
}

// leave ends the session with a server, and with it the requests that wait for it.
func (c *Choice) leave(addr string) {
	c.mu.Lock()
	c.failed[addr] = time.Now()
	if c.current == addr {
		c.current, c.useless = "", time.Time{}
	}
	c.mu.Unlock()
	c.hub.Forget(addr)
}
