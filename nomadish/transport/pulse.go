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
		if m, ok := l.session.(*muxed); ok {
			pulses[i].Silent, _ = silence(m.conn)
		}
	}
	return pulses
}
