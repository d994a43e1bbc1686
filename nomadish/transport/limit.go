package transport

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits bound what strangers may hold open. A zero field means its default.
type Limits struct {
	HeaderTimeout   time.Duration // to read a request's header, or to set up a session; default 5s
	IdleTimeout     time.Duration // of a connection between requests; default 60s
	MaxHeaderBytes  int           // default 64 KiB
	MaxConns        int           // in all; default 8192
	MaxConnsPerAddr int           // that have not proven to be a peer, from one address; default 100, negative: no limit
}

func (l Limits) withDefaults() Limits {
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, 5*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, time.Minute)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, 64<<10)
	l.MaxConns = cmp.Or(l.MaxConns, 8192)
	l.MaxConnsPerAddr = cmp.Or(l.MaxConnsPerAddr, 100)
	return l
}

// limiter counts connections.
type limiter struct {
	limits Limits

	mu     sync.Mutex
	total  int
	byAddr map[string]int
}

func newLimiter(l Limits) *limiter { return &limiter{limits: l, byAddr: map[string]int{}} }

// take counts a connection from addr. When that is one too many it says which limit it is.
func (l *limiter) take(addr string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.limits.MaxConns {
		return fmt.Errorf("too many connections: the limit is %d", l.limits.MaxConns)
	}
	if limit := l.limits.MaxConnsPerAddr; limit >= 0 && l.byAddr[addr] >= limit {
		return fmt.Errorf("too many connections from %s: the limit is %d", addr, limit)
	}
	l.total++
	l.byAddr[addr]++
	return nil
}

// trust stops counting a connection against its address: a peer is at the other end.
func (l *limiter) trust(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAddr[addr]--; l.byAddr[addr] <= 0 {
		delete(l.byAddr, addr)
	}
}

func (l *limiter) release(addr string, trusted bool) {
	if !trusted {
		l.trust(addr)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
}

// limitedListener accepts only as many connections as its limiter allows. The others are
// refused by refuse, of which at most maxRefusing run at a time.
type limitedListener struct {
	net.Listener
	limiter *limiter
	refuse  func(net.Conn, error) // may be nil: close
	slots   chan struct{}
	wg      sync.WaitGroup
}

const maxRefusing = 32

func limitListener(l net.Listener, lim *limiter, refuse func(net.Conn, error)) *limitedListener {
	return &limitedListener{Listener: l, limiter: lim, refuse: refuse, slots: make(chan struct{}, maxRefusing)}
}

// Accept returns the next connection that is within the limits.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := hostOf(c.RemoteAddr())
		if err := l.limiter.take(addr); err != nil {
			l.turnAway(c, err)
			continue
		}
		return &limitedConn{Conn: c, limiter: l.limiter, addr: addr}, nil
	}
}

// turnAway closes c, and says why if not too many others are being told.
func (l *limitedListener) turnAway(c net.Conn, reason error) {
	if l.refuse != nil {
		select {
		case l.slots <- struct{}{}:
			l.wg.Go(func() {
				defer func() { <-l.slots }()
				l.refuse(c, reason)
				_ = c.Close() // it is gone either way
			})
			return
		default:
		}
	}
	_ = c.Close()
}

// Close returns when nobody is being refused any more.
func (l *limitedListener) Close() error {
	err := l.Listener.Close()
	l.wg.Wait()
	return err
}

// hostOf returns the host of an address, or all of it when it has no port.
func hostOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

// limitedConn gives back its place when it is closed.
type limitedConn struct {
	net.Conn
	limiter *limiter
	addr    string

	mu      sync.Mutex
	trusted bool
	closed  bool
}

// trust stops counting the connection against its address.
func (c *limitedConn) trust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.trusted && !c.closed {
		c.trusted = true
		c.limiter.trust(c.addr)
	}
}

// Close gives the place back.
func (c *limitedConn) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	trusted := c.trusted
	c.mu.Unlock()
	if !closed {
		c.limiter.release(c.addr, trusted)
	}
	return c.Conn.Close()
}

// refuseHTTP answers a connection that is one too many before it asked anything.
func refuseHTTP(c net.Conn, reason error) {
	_ = c.SetDeadline(time.Now().Add(time.Second)) // a connection that can't is closed soon all the same
	body := reason.Error()
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests), len(body), body)
	if err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, 64<<10) // else closing with unread bytes would reset the answer away
	}
}
