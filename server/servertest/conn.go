package servertest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// sendBuffer is how much a sender can be ahead of the receiver.
const sendBuffer = 1 << 20

// conn is one end of a connection.
type conn struct{ in, out *pipe }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions; the other side still reads what is under way.
func (c *conn) Close() error {
	c.in.net.forget(c)
	c.in.fail(net.ErrClosed)
	c.out.finish()
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return addr(c.out.link.from) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return addr(c.out.link.to) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}

type addr string

// Network implements net.Addr.
func (addr) Network() string { return "memory" }

// String implements net.Addr.
func (a addr) String() string { return string(a) }

// pipe is one direction of a connection.
type pipe struct {
	net  *Network
	link link

	mu       sync.Mutex
	chunks   []chunk
	size     int
	finished bool  // the sender closed
	err      error // the connection is broken
	readBy   time.Time
	writeBy  time.Time
	wake     chan struct{} // closed when any of this changes
}

// chunk is what one write sent, readable from a moment on.
type chunk struct {
	at   time.Time
	data []byte
}

func newPipe(n *Network, l link) *pipe { return &pipe{net: n, link: l, wake: make(chan struct{})} }

// update changes the pipe and wakes who waits for it.
func (p *pipe) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *pipe) wakeUp()                      { p.update(func() {}) }
func (p *pipe) finish()                      { p.update(func() { p.finished = true }) }
func (p *pipe) setReadDeadline(t time.Time)  { p.update(func() { p.readBy = t }) }
func (p *pipe) setWriteDeadline(t time.Time) { p.update(func() { p.writeBy = t }) }

func (p *pipe) fail(err error) {
	p.update(func() {
		if p.err == nil {
			p.err = err
		}
	})
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		wake := p.wake // taken first, so that no change after what follows is missed
		p.mu.Unlock()
		open := p.net.deliverable(p.link)
		p.mu.Lock()
		now := time.Now()
		wait := p.readBy
		switch {
		case p.err != nil:
			defer p.mu.Unlock()
			return 0, p.err
		case !p.readBy.IsZero() && !now.Before(p.readBy):
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case open && len(p.chunks) > 0 && !now.Before(p.chunks[0].at):
			n := p.take(b)
			p.mu.Unlock()
			p.wakeUp()
			return n, nil
		case open && len(p.chunks) > 0:
			wait = earliest(wait, p.chunks[0].at)
		case open && p.finished:
			p.mu.Unlock()
			return 0, io.EOF
		}
		p.mu.Unlock()
		sleep(wake, wait)
	}
}

// take moves bytes that have arrived; the caller holds the lock.
func (p *pipe) take(b []byte) int {
	c := &p.chunks[0]
	n := copy(b, c.data)
	c.data = c.data[n:]
	p.size -= n
	if len(c.data) == 0 {
		p.chunks = p.chunks[1:]
	}
	return n
}

func (p *pipe) write(b []byte) (int, error) {
	at := time.Now().Add(p.net.transit())
	for {
		p.mu.Lock()
		switch {
		case p.err != nil:
			defer p.mu.Unlock()
			return 0, p.err
		case p.finished:
			p.mu.Unlock()
			return 0, net.ErrClosed
		case !p.writeBy.IsZero() && !time.Now().Before(p.writeBy):
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case p.size < sendBuffer:
			if n := len(p.chunks); n > 0 && at.Before(p.chunks[n-1].at) {
				at = p.chunks[n-1].at // bytes stay in order
			}
			p.chunks = append(p.chunks, chunk{at: at, data: append([]byte(nil), b...)})
			p.size += len(b)
			p.mu.Unlock()
			p.wakeUp()
			return len(b), nil
		}
		wake, wait := p.wake, p.writeBy
		p.mu.Unlock()
		sleep(wake, wait)
	}
}

// sleep waits for a change, or until a moment that is not zero.
func sleep(wake <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-wake
		return
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
