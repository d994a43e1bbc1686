package servertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// resetAfter is how long a connection lives without an answer from the other side.
const resetAfter = 3 * time.Second

// Network connects servers in memory. Each direction between two of them can be cut: what is sent is then
// kept and delivered if the cut is mended in time, and else the connection breaks, as with TCP.
type Network struct {
	mu    sync.Mutex
	ports map[string]*Port
	cuts  map[link]int // how many times each direction is cut
	conns map[*conn]struct{}
	rng   *rand.Rand
	delay time.Duration
}

// link is one direction.
type link struct{ from, to string }

// NewNetwork returns a network whose messages take up to delay, as rng says.
func NewNetwork(rng *rand.Rand, delay time.Duration) *Network {
	return &Network{
		ports: map[string]*Port{}, cuts: map[link]int{}, conns: map[*conn]struct{}{}, rng: rng, delay: delay,
	}
}

// Port is one server's end of the network; it is a consensus.Network.
type Port struct {
	net    *Network
	id     string
	accept chan net.Conn
}

// Listen gives a server an end of the network. What had its ID before is unplugged.
func (n *Network) Listen(id string) *Port {
	n.Unplug(id)
	p := &Port{net: n, id: id, accept: make(chan net.Conn, 64)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[id] = p
	return p
}

// Unplug takes a server off the network, as when its process dies: its connections break at both ends, the
// other end hearing of it only if the way there is not cut.
func (n *Network) Unplug(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.ports, id)
	for c := range n.conns {
		switch {
		case c.out.link.from == id:
			n.breakLocked(c)
		case c.out.link.to == id && n.cuts[c.in.link] == 0:
			n.breakLocked(c)
		}
	}
}

func (n *Network) breakLocked(c *conn) {
	delete(n.conns, c)
	c.in.fail(syscall.ECONNRESET)
	c.out.fail(syscall.ECONNRESET)
}

// Cut stops what from sends to to. Each Cut needs its own Mend.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[link{from, to}]++
	time.AfterFunc(resetAfter, func() { n.expire(link{from, to}) })
}

// expire breaks the connections that need a direction which is cut.
func (n *Network) expire(l link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cuts[l] == 0 {
		return
	}
	for c := range n.conns {
		if c.in.link == l || c.out.link == l {
			n.breakLocked(c)
		}
	}
}

// Mend takes back one Cut.
func (n *Network) Mend(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cuts[link{from, to}] > 0 {
		n.cuts[link{from, to}]--
	}
	for c := range n.conns {
		c.in.wakeUp()
	}
}

// Dial opens a connection to another server. On a way that is cut it takes as long as ctx allows.
func (p *Port) Dial(ctx context.Context, id string) (net.Conn, error) {
	n := p.net
	n.mu.Lock()
	target, here := n.ports[id], n.ports[p.id]
	cut := n.cuts[link{p.id, id}] > 0 || n.cuts[link{id, p.id}] > 0
	if cut || here != p {
		n.mu.Unlock()
		<-ctx.Done()
		return nil, fmt.Errorf("dial %s: %w", id, ctx.Err())
	}
	defer n.mu.Unlock()
	if target == nil {
		return nil, fmt.Errorf("dial %s: %w", id, syscall.ECONNREFUSED)
	}
	there, back := newPipe(n, link{p.id, id}), newPipe(n, link{id, p.id})
	mine, theirs := &conn{in: back, out: there}, &conn{in: there, out: back}
	select {
	case target.accept <- theirs:
	default:
		return nil, fmt.Errorf("dial %s: %d connections wait to be accepted", id, cap(target.accept))
	}
	n.conns[mine], n.conns[theirs] = struct{}{}, struct{}{}
	return mine, nil
}

// Accept returns the next connection from another server.
func (p *Port) Accept(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// deliverable says whether a direction works.
func (n *Network) deliverable(l link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[l] == 0
}

func (n *Network) transit() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.delay == 0 {
		return 0
	}
	return time.Duration(n.rng.Int64N(int64(n.delay)))
}

func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}
