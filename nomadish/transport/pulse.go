package transport

import (
	"net"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// userTimeout is how long the kernel waits for an answer to what was sent before it ends the connection.
const userTimeout = 3 * time.Second

// control prepares a socket to notice within seconds that the other machine is gone.
func control(_, _ string, c syscall.RawConn) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = setUserTimeout(fd, userTimeout) }); err != nil {
		return err
	}
	return failed
}

// silence says how long the machine at the other end of a connection has acknowledged nothing.
// The kernel asks it every second when nothing else is said. It returns false where the kernel
// does not tell.
func silence(c net.Conn) (time.Duration, bool) {
	for c != nil {
		switch inner := c.(type) {
		case *limitedConn:
			c = inner.Conn
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		case syscall.Conn:
			raw, err := inner.SyscallConn()
			if err != nil {
				return 0, false
			}
			return silenceOf(raw)
		default:
			return 0, false
		}
	}
	return 0, false
}

// Pulses tells of the sessions that nodes have with this agent how long each node's machine has
// been silent. Nodes come in no order.
func (h *Hub) Pulses() []nomadish.NodePulse {
	h.mu.Lock()
	links := make([]*link, 0, len(h.joined))
	for _, l := range h.joined {
		if l.peer.Kind == nomadish.CallerNode {
			links = append(links, l)
		}
	}
	h.mu.Unlock()
	pulses := make([]nomadish.NodePulse, len(links))
	for i, l := range links {
		pulses[i].NodeID = l.peer.ID
		m, ok := l.session.(*muxed)
		if !ok {
			continue
		}
		pulses[i].Silent, _ = silence(m.conn)
		if len(links) <= fewSessions && pulses[i].Silent >= askAfter {
			h.ask(l, m)
		}
	}
	return pulses
}

// Of few sessions each is asked for a sign of life twice a second: what is gone is then noticed half a
// second earlier than by the kernel's questions, which cost nothing and have to do for many.
const (
	fewSessions = 64
	askAfter    = 400 * time.Millisecond
)

// ask asks the peer for a sign of life, if no answer is due. What the machine acknowledges counts, so
// that nobody waits for the answer.
func (h *Hub) ask(l *link, m *muxed) {
	if !l.asking.CompareAndSwap(false, true) {
		return
	}
	h.spawn(func() { // it ends with the session at the latest
		_, err := m.y.Ping()
		l.asking.Store(err != nil)
	})
}
