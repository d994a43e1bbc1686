package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// HubConfig says how an agent talks to the others.
type HubConfig struct {
	Self   Hello  // how this agent introduces itself
	Listen string // host:port for other agents; empty: nobody can dial this agent
	Limits Limits
	// Admit decides about a session that another agent wants; default: all are let in.
	Admit func(ctx context.Context, h Hello, addr string) error
	// Ended is told of a peer that has no session any more, with what ended the last; default: nobody is.
	Ended func(p Peer, cause error)
	// Resolve says at which host:port the server of an ID listens for agents. Default: only
	// those servers can be reached with which there is a session.
	Resolve func(id string) (addr string, err error)
	// TLS encrypts all connections with other agents; nil: none is.
	TLS *PeerTLS
	// Joins answers the requests of those who have no certificate yet; nil: nobody does.
	// It needs TLS.
	Joins http.Handler
	// Dial connects to another agent; default: TCP.
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	Logger *slog.Logger // default: discard
}

func (c HubConfig) withDefaults() HubConfig {
	c.Limits = c.Limits.withDefaults()
	if c.Admit == nil {
		c.Admit = func(context.Context, Hello, string) error { return nil }
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.Ended == nil {
		c.Ended = func(Peer, error) {}
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Hub holds an agent's sessions with other agents, whoever dialled: by the other's ID, and
// those that this agent dialled also by address. Every session works in both directions:
// requests that come in on it go to the hub's handler.
type Hub struct {
	cfg      HubConfig
	http     *http.Server
	listener net.Listener
	raft     *handover
	joins    *joins        // nil: nobody can join
	started  chan struct{} // closed when Run has begun

	mu      sync.Mutex
	closed  bool
	wg      sync.WaitGroup
	dialled map[string]*dialled
	joined  map[string]*link // by kind and ID
	secured map[*secured]struct{}
}

// link is a session with the client for it.
type link struct {
	session Session
	asking  atomic.Bool // a sign of life was asked for, and has yet to come
	peer    Peer
	client  *http.Transport
	secured *secured // the connection; nil: it is not encrypted

	questions questions
}

// NewHub binds the listener, if there is one; Run serves it. Requests of peers go to h.
func NewHub(cfg HubConfig, h http.Handler) (*Hub, error) {
	cfg = cfg.withDefaults()
	hub := &Hub{
		cfg:     cfg,
		raft:    newHandover(),
		started: make(chan struct{}),
		dialled: map[string]*dialled{},
		joined:  map[string]*link{},
		secured: map[*secured]struct{}{},
	}
	hub.http = newHTTPServer(cfg.Limits, proofs(hub.farewells(h)), cfg.Logger)
	if cfg.TLS != nil && cfg.Joins != nil {
		hub.joins = newJoins(cfg)
	}
	if cfg.Listen != "" {
		lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: control}
		lc.SetMultipathTCP(false) // of several paths the kernel would not tell how silent they are
		l, err := lc.Listen(context.Background(), "tcp", cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen for agents: %w", err)
		}
		hub.listener = limitListener(l, newLimiter(cfg.Limits), nil)
		hub.raft.addr = l.Addr()
	}
	return hub, nil
}

// Addr returns what the hub is bound to, or nil.
func (h *Hub) Addr() net.Addr {
	if h.listener == nil {
		return nil
	}
	return h.listener.Addr()
}

// Run serves other agents until ctx ends. Then it ends all sessions.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.http.BaseContext = func(net.Listener) context.Context { return ctx }
	close(h.started)
	failed := make(chan error, 2)
	if h.listener != nil {
		h.spawn(func() { failed <- h.accept(ctx) })
	}
	if h.cfg.TLS != nil {
		h.spawn(func() { h.watchTrust(ctx) })
	}
	if h.joins != nil {
		h.spawn(func() { failed <- h.joins.run(ctx) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	if h.listener != nil {
		_ = h.listener.Close() // its Accept says what is wrong
	}
	_ = h.raft.Close()
	h.end()
	return err
}

// hubGrace is how long requests of peers may go on after the hub was told to stop. Their
// contexts have ended then.
const hubGrace = 3 * time.Second

// end closes all sessions and waits for what serves them.
func (h *Hub) end() {
	h.mu.Lock()
	h.closed = true
	links := make([]*link, 0, len(h.joined)+len(h.dialled))
	for _, l := range h.joined {
		links = append(links, l)
	}
	for _, d := range h.dialled {
		if l := d.current(); l != nil {
			links = append(links, l)
		}
	}
	h.mu.Unlock()
	var closing sync.WaitGroup // together: each waits for its own goroutines, and there may be thousands
	for _, l := range links {
		closing.Go(func() { _ = l.session.Close() }) // closing is all that is wanted
	}
	closing.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), hubGrace)
	defer cancel()
	if h.http.Shutdown(ctx) != nil {
		_ = h.http.Close() // requests that do not end in time
	}
	h.wg.Wait()
}

// accept takes connections in until the listener is closed.
func (h *Hub) accept(ctx context.Context) error {
	for {
		c, err := h.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept agents: %w", err)
		}
		if !h.spawn(func() { h.receive(ctx, c) }) {
			_ = c.Close() // the hub ends
		}
	}
}

// spawn runs f unless the hub has ended; the hub's end waits for it.
func (h *Hub) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.wg.Go(f)
	return true
}

// receive finds out what a connection is for.
func (h *Hub) receive(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // unblocks what waits on it
	defer stop()
	if err := h.sort(ctx, c); err != nil {
		_ = c.Close() // whatever state it is in
		h.cfg.Logger.Debug("connection of an agent ended", "addr", c.RemoteAddr().String(), "err", err)
	}
}

func (h *Hub) sort(ctx context.Context, c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(h.cfg.Limits.HeaderTimeout)); err != nil {
		return err
	}
	plain := c
	c, protocol, err := h.protocol(ctx, c)
	if err != nil {
		return err
	}
	switch protocol {
	case protocolRaft:
		if err := h.checkRaft(c, ""); err != nil {
			return err
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			return err
		}
		return h.raft.give(ctx, c)
	case protocolJoin:
		if _, ok := c.(*secured); !ok {
			break // who joins does so on an encrypted connection
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			return err
		}
		return h.joins.conns.give(ctx, c)
	case protocolAPI:
		addr := hostOf(c.RemoteAddr())
		session, hello, err := welcome(c, h.cfg.Self, func(hello Hello) error {
			if parseKind(hello.Kind) == nomadish.CallerAnonymous || hello.ID == "" {
				return nomadish.Errorf(nomadish.KindInvalid, "hello of kind %q with ID %q", hello.Kind, hello.ID)
			}
			if p := h.peer(hello, addr); p.Kind == nomadish.CallerNode && p.Region != "" {
				return nomadish.Errorf(nomadish.KindInvalid, "node of region %q: servers here are of region %q", p.Region, h.cfg.Self.Region)
			}
			if err := h.checkPeer(c, hello); err != nil {
				return err
			}
			return h.cfg.Admit(ctx, hello, addr)
		})
		if err != nil {
			return err
		}
		if lc, ok := plain.(*limitedConn); ok {
			lc.trust()
		}
		return h.serve(newLink(c, session, h.peer(hello, c.RemoteAddr().String())))
	}
	return fmt.Errorf("unknown protocol %q", protocol)
}

// peer is who has introduced itself.
func (h *Hub) peer(hello Hello, addr string) Peer {
	p := Peer{Kind: parseKind(hello.Kind), ID: hello.ID, Addr: addr}
	if hello.Region != h.cfg.Self.Region {
		p.Region = cmp.Or(hello.Region, "unknown")
	}
	return p
}

// newLink returns the link of a session on c, which is nil for one in memory.
func newLink(c net.Conn, s Session, peer Peer) *link {
	l := &link{session: s, peer: peer, client: Client(s)}
	if sec, ok := c.(*secured); ok {
		l.secured = sec
		sec.carry(l)
	}
	return l
}

// serve answers the requests that come in on a session until it ends. Meanwhile the peer
// can be reached by its ID.
func (h *Hub) serve(l *link) error {
	if !h.add(l) {
		return l.session.Close()
	}
	return h.answer(l)
}

// add makes a peer known; its newest session counts. It returns false if the hub has ended.
func (h *Hub) add(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.joined[peerKey(l.peer.Kind, l.peer.ID)] = l
	}
	return !h.closed
}

// answer runs the HTTP server on a session, and then forgets it.
func (h *Hub) answer(l *link) error {
	defer l.client.CloseIdleConnections()
	err := h.http.Serve(&sessionListener{l})
	_ = l.session.Close() // Serve returns for that reason or another; either way it is over
	if h.remove(l) {
		h.cfg.Ended(l.peer, err)
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func peerKey(kind nomadish.CallerKind, id string) string { return kind.String() + "/" + id }

// Join serves a session in memory, as if peer had dialled, until it ends.
func (h *Hub) Join(s Session, peer Peer) error {
	<-h.started
	return h.serve(newLink(nil, s, peer))
}

// Node returns the way to a node over the session with it.
func (h *Hub) Node(id string) (http.RoundTripper, error) {
	return h.reach(nomadish.CallerNode, id, "No path to node")
}

func (h *Hub) reach(kind nomadish.CallerKind, id, missing string) (http.RoundTripper, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.joined[peerKey(kind, id)]; l != nil {
		return l.client, nil
	}
	return nil, nomadish.Errorf(nomadish.KindInternal, "%s", missing)
}

// Nodes returns the IDs of the nodes that have a session with this agent, in no order.
func (h *Hub) Nodes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for _, l := range h.joined {
		if l.peer.Kind == nomadish.CallerNode {
			ids = append(ids, l.peer.ID)
		}
	}
	return ids
}
