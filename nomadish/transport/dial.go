package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// dialTimeout is how long it may take to connect to another agent and to set up a session.
const dialTimeout = 5 * time.Second

// keepAlive finds a dead peer within seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}

// dialTCP connects to another agent.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive, Control: control}
	return d.DialContext(ctx, "tcp", addr)
}

// dialled is the session with the agent at an address. It is set up when it is needed, and
// again after it has ended.
type dialled struct {
	hub  *Hub
	addr string

	setup chan struct{} // held by who dials
	mu    sync.Mutex
	link  *link
}

// Dial returns the way to the agent at an address. It connects with the first request.
func (h *Hub) Dial(addr string) http.RoundTripper {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.dialled[addr]
	if d == nil {
		d = &dialled{hub: h, addr: addr, setup: make(chan struct{}, 1)}
		h.dialled[addr] = d
	}
	return d
}

// Forget ends the session with the agent at an address.
func (h *Hub) Forget(addr string) {
	h.mu.Lock()
	d := h.dialled[addr]
	delete(h.dialled, addr)
	h.mu.Unlock()
	if d == nil {
		return
	}
	if l := d.current(); l != nil {
		_ = l.session.Close() // closing is all that is wanted
	}
}

// current returns the session that works, or nil.
func (d *dialled) current() *link {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link == nil {
		return nil
	}
	select {
	case <-d.link.session.Done():
		return nil
	default:
		return d.link
	}
}

// RoundTrip makes a request over the session.
func (d *dialled) RoundTrip(r *http.Request) (*http.Response, error) {
	l, err := d.connect(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as RoundTrippers must
		}
		return nil, err
	}
	return l.client.RoundTrip(r)
}

// connect returns the session, and sets it up if there is none. One caller dials at a time.
func (d *dialled) connect(ctx context.Context) (*link, error) {
	select {
	case d.setup <- struct{}{}:
		defer func() { <-d.setup }()
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to agent at %s: %w", d.addr, ctx.Err())
	}
	if l := d.current(); l != nil {
		return l, nil
	}
	select {
	case <-d.hub.started: // from then on the session's own requests are answered
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to agent at %s: %w", d.addr, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := d.hub.connect(ctx, d.addr, protocolAPI)
	if err != nil {
		return nil, fmt.Errorf("connect to agent at %s: %w", d.addr, err)
	}
	deadline, _ := ctx.Deadline() // there is one, and who accepts may be asleep
	s, hello, err := greet(c, d.hub.cfg.Self, time.Until(deadline), func(hello Hello) error { return d.hub.checkPeer(c, hello) })
	if err != nil {
		return nil, err
	}
	l := newLink(c, s, d.hub.peer(hello, d.addr))
	// The session works in both directions: the other agent may ask us, too.
	if !d.hub.add(l) || !d.hub.spawn(func() { d.answer(l) }) {
		_ = s.Close() // the hub has ended
		return nil, fmt.Errorf("connect to agent at %s: %w", d.addr, net.ErrClosed)
	}
	d.mu.Lock()
	d.link = l
	d.mu.Unlock()
	return l, nil
}

// answer serves what the other agent asks on the session.
func (d *dialled) answer(l *link) {
	if err := d.hub.answer(l); err != nil {
		d.hub.cfg.Logger.Debug("session with an agent ended", "addr", d.addr, "err", err)
	}
}
