// Package gossip is the pool in which servers of all regions find each other: who there is, where, and
// whether it answers. What the pool says is a hint. Nobody is given a vote, let into a session or
// believed because of it: that is up to the certificates of sessions and to consensus.
//
//	p, err := gossip.New(gossip.Config{Self: gossip.Member{ID: id, Name: "a", Region: "global"}, Bind: "0.0.0.0:4648"})
//	go p.Run(ctx)
//	n, err := p.Join(ctx, []string{"10.0.0.1:4648"})
//
// Traffic is encrypted when keys are given; they can be changed while the pool is up.
package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nomadish/nomadish/nomadish"
)

// DefaultPort is the port of Nomad's gossip, which is ours too.
const DefaultPort = 4648

// label is on every packet, so that packets of other programs' pools are never taken for ours.
const label = "nomadish-servers-1"

// Config says who this server is in the pool, and where.
type Config struct {
	Self      Member   // who this server is; ID, Name and Region are required
	Bind      string   // host:port for UDP and TCP; port 0 takes a free one; required
	Advertise string   // host or host:port at which others reach Bind; default: Bind
	Keys      [][]byte // of 16, 24 or 32 bytes, the one that encrypts first; none: nothing is encrypted

	KeyringFile string // keeps the keys; what it holds wins over Keys; empty: they are not kept
	PeersFile   string // keeps who is known; empty: that is forgotten
	// RejoinAfterLeave has a server that left join the members of its PeersFile again when it starts.
	RejoinAfterLeave bool

	MaxMembers    int           // more are not let in; default 512
	ProbeInterval time.Duration // between looks at a random member; default 1s
	ProbeTimeout  time.Duration // in which it has to answer; default half of ProbeInterval
	RejoinEvery   time.Duration // between attempts to reach members that failed; default 15s
	KeyTimeout    time.Duration // in which members have to answer about keys; default 5s
	ForgetFailed  time.Duration // after which a member that failed is forgotten; default 72h
	ForgetLeft    time.Duration // after which a member that left is forgotten; default 24h

	Now    func() time.Time // wall clock, for counting starts where PeersFile is lost; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	c.MaxMembers = cmp.Or(c.MaxMembers, 512)
	c.ProbeInterval = cmp.Or(c.ProbeInterval, time.Second)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, c.ProbeInterval/2)
	c.RejoinEvery = cmp.Or(c.RejoinEvery, 15*time.Second)
	c.KeyTimeout = cmp.Or(c.KeyTimeout, 5*time.Second)
	c.ForgetFailed = cmp.Or(c.ForgetFailed, 72*time.Hour)
	c.ForgetLeft = cmp.Or(c.ForgetLeft, 24*time.Hour)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Pool is one server's part in the pool. Methods may be called concurrently; those that talk to others
// wait until Run has begun.
type Pool struct {
	cfg     Config
	sockets *sockets
	keys    *keyring // nil: nothing is encrypted
	inbox   chan message
	started chan struct{} // closed when list is there
	ended   chan struct{} // closed when Run returns
	list    *memberlist.Memberlist
	logger  *gate

	mu      sync.Mutex
	self    meta
	members map[string]*member // by ID, this server too
	pruned  map[string]pruned  // by ID
	refused map[string]bool    // whose metadata can't be read; bounded
	changed chan struct{}      // closed with the next change of members
	asks    map[uint64]chan<- keyAnswer
	queue   *memberlist.TransmitLimitedQueue
	left    bool
}

// New binds the sockets and reads what is kept. It starts nothing; a pool that is not run must be closed.
func New(cfg Config) (*Pool, error) {
	cfg = cfg.withDefaults()
	p := &Pool{
		cfg: cfg, logger: &gate{logger: cfg.Logger}, inbox: make(chan message, 64), started: make(chan struct{}), ended: make(chan struct{}),
		members: map[string]*member{}, pruned: map[string]pruned{}, refused: map[string]bool{},
		changed: make(chan struct{}), asks: map[uint64]chan<- keyAnswer{},
	}
	p.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: 4, NumNodes: p.size}
	p.self = meta{Member: cfg.Self}
	p.self.Status = StatusAlive
	var err error
	if p.keys, err = openKeyring(cfg.KeyringFile, cfg.Keys); err != nil {
		return nil, err
	}
	if err := p.readPeers(); err != nil {
		return nil, err
	}
	if _, err := p.self.encode(); err != nil {
		return nil, fmt.Errorf("gossip: this server: %w", err)
	}
	if p.sockets, err = listen(cfg.Bind, cfg.Advertise, cfg.Logger); err != nil {
		return nil, err
	}
	p.self.Addr, p.self.Port = p.sockets.advertise.IP.String(), uint16(p.sockets.advertise.Port)
	p.members[p.self.ID] = &member{meta: p.self, since: time.Now()}
	return p, nil
}

// Addr returns the address at which others reach this server's part.
func (p *Pool) Addr() net.Addr { return p.sockets.advertise }

// Close frees the sockets of a pool that was never run.
func (p *Pool) Close() error { return p.sockets.close() }

// memberlist returns the settings in memberlist's words.
func (p *Pool) memberlist() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Transport, c.Label = p.cfg.Self.ID, p.sockets, label
	c.ProbeInterval, c.ProbeTimeout = p.cfg.ProbeInterval, p.cfg.ProbeTimeout
	c.PushPullInterval = p.cfg.RejoinEvery
	c.TCPTimeout = 5 * time.Second
	c.EnableCompression = false              // little is said, and what unpacks can be a bomb
	c.DeadNodeReclaimTime = time.Millisecond // a server that failed may come back at another address
	c.RequireNodeNames = false
	c.Delegate, c.Events, c.Alive, c.Conflict = (*delegate)(p), (*delegate)(p), (*delegate)(p), (*delegate)(p)
	c.Logger = log.New(p.logger, "", 0)
	if p.keys != nil {
		c.Keyring = p.keys.ring
	}
	return c
}

// Run takes part in the pool until ctx ends. It does not leave: the others see a server that fails, and
// comes back when it is started again.
func (p *Pool) Run(ctx context.Context) error {
	defer close(p.ended)
	if ctx.Err() != nil {
		return p.sockets.close()
	}
	p.sockets.run()
	list, err := memberlist.Create(p.memberlist())
	if err != nil {
		return fmt.Errorf("gossip: %w", errors.Join(err, p.sockets.Shutdown()))
	}
	p.list = list
	close(p.started)
	var parts sync.WaitGroup
	parts.Go(func() { p.answer(ctx) })
	parts.Go(func() { p.maintain(ctx) })
	parts.Go(func() { p.keepPeers(ctx) })
	<-ctx.Done()
	parts.Wait()
	defer p.logger.close()
	return list.Shutdown()
}

// ready waits until the pool is up.
func (p *Pool) ready(ctx context.Context) error {
	select {
	case <-p.started:
	case <-p.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-p.ended:
		return errEnded
	default:
		return nil
	}
}

var errEnded = nomadish.Errorf(nomadish.KindInternal, "gossip: this server is stopping")

// maintain tries again to reach members that failed, and forgets those that did so long ago.
func (p *Pool) maintain(ctx context.Context) {
	tick := time.NewTicker(p.cfg.RejoinEvery)
	defer tick.Stop()
	for {
		for _, n := range p.list.Members() {
			if !p.prunedLately(n.Name) { // one that was forgotten and is there nevertheless
				p.heard(n)
			}
		}
		p.rejoin(ctx)
		select {
		case <-tick.C:
			p.forget(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// rejoin looks for members that failed: they may be there again, and know nothing of this server.
func (p *Pool) rejoin(ctx context.Context) {
	if p.isLeft() {
		return
	}
	for _, m := range p.Members() {
		if m.Status != StatusFailed || m.Addr == "" {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		addr := net.JoinHostPort(m.Addr, fmt.Sprint(m.Port))
		if _, err := p.list.Join([]string{addr}); err != nil {
			p.cfg.Logger.Debug("gossip: a failed server does not answer", "server", m.FullName(), "addr", addr, "err", err)
		}
	}
}

// Join asks the members at the addresses (host or host:port) to let this server in. It returns how many did;
// an error only if none did.
func (p *Pool) Join(ctx context.Context, addrs []string) (int, error) {
	if err := p.ready(ctx); err != nil {
		return 0, err
	}
	joined := 0
	var errs []error
	for _, addr := range addrs {
		found, err := resolve(ctx, addr)
		if err != nil {
			errs = append(errs, err)
		}
		for _, at := range found {
			if ctx.Err() != nil {
				return joined, ctx.Err()
			}
			n, err := p.list.Join([]string{at})
			if joined += n; err != nil {
				errs = append(errs, fmt.Errorf("join %s: %s", addr, joinError(err)))
			}
		}
	}
	if joined > 0 {
		return joined, nil
	}
	return 0, errors.Join(errs...)
}

// joinError makes one line of memberlist's list.
func joinError(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return strings.TrimLeft(lines[len(lines)-1], "\t *")
}

// resolve returns the addresses of a host's name, with the port.
func resolve(ctx context.Context, addr string) ([]string, error) {
	if strings.Contains(addr, "provider=") {
		return nil, errors.New("join: servers are looked up at providers by retry_join alone: give their addresses, or a name that all of them have")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.Trim(addr, "[]"), fmt.Sprint(DefaultPort)
	}
	if host == "" {
		return nil, fmt.Errorf("join %q: no host is given", addr)
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", addr, err)
	}
	slices.Sort(ips)
	for i, ip := range ips {
		ips[i] = net.JoinHostPort(ip, port)
	}
	return slices.Compact(ips), nil
}

// Leave tells the others that this server goes. Until Run ends it still answers; it can't come back.
func (p *Pool) Leave(ctx context.Context) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.left, p.self.leaving = true, true
	p.mu.Unlock()
	if err := p.announce(ctx); err != nil {
		return err
	}
	if err := p.list.Leave(patience(ctx)); err != nil {
		return fmt.Errorf("gossip: leave: %w", err)
	}
	return nil
}

func (p *Pool) isLeft() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// patience is how long memberlist may take for what a caller asks.
func patience(ctx context.Context) time.Duration {
	const most = 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return max(min(time.Until(deadline), most), time.Millisecond)
	}
	return most
}

// Update changes what this server tells of itself: change must leave who and where it is.
func (p *Pool) Update(ctx context.Context, change func(*Member)) error {
	p.mu.Lock()
	next := p.self
	change(&next.Member)
	next.ID, next.Addr, next.Port, next.Status = p.self.ID, p.self.Addr, p.self.Port, p.self.Status
	_, err := next.encode()
	same := err == nil && next.same(&p.self)
	if err == nil && !same {
		p.self = next
		p.members[next.ID] = &member{meta: next, since: p.members[next.ID].since}
		p.tell()
	}
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("gossip: this server: %w", err)
	}
	if same {
		return nil
	}
	return p.announce(ctx)
}

// announce tells the others what this server is now.
func (p *Pool) announce(ctx context.Context) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	if err := p.list.UpdateNode(patience(ctx)); err != nil {
		return fmt.Errorf("gossip: announce: %w", err)
	}
	return nil
}

// gate lets what happens in the pool into the log until Run ends. Timers of memberlist's go off after that.
type gate struct {
	logger *slog.Logger

	mu     sync.RWMutex // held for reading while something is logged
	closed bool
}

func (g *gate) log(level slog.Level, message string, args ...any) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if !g.closed {
		g.logger.Log(context.Background(), level, message, args...) //nolint:sloglint // constant where log is called
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// Write passes memberlist's lines on. They are about single packets, which anybody may send: what an
// operator acts on is logged where members change.
func (g *gate) Write(line []byte) (int, error) {
	g.log(slog.LevelDebug, "gossip", "message", strings.TrimSpace(string(line)))
	return len(line), nil
}
