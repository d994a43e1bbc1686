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

// resendAfter is how long the loss of a message delays it; each loss of the same one doubles it.
const resendAfter = 200 * time.Millisecond

// Network connects servers in memory. Each direction between two of them can be cut: what is sent is then
// kept and delivered if the cut is mended in time, and else the connection breaks, as with TCP.
type Network struct {
	mu      sync.Mutex
	ports   map[string]*Port
	cuts    map[link]int   // how many times each direction is cut
	frozen  map[string]int // how many times each server is
	conns   map[*conn]struct{}
	changed chan struct{} // closed when a way has become free
	rng     *rand.Rand
	delay   time.Duration
	loss    float64
}

// link is one direction.
type link struct{ from, to string }

// NewNetwork returns a network whose messages take up to delay, as rng says.
func NewNetwork(rng *rand.Rand, delay time.Duration) *Network {
	return &Network{
		ports: map[string]*Port{}, cuts: map[link]int{}, frozen: map[string]int{}, conns: map[*conn]struct{}{},
		changed: make(chan struct{}), rng: rng, delay: delay,
	}
}

// Disturb sets how long messages take at most from now on, and the share of them that is lost and sent again.
func (n *Network) Disturb(delay time.Duration, loss float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay, n.loss = delay, loss
}

// Freeze stops a server's network, as when its machine pauses: nothing leaves it, nothing reaches it. Each
// Freeze needs its own Thaw.
func (n *Network) Freeze(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen[id]++
	time.AfterFunc(resetAfter, func() { n.expire(func(l link) bool { return l.from == id || l.to == id }) })
}

// Thaw takes back one Freeze.
func (n *Network) Thaw(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen[id] = max(n.frozen[id]-1, 0)
	n.freed()
}

// freed wakes who waits for a way; the caller holds the lock.
func (n *Network) freed() {
	close(n.changed)
	n.changed = make(chan struct{})
	for c := range n.conns {
		c.in.wakeUp()
	}
}

// blocked says that nothing goes that way now; the caller holds the lock.
func (n *Network) blocked(l link) bool {
	return n.cuts[l] > 0 || n.frozen[l.from] > 0 || n.frozen[l.to] > 0
}

// Pass waits as long as a message takes from one end to another, servers or not: where the way is cut, until
// it is mended. It is for tests whose clients don't speak over connections.
func (n *Network) Pass(ctx context.Context, from, to string) error {
	at := time.Now().Add(n.transit())
	for {
		n.mu.Lock()
		blocked, changed := n.blocked(link{from, to}), n.changed
		n.mu.Unlock()
		wait := time.Until(at)
		if !blocked && wait <= 0 {
			return nil
		}
		if !blocked {
			changed = nil
		}
		timer := time.NewTimer(max(wait, 0))
		due := timer.C
		if blocked {
			due = nil
		}
		select {
		case <-due:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("from %s to %s: %w", from, to, ctx.Err())
		}
		timer.Stop()
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
		case c.out.link.to == id && !n.blocked(c.in.link):
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
	time.AfterFunc(resetAfter, func() { n.expire(func(l link) bool { return l == link{from, to} }) })
}

// expire breaks the connections that need a direction which is of this kind, and cut.
func (n *Network) expire(kind func(link) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		for _, l := range []link{c.in.link, c.out.link} {
			if kind(l) && n.blocked(l) {
				n.breakLocked(c)
				break
			}
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
	n.freed()
}

// Dial opens a connection to another server. On a way that is cut it takes as long as ctx allows.
func (p *Port) Dial(ctx context.Context, id string) (net.Conn, error) {
	n := p.net
	n.mu.Lock()
	target, here := n.ports[id], n.ports[p.id]
	cut := n.blocked(link{p.id, id}) || n.blocked(link{id, p.id})
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
	return !n.blocked(l)
}

func (n *Network) transit() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	var took time.Duration
	if n.delay > 0 {
		took = time.Duration(n.rng.Int64N(int64(n.delay)))
	}
	for again := resendAfter; again < resetAfter && n.loss > 0 && n.rng.Float64() < n.loss; again *= 2 {
		took += again
	}
	return took
}

func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}
